"""Waiting for clients: until all answer and have approved the training plan."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedfactory.errors import FedFactoryError
from fedfactory.federation.engines.fedbiomed.folder import TAG
from fedfactory.storage.files import parse_json

if TYPE_CHECKING:
    from fedbiomed.researcher.federated_workflows import Experiment

_POLL_SECONDS = 1.0
# On top of the deadline, for a search that has just begun.
_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Found:
    """A client whose node answered.

    Attributes:
        node: id of its node.
        dataset: what Fed-BioMed knows of its data set.
        announced: what it announced: plain values.
    """

    node: str
    dataset: Mapping[str, Any]
    announced: Mapping[str, Any]


def find_clients(
    search: Callable[[list[str]], Mapping[str, list[dict[str, Any]]]],
    clients: tuple[str, ...],
    deadline: int,
    key: str,
    start: int = 0,
) -> dict[str, Found]:
    """Wait until every client's node answers; Fed-BioMed would start with whoever comes first.

    Args:
        search: Fed-BioMed's search for data sets by tags.
        clients: names of the clients, which are the names of their data sets.
        deadline: seconds.
        key: of the deadline in the configuration, for messages.
        start: seconds on top of it.

    Returns:
        client -> its node, in the order of the clients.

    Raises:
        FedFactoryError: a client is missing at the deadline, nodes are connected and do not answer, or two of them are
            one client.
    """
    end = time.monotonic() + deadline + start
    while True:
        found = _found(_ask(search, end, key), clients)
        missing = [client for client in clients if client not in found]
        if not missing:
            return {client: found[client] for client in clients}
        if time.monotonic() > end:
            more = f" and {start} s to start" if start else ""
            raise FedFactoryError(
                f"no answer within {deadline + start} s (key '{key}'{more}) from the node of "
                f"{', '.join(missing)}; start it and start the job again"
            )
        time.sleep(_POLL_SECONDS)


def _ask(search: Callable[[list[str]], Mapping[str, list[dict[str, Any]]]], end: float, key: str) -> Mapping[str, Any]:
    """Search, but not for ever: Fed-BioMed waits without a limit for a node that is connected and refuses to answer."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(search([TAG]))
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, end - time.monotonic()) + _GRACE_SECONDS)
    except queue.Empty:
        raise FedFactoryError(
            f"a node is connected and does not answer (key '{key}'); its log says why: most "
            "likely it knows another certificate of the coordinator than the present one. Give it that, start it "
            "again, and start the job again"
        ) from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _found(answers: Mapping[str, list[dict[str, Any]]], clients: tuple[str, ...]) -> dict[str, Found]:
    """The clients among the data sets that nodes have."""
    found: dict[str, Found] = {}
    for node, datasets in answers.items():
        for dataset in datasets:
            client = dataset["name"]
            if client in found:
                raise FedFactoryError(f"two data sets are called {client}: at {found[client].node} and at {node}")
            if client in clients:
                found[client] = Found(node, dataset, _announced(client, dataset["description"]))
    return found


def _announced(client: str, description: str) -> Mapping[str, Any]:
    try:
        found = parse_json(description)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise FedFactoryError(f"the node of {client} announces nothing that can be read; prepare it again")
    return found


def check_same_nodes(before: Mapping[str, Mapping[str, Any]], clients: Mapping[str, Found]) -> None:
    """Check that a training goes on with the nodes and data sets it began with.

    Raises:
        FedFactoryError: it would not.
    """
    for client, found in clients.items():
        if before.get(found.node, {}).get("dataset_id") != found.dataset["dataset_id"]:
            raise FedFactoryError(
                f"the node of {client} or its data set is not the one that the training began with; remove the working "
                "folder of the training to start anew"
            )


def wait_for_approval(experiment: Experiment, nodes: Mapping[str, str], deadline: int, key: str) -> None:
    """Ask the clients to approve the training plan, and wait until all have.

    Args:
        experiment: before a round.
        nodes: node -> client.
        deadline: seconds.
        key: of the deadline in the configuration, for messages.

    Raises:
        FedFactoryError: a client has not approved by then, or has rejected.
    """
    end, asked = time.monotonic() + deadline, False
    while True:
        status = {node: _approval(reply) for node, reply in experiment.check_training_plan_status().items()}
        rejected = [client for node, client in nodes.items() if status.get(node) == "Rejected"]
        if rejected:
            raise FedFactoryError(f"the training plan was rejected at {', '.join(rejected)}")
        open_ = [client for node, client in nodes.items() if status.get(node) != "Approved"]
        if not open_:
            return
        if not asked:
            experiment.training_plan_approve("training by the package fedfactory")
            asked = True
        if time.monotonic() > end:
            raise FedFactoryError(
                f"the training plan was not approved within {deadline} s (key '{key}') at "
                f"{', '.join(open_)}; see docs/federation.md for how a client approves, then start the job again"
            )
        time.sleep(_POLL_SECONDS)


def _approval(reply: Any) -> str:
    return reply.status if reply.approval_obligation else "Approved"
