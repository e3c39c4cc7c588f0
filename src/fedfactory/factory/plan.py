"""Which factories a run has and how each is trained, worked out from the configuration for rules/factory.smk."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from fedfactory.config.parameters import read
from fedfactory.config.run import Config
from fedfactory.errors import FedFactoryError
from fedfactory.factory.encoders import EncoderParameters
from fedfactory.factory.parameters import FactoryParameters

_SECTIONS = ("network", "training", "federation")
_CLIENT_FILES = ("data", "factory_key.json")


class FactoryPlan:
    """The factories of a run, one for each setup and seed.

    Attributes:
        parameters: setup -> checked parameters.
        encoder: parameters of the encoder of the keys.
    """

    def __init__(self, config: Config) -> None:
        """Check the section ``factory`` for every setup.

        Raises:
            FedFactoryError: a value that another one forbids, or fewer than two federated clients.
        """
        self._config = config
        section = config.factory
        try:
            self.encoder = EncoderParameters.from_mapping(section["encoder"])
            for name in section.get("setups", {}):
                if name not in config.setups:
                    raise FedFactoryError(f"key 'factory.setups.{name}': there is no such setup")
            self.parameters = {name: self._parameters(section, name) for name in config.setups}
        except FedFactoryError as error:
            raise FedFactoryError(f"{config.file}: {error}") from None

    def clients(self, setup: str) -> tuple[str, ...]:
        """The setup's federated clients, in the order of the label embedding."""
        return self.parameters[setup].clients

    def json(self, setup: str) -> str:
        """Parameters of a setup's factory for a script's command line."""
        return json.dumps(self.parameters[setup].as_json())

    def encoder_json(self) -> str:
        """Parameters of the encoder for a script's command line."""
        return json.dumps(dict(self._config.factory["encoder"]))

    def sites(self, setup: str) -> str:
        """Each federated client's own files, as JSON: client -> store and key."""
        layout = self._config.layout
        return json.dumps(
            {
                client: {part: layout.client(setup, client, part) for part in _CLIENT_FILES}
                for client in self.clients(setup)
            }
        )

    def labels(self, setup: str) -> str:
        """Labels of the federated clients in pictures, as JSON."""
        entry = self._config.setups[setup]
        return json.dumps({client: entry.clients[client].label for client in self.clients(setup)})

    def inputs(self, setup: str) -> list[str]:
        """Files that the training reads: each federated client's own store and key; none where sites are remote."""
        if self.parameters[setup].federation.mode == "remote":
            return []
        layout = self._config.layout
        return [layout.client(setup, name, part) for name in self.clients(setup) for part in _CLIENT_FILES]

    def workers(self, setup: str) -> int:
        """Clients that train side by side; no part of the parameters, since it does not change the result."""
        sampled = self.parameters[setup].federation.clients_per_round
        return min(self._config.factory.get("workers") or sampled, sampled)

    def training_memory(self, setup: str, store_mb: Callable[[str, str], float]) -> int:
        """Memory in MB of a training: every client has a process, which holds its images."""
        return round(sum(self.process_memory(setup) + store_mb(setup, client) for client in self.clients(setup)))

    def process_memory(self, setup: str) -> int:
        """Memory in MB of a process that trains or renders.

        Measured: 1.2 GB for a process with torch and a small model, 4 GB more for steps of two images at 512 pixels.
        """
        parameters = self.parameters[setup]
        share = parameters.training.batch / 2 * (parameters.network.image_size / 512) ** 2
        return round(1500 + 4500 * min(share, 4))

    def quality_files(self, setup: str, seed: str) -> dict[str, str]:
        """Figures that the federated clients measured."""
        layout = self._config.layout
        return {name: layout.client(setup, name, "factory_quality", f"seed{seed}.csv") for name in self.clients(setup)}

    def previews(self, setup: str) -> dict[str, str]:
        """Slices that the federated clients released, if they release any."""
        if not self._config.pictures:
            return {}
        return {name: self._config.layout.client(setup, name, "preview.npz") for name in self.clients(setup)}

    def morphing_from(self, setup: str) -> str:
        """The client that the morphing strips start from: the source, if it is federated."""
        source, clients = self._config.setups[setup].source, self.clients(setup)
        return source if source in clients else clients[0]

    def partner(self, setup: str, client: str) -> str:
        """The client that another one's alignment is measured against: the source; for the source the next one."""
        source, clients = self._config.setups[setup].source, self.clients(setup)
        if client != source and source in clients:
            return source
        return clients[(clients.index(client) + 1) % len(clients)]

    def _parameters(self, section: Mapping[str, Any], setup: str) -> FactoryParameters:
        entry, own = self._config.setups[setup], section.get("setups", {}).get(setup, {})
        values = {name: {**section[name], **own.get(name, {})} for name in _SECTIONS}
        clients = tuple(name for name, client in entry.clients.items() if client.federated)
        values["network"] |= {
            "position_bins": self._config.preprocessing["position_bins"],
            "key_size": self.encoder.key_size,
            "clients": len(clients),
        }
        return read(FactoryParameters, {"clients": clients, **values}, "factory", f"setup {setup}")
