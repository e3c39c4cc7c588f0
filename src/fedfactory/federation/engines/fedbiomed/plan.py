"""What runs at a site in a round: the class that the shipped text inherits from, as it is installed at the site."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fedbiomed.common.datamanager import DataManager
from fedbiomed.common.dataset import CustomDataset
from fedbiomed.common.models import TorchModel
from fedbiomed.common.optimizers.generic_optimizers import BaseOptimizer
from fedbiomed.common.training_plans import TorchTrainingPlan
from torch import Tensor, nn

from fedfactory import __version__
from fedfactory.errors import FedFactoryError
from fedfactory.factory.client import factory_allowlist
from fedfactory.factory.local_round import LOSS_COLUMNS, ClientImages, LocalState, local_round
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.federation.engines.fedbiomed.folder import key_tensor, read_card, read_site
from fedfactory.federation.engines.fedbiomed.node_database import back_up_database, prune_states
from fedfactory.federation.engines.fedbiomed.records import open_records
from fedfactory.federation.ledger import IN, OUT
from fedfactory.federation.loss_table import LOSSES, append_row
from fedfactory.federation.sampling import sample_clients
from fedfactory.orchestration.code_digest import code_digest
from fedfactory.training.devices import make_deterministic

# All code of this package that trains at a site, as it was when this process loaded it.
OWN_DIGEST = code_digest(Path(__file__))


def model_args(parameters: FactoryParameters, seed: int, experiment: str) -> dict[str, Any]:
    """What the aggregator sends besides weights.

    Args:
        parameters: of the factory.
        seed: of the training.
        experiment: Fed-BioMed's id of the training.
    """
    return {
        "experiment": experiment,
        "version": __version__,
        "code": OWN_DIGEST,
        "parameters": json.dumps(parameters.as_json()),
        "seed": seed,
    }


def refusal(arguments: Mapping[str, Any]) -> str | None:
    """Why this site cannot train with the aggregator, or None."""
    if arguments.get("version") != __version__:
        return (
            f"the aggregator runs fedfactory {arguments.get('version')}, this site {__version__}; install the "
            "aggregator's version at the site"
        )
    if arguments.get("code") != OWN_DIGEST:
        return (
            f"aggregator and site both run fedfactory {__version__}, but their code differs (digests "
            f"{arguments.get('code')} and {OWN_DIGEST}); install the same release at both"
        )
    return None


class SiteDataset(CustomDataset):
    """The site's folder. For Fed-BioMed it has one item, so that the number of images never leaves the site."""

    def read(self) -> None:
        """Images are read by the round itself, whose errors reach the aggregator in words."""

    def get_item(self, index: int) -> Tensor:
        """No image goes through Fed-BioMed's loaders."""
        return torch.zeros(1)

    def __len__(self) -> int:
        """One."""
        return 1


class StateKeeper(BaseOptimizer):
    """Carries the site's :class:`LocalState` from round to round by Fed-BioMed's node state.

    Attributes:
        round_number: round that the state was saved after; None without one.
        state: the saved state as bytes; what :meth:`save_state` will save.
    """

    _model_cls = TorchModel

    def __init__(self, model: TorchModel) -> None:
        """Start without a state."""
        super().__init__(model, None)
        self.round_number: int | None = None
        self.state: bytes | None = None

    def step(self) -> None:
        """Never called: a local round steps its own optimisers."""
        raise NotImplementedError

    def load_state(self, optim_state: dict[str, Any], load_from_state: bool = False) -> None:
        """Take over a saved state."""
        self.round_number = optim_state["round"]
        # Taken out, because Fed-BioMed then formats what is left for its log: half a gigabyte of digits otherwise.
        self.state = optim_state.pop("state")

    def save_state(self) -> dict[str, Any] | None:
        """What Fed-BioMed writes into the node's folder."""
        return None if self.state is None else {"round": self.round_number, "state": self.state}

    def restore(self, state: LocalState) -> None:
        """Continue a state; nothing in the bytes is executed."""
        if self.state is not None:
            state.load_state_dict(torch.load(io.BytesIO(self.state), map_location="cpu", weights_only=True))

    def keep(self, state: dict[str, Any], round_number: int) -> None:
        """Save a state, as :meth:`LocalState.state_dict` gives it, with this round's."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.round_number, self.state = round_number, buffer.getvalue()


class FactoryTrainingPlan(TorchTrainingPlan):
    """One call of the shared :func:`~fedfactory.factory.local_round.local_round` per round."""

    def post_init(self, *args: Any, initialize_optimizer: bool = True, **kwargs: Any) -> None:
        """Set up; Fed-BioMed's own builder of optimisers knows no pair of them."""
        super().post_init(*args, initialize_optimizer=False, **kwargs)
        if initialize_optimizer:
            self.set_optimizer(StateKeeper(self._model))

    def init_model(self, model_args: dict[str, Any]) -> nn.Module:
        """Build the model, if this site has the aggregator's code.

        If it has not, Fed-BioMed would keep the reason of an error here from the aggregator: the reason is told by
        :meth:`training_data`, and the model is an empty one.
        """
        self._refusal = refusal(model_args)
        if self._refusal:
            return nn.Linear(1, 1)
        self._plain_parameters = model_args["parameters"]
        self._parameters = FactoryParameters.from_json(json.loads(self._plain_parameters))
        self._seed, self._experiment = model_args["seed"], model_args["experiment"]
        return FactoryModel(self._parameters.network)

    def set_model_params(self, params: dict[str, Any], local_params: list[str] | None = None) -> None:
        """Take over weights, unless there is no model for them."""
        if not self._refusal:
            super().set_model_params(params, local_params)

    def training_step(self) -> None:
        """Never called: a local round is more than a sum of losses over batches."""
        raise NotImplementedError

    def training_data(self) -> DataManager:
        """The site's folder.

        Raises:
            FedFactoryError: this site has other code than the aggregator.
        """
        if self._refusal:
            raise FedFactoryError(self._refusal)
        self._dataset = SiteDataset()
        return DataManager(dataset=self._dataset, batch_size=1, shuffle=False)

    def training_routine(self, history_monitor: object = None, node_args: dict[str, Any] | None = None) -> int:
        """Train one round, and write down what comes in and goes out.

        Losses stay at the site: ``history_monitor``, which would send them, is not used.
        """
        torch.set_num_threads(1)
        self._set_device(self._use_gpu, node_args or {})
        make_deterministic(torch.device(self._device).type)
        folder, number, model = Path(self._dataset.path), self.round(), self.model()
        card, site = read_card(folder), _site(folder, _stamp(folder), self._plain_parameters, self._device)
        back_up_database(Path(card.node))
        allowlist = factory_allowlist(self._parameters, model.state_dict())
        records = card.records_of(self._experiment)
        ledger = open_records(records, allowlist, card.client, key_tensor(card.key), number)
        ledger.record(number, card.client, IN, {"weights": model.state_dict()})
        self._model.send_to_device(self._device)
        state = LocalState(model, self._parameters.training)
        self._continue(state, site.index)
        losses = local_round(model, state, site, self._parameters, self._seed, number)
        self._model.send_to_device(self._device_init)
        self.optimizer().keep(state.state_dict(self._parameters.federation.persistent_optimisers), number)
        append_row(records / LOSSES, LOSS_COLUMNS, {"round": number, **losses})
        ledger.record(number, card.client, OUT, {"weights": model.state_dict()})
        prune_states(Path(card.node), self._experiment, number, self._parameters.federation.checkpoint_every)
        return 1

    def _continue(self, state: LocalState, index: int) -> None:
        """Restore the state of the last round that this site took part in.

        Fed-BioMed goes on without a word when it cannot read a state; here that is an error.
        """
        federation, keeper = self._parameters.federation, self.optimizer()
        number, clients = federation.clients_per_round, len(self._parameters.clients)
        earlier = reversed(range(self.round()))
        last = next((r for r in earlier if index in sample_clients(self._seed, r, clients, number)), None)
        if keeper.round_number != last:
            raise FedFactoryError(
                f"the site's state is that of round {keeper.round_number} where that of round {last} is needed; the "
                "folder of its node was changed or lost, so the training must start anew (remove its working folder)"
            )
        keeper.restore(state)


# A node lives longer than a round: reading thousands of images, or an encoder, once is enough.
@functools.lru_cache(maxsize=1)
def _site(folder: Path, stamp: int, parameters: str, device: str) -> ClientImages:
    return read_site(folder, FactoryParameters.from_json(json.loads(parameters)), device)


def _stamp(folder: Path) -> int:
    """Changes when the site's folder is prepared again."""
    return (folder / "site.json").stat().st_mtime_ns
