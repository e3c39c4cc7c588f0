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
Wildcards = Any
"""Snakemake's wildcards of a job: ``setup``, and ``client`` or ``seed`` where the rule has them."""


class FactoryPlan:
    """The factories of a run, one for each setup and seed.

    Attributes:
        parameters: setup -> checked parameters.
        encoder: parameters of the encoder of the keys.
    """

    def __init__(self, config: Config) -> None:
        """Check the section ``factory`` for every setup.

        Raises:
            FedFactoryError: a value that another one or a setup forbids, or fewer than two federated clients.
        """
        self._config = config
        section = config.factory
        try:
            self.encoder = read(EncoderParameters, section["encoder"], "factory.encoder")
            for name in section.get("setups", {}):
                if name not in config.known_setups:
                    raise FedFactoryError(f"key 'factory.setups.{name}': there is no such setup")
            self.parameters = {name: self._parameters(section, name) for name in config.setups}
        except FedFactoryError as error:
            raise FedFactoryError(f"{config.file}: {error}") from None

    def clients(self, setup: str) -> tuple[str, ...]:
        """The setup's federated clients, in the order of the label embedding."""
        return self.parameters[setup].clients

    def key_json(self, wildcards: Wildcards) -> str:
        """What a key is made by, as JSON."""
        size = self.parameters[wildcards.setup].network.image_size
        return json.dumps({"encoder": dict(self._config.factory["encoder"]), "size": size})

    def training_json(self, wildcards: Wildcards) -> str:
        """Parameters of a setup's factory and of the encoder, and what to keep for measuring privacy, as JSON."""
        parameters = self.parameters[wildcards.setup].as_json()
        kept = {"keep_discriminator": True} if self._config.privacy else {}
        return json.dumps({**parameters, "encoder": dict(self._config.factory["encoder"]), **kept})

    def quality_json(self, wildcards: Wildcards) -> str:
        """Which client a factory is measured at, and against whom, as JSON."""
        return json.dumps({"client": wildcards.client, "partner": self.partner(wildcards.setup, wildcards.client)})

    def privacy_json(self, wildcards: Wildcards) -> str:
        """Which client asks what the factory gives away of it, in which feature space, and how slices stand."""
        orientation = self._config.setups[wildcards.setup].orientation
        encoder = dict(self._config.factory["encoder"])
        return json.dumps({"client": wildcards.client, "encoder": encoder, "orientation": orientation})

    def labels_json(self, wildcards: Wildcards) -> str:
        """Labels of the federated clients, as JSON."""
        return json.dumps(self._labels(wildcards.setup))

    def pictures_json(self, wildcards: Wildcards) -> str:
        """Labels of the federated clients, where morphing starts from, and the orientation of slices, as JSON."""
        setup = wildcards.setup
        orientation = self._config.setups[setup].orientation
        shown = {"labels": self._labels(setup), "partner": self.morphing_from(setup), "orientation": orientation}
        return json.dumps(shown)

    def stores(self, wildcards: Wildcards) -> list[str]:
        """The federated clients' own stores, which the training reads; none where sites are remote."""
        return self._own_files(wildcards.setup, "data")

    def client_keys(self, wildcards: Wildcards) -> list[str]:
        """The federated clients' own keys, which the training reads; none where sites are remote, or none is used."""
        if self.parameters[wildcards.setup].training.privacy:
            return []
        return self._own_files(wildcards.setup, "factory_key.json")

    def workers(self, wildcards: Wildcards) -> int:
        """Clients that train side by side; no part of the parameters, since it does not change the result."""
        sampled = self.parameters[wildcards.setup].federation.clients_per_round
        return min(self._config.factory.get("workers") or sampled, sampled)

    def training_memory(self, store_mb: Callable[[str, str], float], wildcards: Wildcards) -> int:
        """Memory in MB of a training: every client has a process, which holds its images."""
        setup = wildcards.setup
        return round(sum(self.process_memory(wildcards) + store_mb(setup, client) for client in self.clients(setup)))

    def process_memory(self, wildcards: Wildcards) -> int:
        """Memory in MB of a process that trains or renders.

        Measured: 1.2 GB for a process with torch and a small model, 4 GB more for steps of two images at 512 pixels.
        """
        parameters = self.parameters[wildcards.setup]
        share = parameters.training.batch / 2 * (parameters.network.image_size / 512) ** 2
        return round(1500 + 4500 * min(share, 4))

    def quality_files(self, wildcards: Wildcards) -> list[str]:
        """Figures of quality that the federated clients measured."""
        return self._measured(wildcards, "factory_quality")

    def privacy_files(self, wildcards: Wildcards) -> list[str]:
        """What the federated clients found of their privacy."""
        return self._measured(wildcards, "factory_privacy")

    def previews(self, wildcards: Wildcards) -> list[str]:
        """Slices that the federated clients released, if they release any."""
        if not self._config.pictures:
            return []
        setup = wildcards.setup
        return [self._config.layout.client(setup, client, "preview.npz") for client in self.clients(setup)]

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

    def _labels(self, setup: str) -> dict[str, str]:
        entry = self._config.setups[setup]
        return {client: entry.clients[client].label for client in self.clients(setup)}

    def _measured(self, wildcards: Wildcards, folder: str) -> list[str]:
        setup, name = wildcards.setup, f"seed{wildcards.seed}.csv"
        return [self._config.layout.client(setup, client, folder, name) for client in self.clients(setup)]

    def _own_files(self, setup: str, name: str) -> list[str]:
        if self.parameters[setup].federation.mode == "remote":
            return []
        return [self._config.layout.client(setup, client, name) for client in self.clients(setup)]

    def _parameters(self, section: Mapping[str, Any], setup: str) -> FactoryParameters:
        entry, own = self._config.setups[setup], section.get("setups", {}).get(setup, {})
        values = {name: {**section[name], **own.get(name, {})} for name in _SECTIONS}
        clients = tuple(name for name, client in entry.clients.items() if client.federated)
        if values["network"].get("client_zoom") and any(entry.clients[name].tiles for name in clients):
            raise FedFactoryError(
                f"key 'factory.setups.{setup}.network.client_zoom': pictures are cut into tiles, "
                "whose pixels are as large at every site: there is no field of view to learn; set it to false"
            )
        values["network"] |= {
            "position_bins": self._config.preprocessing["position_bins"],
            "key_size": self.encoder.key_size,
            "clients": len(clients),
        }
        return read(FactoryParameters, {"clients": clients, **values}, "factory", f"setup {setup}")
