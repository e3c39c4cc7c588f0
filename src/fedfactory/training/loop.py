"""What stands behind a training loop: rates, averages, validation, selection, and resume after a kill."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fedfactory.config.parameters import Schedule
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints, Clock
from fedfactory.training.seeds import derive_seed

_DECAY = 0.3
# Losses are logged as means over this share of the steps.
_ROWS = 40
# Of Ranger, as its authors' code has them.
_BETA1, _EPSILON, _MEET_EVERY = 0.95, 1e-5, 6
# Beside it the root of a second moment vanishes; a power of two, so that dividing by it rounds nothing.
_LARGE = 2.0**40

LOSSES, VALIDATION, CHOSEN = "losses.csv", "validation.csv", "chosen"
"""Files of a training, and the column of the second that marks the state that was taken."""

Losses = Mapping[str, Tensor]
"""Weighted terms of the loss, each a scalar; their sum is minimised."""


Weights = dict[str, dict[str, Tensor]]
"""State dicts of the networks of a training, by the networks' names."""


class Optimiser(Protocol):
    """What a training asks of an optimiser; torch's own are wrapped by :class:`Plain`."""

    def step(self) -> None:
        """Change the weights by their gradients."""

    def set_rate(self, rate: float) -> None:
        """Change the learning rate."""

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Read what :meth:`state_dict` gave."""


class Plain:
    """One of torch's optimisers.

    Args:
        optimiser: the optimiser.
    """

    def __init__(self, optimiser: torch.optim.Optimizer):
        self._optimiser = optimiser
        self.step: Callable[[], Any] = optimiser.step
        self.state_dict: Callable[[], dict[str, Any]] = optimiser.state_dict
        self.load_state_dict: Callable[[Any], None] = optimiser.load_state_dict

    def set_rate(self, rate: float) -> None:
        """Change the learning rate."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate


def adam(parameters: Iterable[nn.Parameter], rate: float) -> Plain:
    """Adam in torch's fused form, one call for all parameters."""
    return Plain(torch.optim.Adam(parameters, lr=rate, fused=True))


class Ranger:
    """Lookahead (Zhang et al., NeurIPS 2019) around rectified Adam (Liu et al., ICLR 2020).

    Rectified Adam is Adam whose rate and epsilon change with the step, so that torch's fused Adam does all of it in one
    call. Lookahead's slow weights follow the fast ones half way, every six steps, and both go on from there.

    Args:
        parameters: to optimise.
        rate: learning rate.
        beta2: decay of the second moment; the rate is warmed up over about 2 / (1 - beta2) steps.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], rate: float, beta2: float):
        self._fast = torch.optim.Adam(parameters, lr=rate, betas=(_BETA1, beta2), fused=True)
        self._parameters, self._rate, self._beta2, self._count = list(parameters), rate, beta2, 0
        self._slow = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def step(self) -> None:
        """One step of the fast weights; every few steps both meet."""
        self._count += 1
        share, epsilon = rectification(self._count, self._beta2, _EPSILON)
        for group in self._fast.param_groups:
            group["lr"], group["eps"] = share * self._rate, epsilon
        self._fast.step()
        if self._count % _MEET_EVERY == 0:
            for slow, p in zip(self._slow, self._parameters, strict=True):
                p.copy_(slow.lerp_(p, 0.5))

    def set_rate(self, rate: float) -> None:
        """Change the learning rate."""
        self._rate = rate

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        return {"fast": self._fast.state_dict(), "slow": self._slow, "count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Read what :meth:`state_dict` gave."""
        self._fast.load_state_dict(state["fast"])
        for slow, value in zip(self._slow, state["slow"], strict=True):
            slow.copy_(value)
        self._count = state["count"]


def rectification(step: int, beta2: float, epsilon: float) -> tuple[float, float]:
    """What makes a step of Adam one of rectified Adam.

    Args:
        step: from 1 on.
        beta2: decay of the second moment.
        epsilon: of rectified Adam, which adds it before the second moment's bias is corrected, not after.

    Returns:
        A factor of the learning rate, and Adam's epsilon. While the second moment says nothing yet, both are so large
        that it does not count: the step is the mean gradient times the rate.
    """
    left = beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * left / (1 - left)
    if length <= 5:
        return _LARGE, _LARGE
    variance = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return variance**0.5, epsilon / (1 - left) ** 0.5


class Average:
    """Exponential moving average of networks, their normalisation statistics included (Polyak and Juditsky, 1992).

    Args:
        networks: what is averaged.
        decay: for each step; 0 for the networks as they are.
    """

    def __init__(self, networks: Sequence[nn.Module], decay: float):
        self._networks, self._decay = list(networks), decay
        # A state dict holds the tensors themselves, which every step changes in place.
        self._own = [network.state_dict() for network in self._networks]
        self._mean = [{name: value.detach().clone() for name, value in own.items()} for own in self._own]

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the networks, by one step."""
        for mean, own in zip(self._mean, self._own, strict=True):
            for name, value in own.items():
                # Counters of batches are integers.
                if self._decay and value.is_floating_point():
                    mean[name].lerp_(value, 1 - self._decay)
                else:
                    mean[name].copy_(value)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the networks for a while."""
        own = [copy.deepcopy(network.state_dict()) for network in self._networks]
        self.put()
        try:
            yield
        finally:
            for network, state in zip(self._networks, own, strict=True):
                network.load_state_dict(state)

    def put(self) -> None:
        """Put the average into the networks for good."""
        for network, mean in zip(self._networks, self._mean, strict=True):
            network.load_state_dict(mean)

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"mean": self._mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Read what :meth:`state_dict` gave."""
        for mean, values in zip(self._mean, state["mean"], strict=True):
            for name, value in values.items():
                mean[name].copy_(value)


@dataclass(frozen=True)
class Learner:
    """A network that learns.

    Attributes:
        network: the network; parameters that need no gradient stay.
        optimiser: of its parameters.
        rate: its learning rate, before any decay.
    """

    network: nn.Module
    optimiser: Optimiser
    rate: float

    def begin(self, share: float) -> None:
        """Forget the gradients of the step before, and take a share of the learning rate."""
        self.optimiser.set_rate(share * self.rate)
        self.network.zero_grad()

    def step(self, clip: float | None) -> None:
        """One step along the gradients, whose norm is clipped unless ``clip`` is None."""
        if clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        self.optimiser.step()


def rate_share(step: int, schedule: Schedule) -> float:
    """Share of the learning rates at a step: three tenths after the decay."""
    return _DECAY if step >= schedule.decay_at * schedule.steps else 1.0


def step_stream(seed: int, step: int) -> torch.Generator:
    """The stream that a step draws its batches from: its own, so that a resumed training draws the same ones."""
    return torch.Generator().manual_seed(derive_seed("step", seed, step))


def backward(terms: Losses, step: int, batches: int) -> None:
    """Add the gradients of a batch's loss, the sum of its terms, to those of the step.

    Args:
        terms: of the batch.
        step: for the message.
        batches: of the step, whose mean is minimised.

    Raises:
        FedFactoryError: the loss is not finite.
    """
    loss = torch.stack(list(terms.values())).sum()
    if not torch.isfinite(loss):
        raise FedFactoryError(f"the loss of step {step} is not finite; lower the learning rates of the training")
    (loss if batches == 1 else loss / batches).backward()


class Figures(dict[str, float]):
    """Means of the terms over the batches of a step.

    Args:
        batches: how many there are.
    """

    def __init__(self, batches: int):
        super().__init__()
        self._batches = batches

    def add(self, terms: Losses) -> None:
        """Take note of a batch."""
        for name, value in terms.items():
            self[name] = self.get(name, 0.0) + float(value.detach()) / self._batches


class Run:
    """One run of a training, that ends with the same networks whether or not it was killed on the way.

    The loop over :meth:`steps` belongs to whoever trains; it ends every step with :meth:`done`, and then calls
    :meth:`end`. All else is here: resume, the average of the weights, validation and selection, progress.

    Args:
        learners: the networks by name.
        schedule: length, average and validations.
        validate: validation Dice of the networks as they are, for each way to read them; the best state and way are
            taken. Without it, the last state is.
        checkpoints: where the training can go on from.
        progress: updated every step.
        keep: whether the history keeps the average's weights wherever a validation would be due, the start among them:
            states that are chosen from later.
        average: of the networks' weights, if the losses ask for it as well; None makes one.
    """

    def __init__(
        self,
        learners: Mapping[str, Learner],
        schedule: Schedule,
        validate: Callable[[], Mapping[str, float]] | None,
        checkpoints: Checkpoints,
        progress: Progress,
        keep: bool = False,
        average: Average | None = None,
    ):
        self._learners, self._schedule, self._validate, self._keep = learners, schedule, validate, keep
        self._checkpoints, self._progress, self._clock = checkpoints, progress, Clock()
        self._history = History([], [], None)
        self._best: Weights | None = None
        self._mean = average or Average([learner.network for learner in learners.values()], schedule.ema)
        self._parts: dict[str, Any] = {"mean": self._mean}
        for name, learner in learners.items():
            self._parts |= {f"{name}.network": learner.network, f"{name}.optimiser": learner.optimiser}
        count = schedule.validations
        due = {round(i * schedule.steps / count) for i in range(count + 1)}
        self._when = due if validate or keep else set()

    def steps(self) -> range:
        """The steps still to do, after a kill those from the last checkpoint on."""
        start = 0
        if numbers := self._checkpoints.rounds():
            start = numbers[-1]
            state = self._checkpoints.load(start)
            for name, part in self._parts.items():
                part.load_state_dict(state[name])
            self._history, self._best = History.from_plain(state["history"]), state["best"]
            self._history.states = state["states"]
        # What a training starts from is a state as well.
        if start == 0 and 0 in self._when:
            self._judge(0)
        self._train_mode(True)
        return range(start, self._schedule.steps)

    def done(self, step: int, terms: Mapping[str, float]) -> None:
        """End a step: average the weights, and validate, save and tell where that is due.

        Args:
            step: its number.
            terms: means of the loss's terms.
        """
        p, number = self._schedule, step + 1
        self._mean.update()
        self._history.add(step, terms, max(1, p.steps // _ROWS), p.steps)
        if number in self._when:
            self._judge(number)
            self._train_mode(True)
        if number < p.steps and self._clock.due():
            state = {name: part.state_dict() for name, part in self._parts.items()}
            state |= {"history": self._history.plain(), "best": self._best, "states": self._history.states}
            self._checkpoints.save(number, state)
            self._clock.done()
        self._progress.update(number, p.steps, self._history.latest())

    def end(self) -> History:
        """Leave the networks in the selected state, in evaluation mode."""
        self._mean.put()
        if self._best is not None:
            for name, learner in self._learners.items():
                learner.network.load_state_dict(self._best[name])
        self._train_mode(False)
        return self._history

    def _judge(self, step: int) -> None:
        """Keep the average's weights: all that are kept, or those that validate better than all before."""
        with self._mean.in_place():
            if self._keep:
                self._history.states[step] = self._weights()
            if self._validate is not None and self._history.validated(step, self._validate()):
                self._best = self._weights()

    def _weights(self) -> Weights:
        networks = {name: learner.network for name, learner in self._learners.items()}
        return copy.deepcopy({name: network.state_dict() for name, network in networks.items()})

    def _train_mode(self, on: bool) -> None:
        for learner in self._learners.values():
            learner.network.train(on)


@dataclass(frozen=True)
class Training:
    """A training whose step is one loss for all of its networks.

    Attributes:
        learners: the networks by name.
        schedule: length and decay.
        seed: of the batches.
        losses: (step, stream) -> terms of the loss.
        validate: as for :class:`Run`.
        keep: likewise.
        average: likewise.
    """

    learners: Mapping[str, Learner]
    schedule: Schedule
    seed: int
    losses: Callable[[int, torch.Generator], Losses]
    validate: Callable[[], Mapping[str, float]] | None
    keep: bool = False
    average: Average | None = None

    def run(self, checkpoints: Checkpoints, progress: Progress) -> History:
        """Train, or go on from the last checkpoint; the networks end in the selected state, in evaluation mode.

        Raises:
            FedFactoryError: the loss is not finite.
        """
        p = self.schedule
        run = Run(self.learners, p, self.validate, checkpoints, progress, self.keep, self.average)
        for step in run.steps():
            for learner in self.learners.values():
                learner.begin(rate_share(step, p))
            stream, figures = step_stream(self.seed, step), Figures(p.accumulate)
            for _ in range(p.accumulate):
                terms = self.losses(step, stream)
                backward(terms, step, p.accumulate)
                figures.add(terms)
            for learner in self.learners.values():
                learner.step(p.clip)
            run.done(step, figures)
        return run.end()


@dataclass
class History:
    """How a training went.

    Attributes:
        losses: rows of (step, name, mean of the term over the steps since the last row).
        validations: rows of (step, way to read the networks, validation Dice).
        chosen: step and way that were taken; None where nothing chose.
        states: steps -> weights that were kept there.
    """

    losses: list[tuple[int, str, float]]
    validations: list[tuple[int, str, float]]
    chosen: tuple[int, str] | None
    states: dict[int, Weights] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        """Start the running means."""
        self._sums: dict[str, list[float]] = {}

    def add(self, step: int, terms: Mapping[str, float], every: int, steps: int) -> None:
        """Take note of a step's terms."""
        for name, value in terms.items():
            total = self._sums.setdefault(name, [0.0, 0])
            total[0] += value
            total[1] += 1
        if (step + 1) % every == 0 or step + 1 == steps:
            self.losses += [(step + 1, name, total / count) for name, (total, count) in sorted(self._sums.items())]
            self._sums = {}

    def validated(self, step: int, dice: Mapping[str, float]) -> bool:
        """Take note of a validation, and say whether it is the best one so far (the first of equals)."""
        if not dice:
            return False
        best = max((value for _, _, value in self.validations), default=-1.0)
        self.validations += [(step, way, value) for way, value in dice.items()]
        way = max(dice, key=dice.__getitem__)
        if dice[way] > best:
            self.chosen = (step, way)
        return dice[way] > best

    def latest(self) -> str:
        """The latest figures, for the progress."""
        parts = []
        if self.losses:
            last = self.losses[-1][0]
            parts.append(", ".join(f"{name} {value:.3f}" for step, name, value in self.losses if step == last))
        if self.validations:
            last = self.validations[-1][0]
            parts.append(f"validation Dice {max(dice for step, _, dice in self.validations if step == last):.3f}")
        return ", ".join(parts)

    def plain(self) -> dict[str, Any]:
        """As plain data for a checkpoint."""
        return {"losses": self.losses, "validations": self.validations, "chosen": self.chosen, "sums": self._sums}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> History:
        """Read what :meth:`plain` gave."""
        history = cls([tuple(r) for r in data["losses"]], [tuple(r) for r in data["validations"]], data["chosen"])
        if history.chosen is not None:
            step, way = history.chosen
            history.chosen = step, way
        history._sums = {name: list(value) for name, value in data["sums"].items()}
        return history

    def write(self, folder: Path) -> None:
        """Write terms of the loss and validation Dice into an existing folder."""
        losses = [(step, name, f"{value:.6f}") for step, name, value in self.losses]
        dice = [(step, way, f"{value:.6f}", int((step, way) == self.chosen)) for step, way, value in self.validations]
        for name, head, rows in (
            (LOSSES, ("step", "term", "value"), losses),
            (VALIDATION, ("step", "branches", "dice", CHOSEN), dice),
        ):
            with (folder / name).open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerows([head, *rows])
