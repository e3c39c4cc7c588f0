"""What runs at a client in a round: the class that the shipped text inherits from, as it is installed there."""

from __future__ import annotations

import functools
import io
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
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
from fedfactory.federation.client import FederatedClient, Message
from fedfactory.federation.engines.fedbiomed.folder import NodeDescription, read_description
from fedfactory.federation.engines.fedbiomed.node_database import back_up_database, prune_states
from fedfactory.federation.engines.fedbiomed.records import open_records
from fedfactory.federation.engines.fedbiomed.wire import carried, message_of, without_message
from fedfactory.federation.ledger import IN, OUT, record_failure
from fedfactory.federation.loss_table import LOSSES, append_row
from fedfactory.federation.message import failure_of
from fedfactory.federation.own_log import write_own_log
from fedfactory.federation.sampling import sample_clients
from fedfactory.federation.server import Rounds
from fedfactory.orchestration.code_digest import code_digest
from fedfactory.training.devices import make_deterministic

# What of the rounds a client needs to know.
_ROUNDS = ("clients", "clients_per_round", "checkpoint_every")


@functools.cache
def own_digest(trained: ModuleType) -> str:
    """All code of this package that trains at a client, as it was when this process loaded it.

    Args:
        trained: what is trained, as :class:`~fedfactory.federation.engines.fedbiomed.trained.TrainedAtNode`.
    """
    return code_digest(Path(__file__), trained.__name__)


def model_args(
    plan: type[ClientTrainingPlan],
    arguments: Mapping[str, Any],
    rounds: Rounds,
    phases: Sequence[str],
    seed: int,
    experiment: str,
) -> dict[str, Any]:
    """What the server sends besides messages.

    Args:
        plan: the class that is sent as text.
        arguments: of what is trained, as JSON data.
        rounds: how long, and with whom.
        phases: of a round, in each of which clients answer.
        seed: of the training.
        experiment: Fed-BioMed's id of the training.
    """
    return {
        "experiment": experiment,
        "version": __version__,
        "code": own_digest(plan.trained),
        "arguments": dict(arguments),
        "rounds": {name: value for name, value in asdict(rounds).items() if name in _ROUNDS},
        "phases": list(phases),
        "seed": seed,
    }


def refusal(arguments: Mapping[str, Any], digest: str) -> str | None:
    """Why this client cannot train with the server, or None; crosses as it is, and names versions only.

    Args:
        arguments: what :func:`model_args` gave at the server.
        digest: of this client's code.
    """
    if arguments.get("version") != __version__:
        return (
            f"the server runs fedfactory {arguments.get('version')}, this client {__version__}; install the "
            "server's version at the client"
        )
    if arguments.get("code") != digest:
        return (
            f"server and client both run fedfactory {__version__}, but their code differs (digests "
            f"{arguments.get('code')} and {digest}); install the same release at both"
        )
    return None


class ClientDataset(CustomDataset):
    """The client's folder. For Fed-BioMed it has one item, so that the number of images never leaves the client."""

    def read(self) -> None:
        """Images are read by the round itself, whose errors are told in the fixed words."""

    def get_item(self, index: int) -> Tensor:
        """No image goes through Fed-BioMed's loaders."""
        return torch.zeros(1)

    def __len__(self) -> int:
        """One."""
        return 1


class StateKeeper(BaseOptimizer):
    """Carries what a client keeps from round to round by Fed-BioMed's node state.

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

    def restore(self, client: FederatedClient) -> None:
        """Continue its state; nothing in the bytes is executed."""
        if self.state is not None:
            client.load_state_dict(torch.load(io.BytesIO(self.state), map_location="cpu", weights_only=True))

    def keep(self, state: dict[str, Any], round_number: int) -> None:
        """Save a client's state with this round's."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.round_number, self.state = round_number, buffer.getvalue()


@dataclass
class _Opened:
    """The client of the round that is under way, where rounds have several phases: it remembers the ones before.

    Attributes:
        place: Fed-BioMed's id of the training, and its round that comes next.
        client: in the middle of a round.
    """

    place: tuple[str, int] | None = None
    client: FederatedClient | None = None


# A node lives longer than a phase; a round that a kill broke off begins anew.
_OPENED = _Opened()


class ClientTrainingPlan(TorchTrainingPlan):
    """One phase of a :class:`~fedfactory.federation.client.FederatedClient`, opened from the node's folder.

    Attributes:
        trained: what is trained, as :class:`~fedfactory.federation.engines.fedbiomed.trained.TrainedAtNode`. The text
            that is sent sets it, so that the client sees and approves it.
    """

    trained: ModuleType

    def __init_subclass__(cls) -> None:
        """Take the digest of the code that has just been loaded."""
        super().__init_subclass__()
        own_digest(cls.trained)

    def post_init(self, *args: Any, initialize_optimizer: bool = True, **kwargs: Any) -> None:
        """Set up; Fed-BioMed's own builder of optimisers knows no pair of them."""
        self._answer: Message | None = None
        super().post_init(*args, initialize_optimizer=False, **kwargs)
        if initialize_optimizer:
            self.set_optimizer(StateKeeper(self._model))

    def init_model(self, model_args: dict[str, Any]) -> nn.Module:
        """Build the model, if this client has the server's code.

        If it has not, Fed-BioMed would keep the reason of an error here from the server: the reason is told by
        :meth:`training_data`, and the model is an empty one.
        """
        self._refusal = refusal(model_args, own_digest(self.trained))
        if self._refusal:
            return nn.Linear(1, 1)
        self._arguments, self._rounds = model_args["arguments"], model_args["rounds"]
        self._phases = model_args["phases"]
        self._seed, self._experiment = model_args["seed"], model_args["experiment"]
        return self.trained.build_model(self._arguments)

    def set_model_params(self, params: dict[str, Any], local_params: list[str] | None = None) -> None:
        """Take over the server's message; and weights, which Fed-BioMed sets, unless there is no model for them."""
        self._message = message_of(params)
        if not self._refusal:
            super().set_model_params(without_message(params), local_params)

    def after_training_params(self, flatten: bool = False) -> dict[str, Tensor]:
        """The client's answer; at the server the model's weights."""
        return super().after_training_params(flatten) if self._answer is None else carried(self._answer)

    def training_step(self) -> None:
        """Never called: a local round is more than a sum of losses over batches."""
        raise NotImplementedError

    def training_data(self) -> DataManager:
        """The client's folder.

        Raises:
            FedFactoryError: this client has other code than the server.
        """
        if self._refusal:
            raise FedFactoryError(self._refusal)
        self._dataset = ClientDataset()
        return DataManager(dataset=self._dataset, batch_size=1, shuffle=False)

    def training_routine(self, history_monitor: object = None, node_args: dict[str, Any] | None = None) -> int:
        """Take part in one phase, and write down what comes in and goes out.

        Losses stay at the client: ``history_monitor``, which would send them, is not used. Of an error the fixed
        sentence goes out, and the rest stays in the client's own log.

        Raises:
            FedFactoryError: the fixed sentence.
        """
        folder = Path(self._dataset.path)
        try:
            description = read_description(folder)
        except FedFactoryError as error:
            # Where the records are is not known: this machine's log of the node has the story.
            traceback.print_exc()
            raise FedFactoryError(failure_of(error)) from None
        try:
            torch.set_num_threads(1)
            self._set_device(self._use_gpu, node_args or {})
            make_deterministic(torch.device(self._device).type)
            self._train(folder, description)
        except Exception as error:
            records = description.records_of(self._experiment)
            write_own_log(records, error)
            number = self.round() // len(self._phases)
            raise FedFactoryError(record_failure(records, description.client, error, number)) from None
        return 1

    def _train(self, folder: Path, description: NodeDescription) -> None:
        """One phase of the client."""
        number, place = divmod(self.round(), len(self._phases))
        records, name = description.records_of(self._experiment), description.client
        client = self._client(folder, self._rounds["clients"].index(name))
        back_up_database(Path(description.node))
        # What an earlier phase of this round has written stays.
        until = number + (place > 0)
        ledger = open_records(records, client.allowlist, client.announcement(), client.loss_columns, until)
        ledger.record(number, name, IN, self._message)
        self._answer, losses = client.answer(number, self._phases[place], self._message)
        if losses is not None:
            append_row(records / LOSSES, client.loss_columns, {"round": number, **losses})
        ledger.record(number, name, OUT, self._answer)
        if place == len(self._phases) - 1:
            self.optimizer().keep(client.state_dict(), number)
        else:
            _OPENED.place, _OPENED.client = (self._experiment, self.round() + 1), client
        every = self._rounds["checkpoint_every"] * len(self._phases)
        prune_states(Path(description.node), self._experiment, self.round(), every)

    def _client(self, folder: Path, index: int) -> FederatedClient:
        """The client as the phase before left it; in a round's first phase as the last round left it."""
        number, place = divmod(self.round(), len(self._phases))
        opened, _OPENED.client = _OPENED.client, None
        if not place:
            client = self.trained.open_client(folder, self._arguments, self._seed, self._device)
            self._continue(client, index, number)
            return client
        if opened is None or _OPENED.place != (self._experiment, self.round()):
            raise FedFactoryError(
                "this node was started anew in the middle of a round; start the training again, it goes on from its "
                "last checkpoint"
            )
        return opened

    def _continue(self, client: FederatedClient, index: int, round_number: int) -> None:
        """Restore the state of the last round before this one that this client took part in.

        Fed-BioMed goes on without a word when it cannot read a state; here that is an error.
        """
        keeper, number, clients = self.optimizer(), self._rounds["clients_per_round"], len(self._rounds["clients"])
        earlier = reversed(range(round_number))
        last = next((r for r in earlier if index in sample_clients(self._seed, r, clients, number)), None)
        if keeper.round_number != last:
            raise FedFactoryError(
                f"the client's state is that of round {keeper.round_number} where that of round {last} is needed; the "
                "folder of its node was changed or lost, so the training must start anew (remove its working folder)"
            )
        keeper.restore(client)
