"""What methods and stages of the workflow declare of their jobs, and where it stands.

A method is a folder of :mod:`fedfactory.methods` with a file ``declaration.py``, which holds ``DECLARATION``, a
:class:`Method`. Stages that make no predictions declare their rules in the same way, in ``declaration.py`` of their
package, as a :class:`Stage`. The folders are the list: audit, plan, preflight, ``check-method``, ``fedfactory methods``
and the rules all read it here. Reading a declaration imports nothing of its method.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from fedfactory.orchestration.labels import NONE, Labels

PACKAGE = Path(__file__).parents[1]


class Reads(Enum):
    """Whose private data a job of a rule may read. The value says it in words."""

    OWN = "its own client's"
    SOURCE_AND_TARGET = "the source's and the target's"
    ALL_BUT_TARGET = "everybody's but the target's"
    ALL = "that of all who take part"

    @property
    def federated(self) -> bool:
        """Whether several clients take part, each of which opens its data in a process of its own."""
        return self is not Reads.OWN


@dataclass(frozen=True)
class Rule:
    """What a rule's jobs read and let out.

    Attributes:
        name: of the rule.
        reads: whose private data a job may read.
        truth: whether it may read the truth of test volumes.
        shows_truth: whether it may read what clients release of that truth for pictures.
        private: names of outputs that only jobs of the same client may read.
        releases: names of outputs that hold truth which the client releases for pictures.
        lets_out: what leaves a client, in words; empty if nothing does but results.
        steps: optimiser steps of a job, from its checked parameters and the number of clients that take part; None for
            a job without training.
    """

    name: str
    reads: Reads = Reads.OWN
    truth: bool = False
    shows_truth: bool = False
    private: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    lets_out: str = ""
    steps: Callable[[Any, int], int] | None = None


FIT = Rule("fit")
"""The rule that all methods share which are fitted at the target alone."""
PREDICT = Rule("predict", private=("predictions",))
"""The rule that all methods share whose predictions are masks and nothing else."""
CHOOSE = Rule("choose")
"""The rule that all methods share among whose states the target's validation volumes may choose."""


@dataclass(frozen=True)
class Stage:
    """A part of the workflow that makes no predictions.

    Attributes:
        rules: its rules.
        plan: ``module:class`` of what its rules ask for their files; opened with the run, its ``parameters`` are the
            checked ones by setup. Empty if none of its rules trains.
    """

    rules: tuple[Rule, ...]
    plan: str = ""

    def parameters_of(self, config: Any, project: Path, wildcards: Mapping[str, str]) -> Any:
        """Checked parameters of a job."""
        return load(self.plan)(config).parameters[wildcards["setup"]]


@dataclass(frozen=True)
class Card:
    """What a reader of a method's rows should know beside their figures; the rest of its card is declared already.

    Attributes:
        papers: a sentence each.
        code: published code, and the licence that its README names.
        normalisation: what normalises inside its network, and what of that travels.
        failures: where it is known to fail.
        rests_on: rules of other stages that it needs, and that let something out.
    """

    papers: tuple[str, ...] = ()
    code: str = ""
    normalisation: str = ""
    failures: str = ""
    rests_on: tuple[str, ...] = ()


def no_labels(parameters: Any) -> Labels:
    """What a method sees that says nothing of the target's labels."""
    return NONE


@dataclass(frozen=True)
class Method:
    """A method of the benchmark; references to code are ``module:name``.

    Attributes:
        name: what an entry of the configuration calls it, in ``rules``. Where ``rules/methods/<name>.smk`` exists, it
            holds the method's own rules.
        title: what it is.
        rules: its rules, :data:`FIT` and :data:`PREDICT` among them where it takes those.
        parameters: its parameters, a dataclass for :func:`fedfactory.config.parameters.read`; empty if it has none.
        cells: what its rules ask for files; a class like :class:`fedfactory.methods.cells.Cells`, which is the default.
        labels: which labelled slices of the target its jobs see, from its checked parameters. They see no others, and
            the table counts them.
        choose: for :data:`CHOOSE`, a function from a :class:`fedfactory.methods.contract.Trained` and the target's
            validation volumes to the Dice of every state that a cell could be predicted with. The labels of these
            volumes are then seen by that job alone, and the training leaves its states, and one of its own choice for
            the strict protocol.
        fit: for :data:`FIT`, a function that takes a :class:`fedfactory.methods.contract.Fit`.
        segmenter: a function from a :class:`fedfactory.methods.contract.Trained` to a segmenter.
        also: for a rule of its own that has more outputs than the masks, a function that writes them: it takes the
            same, the segmenter, the names of the cases, and the files.
        note: what a reader of the table must know of a row, from its parameters as they are written; None for nothing.
        refers: names of parameters that name other methods of the run.
        sites: how many sites with labels a setup must have; in a run with fewer its rows are left out.
        memory_mb: of a job of the shared rules.
        card: what else a reader should know.
        peaks: row of docs/benchmarks/gpu_paper.csv -> how many times its batch the method's own is, by parameters.
    """

    name: str
    title: str
    rules: tuple[Rule, ...]
    parameters: str = ""
    cells: str = "fedfactory.methods.cells:Cells"
    labels: Callable[[Any], Labels] = no_labels
    fit: str = ""
    choose: str = ""
    segmenter: str = ""
    also: str = ""
    note: Callable[[Mapping[str, Any]], str] | None = None
    refers: tuple[str, ...] = ()
    sites: int = 2
    memory_mb: int = 3000
    card: Card = Card()
    peaks: Mapping[str, Callable[[Any], float]] = field(default_factory=dict)

    def open(self, config: Any, project: Path) -> Any:
        """What the method's rules ask for files and parameters; opening it checks all entries of the method.

        Raises:
            FedFactoryError: bad parameters.
        """
        return load(self.cells)(config, project, self)

    def parameters_of(self, config: Any, project: Path, wildcards: Mapping[str, str]) -> Any:
        """Checked parameters of a job."""
        return self.open(config, project).of(wildcards["method"], wildcards["setup"])


def load(reference: str) -> Any:
    """What a reference ``module:name`` names; modules are those of this package, and no others.

    Raises:
        ValueError: it names another module.
    """
    module, _, name = reference.partition(":")
    if module.partition(".")[0] != PACKAGE.name:
        raise ValueError(f"{reference!r} is no module of {PACKAGE.name}")
    return getattr(importlib.import_module(module), name)


@cache
def methods() -> dict[str, Method]:
    """All methods, by name."""
    return {found.name: found for found in _declarations("methods/*/declaration.py")}


@cache
def stages() -> tuple[Stage, ...]:
    """All stages that are no methods."""
    return tuple(_declarations("*/declaration.py"))


@cache
def rules() -> dict[str, Rule]:
    """All declared rules, by name."""
    return {rule.name: rule for owner in _owners() for rule in owner.rules}


def private() -> set[str]:
    """Names of all outputs that only jobs of the same client may read."""
    return {name for rule in rules().values() for name in rule.private}


def rule(name: str) -> Rule:
    """A rule by its name; one that is not declared may read its own client's data only."""
    return rules().get(name, Rule(name))


@cache
def owner(name: str) -> Stage | Method:
    """Who declares a rule that trains."""
    return next(found for found in _owners() if any(own.name == name for own in found.rules))


def _owners() -> list[Stage | Method]:
    return [*stages(), *methods().values()]


def _declarations(pattern: str) -> list[Any]:
    files = (path.relative_to(PACKAGE.parent).with_suffix("") for path in sorted(PACKAGE.glob(pattern)))
    return [importlib.import_module(".".join(file.parts)).DECLARATION for file in files]
