"""Who trains in a round, how the answers become one model, and how long an answer may take, for Fed-BioMed.

The sampling is the shared function of both engines; the averaging is done by the shared server. Fed-BioMed's own
FedAvg weights by numbers of images, its default strategy takes every node.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fedbiomed.researcher.aggregators.aggregator import Aggregator
from fedbiomed.researcher.requests import MessagesByNode, RequestPolicy, Requests
from fedbiomed.researcher.strategies.strategy import Strategy
from torch import Tensor

from fedfactory.errors import FedFactoryError
from fedfactory.federation.sampling import sample_clients

Weights = Mapping[str, Tensor]
# How Fed-BioMed hands on an exception of the plan: somewhere in a sentence, as repr.
_TOLD = re.compile(r"FedFactoryError\((['\"])(.*?)\1\)", re.DOTALL)


class SampledClients(Strategy):
    """The clients that the seed draws for a round; all of them must answer.

    A breakpoint makes it without arguments and then restores ``_parameters``.

    Attributes:
        failures: node -> what went wrong with it in this round, filled by :class:`Watch`.
    """

    def __init__(self) -> None:
        """Nothing is known before :meth:`configure` or a breakpoint."""
        super().__init__()
        self.failures: dict[str, str] = {}

    def configure(self, clients: Sequence[str], nodes: Sequence[str], seed: int, number: int, phases: int) -> None:
        """Say who may be drawn.

        Args:
            clients: their names.
            nodes: ids of their nodes, in the same order.
            seed: of the training.
            number: clients of a round.
            phases: of a round; each of them is a round of Fed-BioMed.
        """
        self._parameters = {
            "clients": list(clients), "nodes": list(nodes), "seed": seed, "number": number, "phases": phases,
        }  # fmt: skip

    def sample_nodes(self, from_nodes: list[str], round_i: int) -> list[str]:
        """Nodes of a round of Fed-BioMed, in the order of their clients."""
        self.failures.clear()
        return list(self._drawn(self._round(round_i)))

    def _round(self, theirs: int) -> int:
        """The round that one of Fed-BioMed's belongs to."""
        known: dict[str, Any] = self._parameters
        return int(theirs // known["phases"])

    def _drawn(self, round_number: int) -> dict[str, str]:
        """Node -> client of those that train in a round, in the order of the clients."""
        known: dict[str, Any] = self._parameters
        drawn = sample_clients(known["seed"], round_number, len(known["nodes"]), known["number"])
        return {known["nodes"][index]: known["clients"][index] for index in drawn}

    def refine(
        self, training_replies: Mapping[str, Mapping[str, Any]], round_i: int
    ) -> tuple[dict[str, Weights], dict[str, float], int, dict[str, None]]:
        """Take the arrays out of the answers, in the order of their clients.

        Returns:
            node -> arrays; node -> its share; the number of answers in place of a number of images, which no node
            tells; nothing of secure aggregation.

        Raises:
            FedFactoryError: a client did not answer, or could not train.
        """
        number, problems = self._round(round_i), []
        drawn = self._drawn(number)
        for node, client in drawn.items():
            reply = training_replies.get(node)
            if reply is None:
                problems.append(f"client {client}: {readable(self.failures.get(node, 'its node is disconnected'))}")
            elif not reply["success"]:
                problems.append(f"client {client}: {readable(reply['msg'])}")
        if problems:
            raise FedFactoryError(
                f"round {number} failed at {'; at '.join(problems)}. Start the job again when this is mended; it goes "
                "on from its last checkpoint"
            )
        answers = {node: training_replies[node]["params"] for node in drawn}
        return answers, dict.fromkeys(answers, 1 / len(answers)), len(answers), {}


class UniformAverage(Aggregator):
    """Hands the answers to the shared server.

    Attributes:
        accept: node -> arrays; finishes the phase and returns the weights after it. Set by the researcher, since a
            breakpoint makes the object without arguments.
    """

    accept: Callable[[Mapping[str, Weights]], dict[str, Tensor]]

    def __init__(self) -> None:
        """Fed-BioMed compares the name with those of its own aggregators."""
        super().__init__()
        self.aggregator_name = "UniformAverage"

    def aggregate(self, model_params: Mapping[str, Weights], *_: object, **__: object) -> dict[str, Tensor]:
        """Finish a phase."""
        return self.accept(model_params)


class Watch(RequestPolicy):
    """Ends a training request at the deadline and remembers why a node has no model to give.

    Args:
        messages: node -> request.
        deadline: seconds.
        key: of the deadline in the configuration, for messages.
        failures: node -> reason; filled.
    """

    def __init__(self, messages: Mapping[str, Any], deadline: int, key: str, failures: dict[str, str]) -> None:
        super().__init__()
        self._messages, self._deadline, self._key, self._failures = messages, deadline, key, failures
        self._end = time.monotonic() + deadline
        self.requests: list[Any] = []

    def continue_(self, requests: list[Any]) -> Any:
        """Called twice a second, and after every answer."""
        self.requests = requests
        for request in requests:
            if request.error:
                self._failures[request.node.id] = request.error.extra_msg
        late = [request for request in requests if not request.has_finished()]
        if not late or time.monotonic() < self._end:
            return self.keep()
        for request in late:
            self._failures[request.node.id] = f"no answer within {self._deadline} s (key '{self._key}')"
        return self.stop(late[0])

    def forget(self) -> None:
        """Drop all arrays: Fed-BioMed keeps every message until it ends, at paper scale 0.7 GB a round."""
        answers = [request.reply for request in self.requests if request.reply is not None]
        for message in [*self._messages.values(), *answers]:
            message.params = None


def watch(
    requests: Requests, message: Callable[[str], Weights], deadline: int, key: str, failures: dict[str, str]
) -> Callable[[], None]:
    """Put each node's own arrays into every training request from now on, and a :class:`Watch` on it.

    Args:
        requests: Fed-BioMed's only channel to the nodes; it takes no deadline for a round from an experiment, and one
            message for all.
        message: node -> arrays that it is sent.
        deadline: seconds.
        key: of the deadline in the configuration, for messages.
        failures: filled.

    Returns:
        A function that drops the arrays of the last messages.
    """
    send = requests.send
    last: list[Watch] = []

    def send_watched(messages: Any, nodes: Any = None, policies: Any = None) -> Any:
        if isinstance(messages, MessagesByNode):
            for node, request in messages.items():
                request.params = dict(message(node))
            last[:] = [Watch(messages, deadline, key, failures)]
            policies = [*(policies or []), *last]
        return send(messages, nodes, policies)

    def forget() -> None:
        for policy in last:
            policy.forget()

    requests.send = send_watched
    return forget


def readable(message: str) -> str:
    """The sentence for people inside a message of Fed-BioMed, or the message."""
    told = _TOLD.search(message)
    sentence = told[2].replace("\\'", "'").replace("\\n", "\n") if told else message
    return sentence.rstrip(".")
