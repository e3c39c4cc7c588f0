"""The process of the server: Fed-BioMed's researcher, with the shared server behind it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import Message, own_module
from fedfactory.federation.engines.fedbiomed.folder import ANNOUNCED
from fedfactory.federation.engines.fedbiomed.node_watch import (
    Found,
    check_same_nodes,
    find_clients,
    wait_for_approval,
)
from fedfactory.federation.engines.fedbiomed.processes import Reports
from fedfactory.federation.engines.fedbiomed.records import open_records
from fedfactory.federation.engines.fedbiomed.trained import TrainedAtServer
from fedfactory.federation.engines.fedbiomed.wire import carried, message_of
from fedfactory.federation.ledger import IN, OUT, Ledger
from fedfactory.federation.lifetime import die_with_parent
from fedfactory.federation.message import WEIGHTS
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import new_file

if TYPE_CHECKING:
    from fedbiomed.researcher.federated_workflows import Experiment

# What nodes that the job itself starts may take longer than the deadline: a busy machine imports for minutes.
_START_SECONDS = 300
_REPLIES, _PLANS = "params_*.mpk", "model_*.py"


@dataclass(frozen=True)
class ResearcherTask:
    """What the server's process is told; plain values.

    Attributes:
        trained: full name of a module of this package, as :class:`TrainedAtServer`.
        arguments: of what is trained, as JSON data.
        seed: of the training.
        identity: digest of everything that the training depends on.
        work: folder of what the server makes on the way, and of its records with remote clients.
        checkpoints: folder of checkpoints.
        device: ``cpu`` or ``cuda``, for the nodes.
        remote: whether clients run their own nodes and approve the training plan.
    """

    trained: str
    arguments: Mapping[str, Any]
    seed: int
    identity: str
    work: str
    checkpoints: str
    device: str
    remote: bool


def main() -> None:
    """Train to the end; tell the job every round, or why it cannot go on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", type=Path, required=True)
    parser.add_argument("--reports", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    reports = Reports(arguments.reports)
    try:
        _Researcher(ResearcherTask(**json.loads(arguments.task.read_text())), reports).train()
        reports.send(done=True)
    except FedFactoryError as error:
        reports.send(error=str(error))
    except BaseException as error:
        reports.send(unexpected=f"{type(error).__name__}: {error}")
        raise
    # Fed-BioMed's server has threads that do not end by themselves; the job kills this process.
    time.sleep(3600)


class _Researcher:
    def __init__(self, task: ResearcherTask, reports: Reports) -> None:
        torch.set_num_threads(1)
        self._task, self._reports = task, reports
        self._trained: TrainedAtServer = own_module(task.trained)
        self._server = self._trained.open_server(task.arguments, task.seed, Path(task.work))
        rounds = self._server.rounds
        self._clients, self._deadline, self._key = rounds.clients, rounds.deadline, f"{rounds.key}.deadline"
        self._checkpoints = Checkpoints(Path(task.checkpoints), task.identity)
        self._ledgers: dict[str, Ledger] = {}
        # Of the round's phases so far.
        self._answers: dict[str, dict[int, Message]] = {}

    def train(self) -> None:
        from fedbiomed.researcher.config import config
        from fedbiomed.researcher.requests import Requests

        from fedfactory.federation.engines.fedbiomed.rounds import watch

        # Read at every call: without it Fed-BioMed turns each error into an exit without its reason. Set after the
        # import, which would also turn on a log of megabytes.
        os.environ["FBM_DEBUG"] = "1"
        requests = Requests(config=config)
        start = 0 if self._task.remote else _START_SECONDS
        found = find_clients(requests.search, self._clients, self._deadline, self._key, start)
        announced = {client: dict(node.announced) for client, node in found.items()}
        self._trained.check_announced(announced, self._task.arguments)
        with new_file(Path(self._task.work) / ANNOUNCED) as file:
            file.write_text(json.dumps(announced) + "\n")
        self._nodes = {node.node: client for client, node in found.items()}
        experiment = self._experiment(found)
        if self._task.remote:
            wait_for_approval(experiment, self._nodes, self._deadline, self._key)
            self._open_ledgers(announced)
        forget = watch(requests, self._message, self._deadline, self._key, experiment.strategy().failures)
        while not self._server.finished:
            for _ in self._server.phases:
                experiment.run_once()
                forget()
            if self._server.checkpoint_due:
                self._checkpoint(experiment)
            prune_experiment(experiment, [self._theirs(number) for number in self._checkpoints.kept()])
            self._reports.send(round=self._server.round_number)
        shutil.rmtree(experiment.experimentation_path())

    def _experiment(self, found: Mapping[str, Found]) -> Experiment:
        """The experiment before its next round: a new one, or the one of the last checkpoint."""
        from fedbiomed.researcher.federated_workflows import Experiment

        from fedfactory.federation.engines.fedbiomed.rounds import UniformAverage

        rounds = self._checkpoints.rounds()
        if rounds:
            state = self._checkpoints.load(rounds[-1])
            self._server.load_state_dict(state)
            experiment = Experiment.load_breakpoint(state["breakpoint"])
            experiment.set_save_breakpoints(False)
            experiment.set_retain_full_history(False)
            check_same_nodes(experiment.training_data().data(), found)
        else:
            experiment = self._new_experiment(found)
        experiment.training_plan().set_model_params(self._server.weights)
        aggregator = experiment.aggregator()
        assert isinstance(aggregator, UniformAverage)
        aggregator.accept = self._accept
        return experiment

    def _new_experiment(self, found: Mapping[str, Found]) -> Experiment:
        from fedbiomed.researcher.config import config
        from fedbiomed.researcher.federated_workflows import Experiment

        from fedfactory.federation.engines.fedbiomed.plan import model_args
        from fedfactory.federation.engines.fedbiomed.rounds import SampledClients, UniformAverage

        plan, rounds = self._trained.training_plan(), self._server.rounds
        name = f"training_{self._task.identity[:12]}"
        shutil.rmtree(Path(config.vars["EXPERIMENTS_DIR"]) / name, ignore_errors=True)
        strategy = SampledClients()
        nodes = [found[client].node for client in self._clients]
        phases = self._server.phases
        strategy.configure(self._clients, nodes, self._task.seed, rounds.clients_per_round, len(phases))
        experiment = Experiment(
            training_data={node.node: dict(node.dataset) for node in found.values()},
            # Steps, batches and seeds are the plan's own; Fed-BioMed only wants some loader and a number.
            training_args={
                "num_updates": 1,
                "loader_args": {"batch_size": 1},
                "use_gpu": self._task.device == "cuda",
            },
            aggregator=UniformAverage(),
            node_selection_strategy=strategy,
            retain_full_history=False,
            experimentation_folder=name,
        )
        arguments = model_args(plan, self._task.arguments, rounds, phases, self._task.seed, experiment.id)
        experiment.set_model_args(arguments)
        experiment.set_training_plan_class(plan)
        return experiment

    def _open_ledgers(self, announced: Mapping[str, Mapping[str, Any]]) -> None:
        """This end's records; a remote client's own stay at the client."""
        for client, values in announced.items():
            self._ledgers[client] = open_records(
                Path(self._task.work) / "sites" / client,
                self._server.allowlist_of(client),
                self._trained.announcement(client, values),
                self._trained.loss_columns,
                self._server.round_number,
            )

    @property
    def _phase(self) -> str:
        """The phase of the round that is next, or under way."""
        return self._server.phases[len(self._answers)]

    def _message(self, node: str) -> dict[str, Tensor]:
        """What a node is sent in this phase."""
        client = self._nodes[node]
        message = self._server.message(self._phase, self._clients.index(client), self._answers)
        if ledger := self._ledgers.get(client):
            ledger.record(self._server.round_number, client, IN, message)
        return carried(message)

    def _accept(self, answers: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Finish a phase with what the nodes sent; the last one finishes the round."""
        server, phase = self._server, self._phase
        found = {node: self._checked(self._nodes[node], message_of(arrays)) for node, arrays in answers.items()}
        self._answers[phase] = {self._clients.index(self._nodes[node]): answer for node, answer in found.items()}
        if phase == server.phases[-1]:
            server.accept({index: answer[WEIGHTS] for index, answer in self._answers[phase].items()})
            self._answers = {}
        return server.weights

    def _checked(self, client: str, answer: Message) -> Message:
        """What a client sent, if it is what this phase asks for.

        Raises:
            FedFactoryError: it is not.
        """
        wanted = self._server.answered(self._phase)
        if set(answer) != set(wanted):
            raise FedFactoryError(f"client {client} sent {', '.join(sorted(answer)) or 'nothing'} instead of "
                                  f"{', '.join(wanted)}")  # fmt: skip
        try:
            self._server.allowlist.check(answer)
        except FedFactoryError as error:
            raise FedFactoryError(f"client {client}: {error}") from None
        if ledger := self._ledgers.get(client):
            ledger.record(self._server.round_number, client, OUT, answer)
        return answer

    def _theirs(self, round_number: int) -> int:
        """The round of Fed-BioMed that a round begins with."""
        return round_number * len(self._server.phases)

    def _checkpoint(self, experiment: Experiment) -> None:
        """First Fed-BioMed's breakpoint, then the file that names it: a kill in between leaves the one before."""
        number = self._server.round_number
        folder = _breakpoint(experiment, self._theirs(number))
        shutil.rmtree(folder, ignore_errors=True)
        experiment.breakpoint()
        self._checkpoints.save(number, {**self._server.state_dict(), "breakpoint": str(folder)})


def _breakpoint(experiment: Experiment, round_number: int) -> Path:
    """Folder of Fed-BioMed's breakpoint before one of its rounds."""
    return Path(experiment.experimentation_path()) / f"breakpoint_{round_number - 1:04d}"


def prune_experiment(experiment: Experiment, kept: list[int]) -> None:
    """Remove breakpoints, answers and texts of the plan that no kept breakpoint names.

    Args:
        experiment: after a round.
        kept: Fed-BioMed's rounds before which a checkpoint is kept.
    """
    folder = Path(experiment.experimentation_path())
    breakpoints = {_breakpoint(experiment, number) for number in kept}
    for old in set(folder.glob("breakpoint_*")) - breakpoints:
        shutil.rmtree(old)
    named = {link.resolve() for one in breakpoints for link in one.glob(_PLANS)}
    named.add(Path(experiment.training_plan_file(display=False)).resolve())
    saved = [json.loads((one / f"{one.name}.json").read_text())["training_replies"] for one in breakpoints]
    for rounds in [*saved, experiment.training_replies()]:
        named |= {Path(reply["params_path"]).resolve() for replies in rounds.values() for reply in replies.values()}
    for file in [*folder.glob(_REPLIES), *folder.glob(_PLANS)]:
        if file.resolve() not in named:
            file.unlink()


if __name__ == "__main__":
    main()
