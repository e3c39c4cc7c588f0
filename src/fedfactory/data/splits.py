"""Who is in train, validation and test, and which slices form M_t (paper, section 4.2)."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedfactory.data.raw import RawCase
from fedfactory.errors import FedFactoryError
from fedfactory.training.seeds import derive_seed

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class SplitSizes:
    """How many labelled subjects are set aside; the rest trains.

    Attributes:
        validation: a fraction below 1 of the labelled subjects, rounded down, or a number of subjects.
        test: likewise.
    """

    validation: float
    test: float

    def of(self, labelled: int, where: str) -> tuple[int, int]:
        """Numbers of validation and of test subjects among so many labelled ones.

        Raises:
            FedFactoryError: none would be left for training.
        """
        validation, test = (math.floor(n * labelled if n < 1 else n) for n in (self.validation, self.test))
        if labelled and validation + test >= labelled:
            raise FedFactoryError(
                f"{where}: of {labelled} labelled subjects 'split' sets {validation} aside for validation and {test} "
                "for testing, and none is left for training; lower them, or label more"
            )
        return validation, test


def split_subjects(cases: Sequence[RawCase], sizes: SplitSizes | None, seed: int, where: str) -> dict[str, str]:
    """Assign every subject of a client to one split.

    Labelled subjects are drawn at random from ``seed``; unlabelled ones train. Where the data name a split themselves
    (a table with a column ``split``), that is used for all. Without ``sizes`` (a client that is not scored) all
    subjects train.

    Returns:
        ``{subject: "train" | "validation" | "test"}``.

    Raises:
        FedFactoryError: a subject in two splits, splits given for some cases only, no test subject, none for training.
    """
    if sizes is None:
        return {case.subject: "train" for case in cases}
    if any(case.split is not None for case in cases):
        splits = _given_splits(cases, where)
    else:
        labelled = sorted({case.subject for case in cases if case.label is not None})
        random.Random(seed).shuffle(labelled)
        validations, tests = sizes.of(len(labelled), where)
        splits = {case.subject: "train" for case in cases}
        splits |= dict.fromkeys(labelled[:tests], "test")
        splits |= dict.fromkeys(labelled[tests : tests + validations], "validation")
    tested = {case.subject for case in cases if case.label is not None and splits[case.subject] == "test"}
    if not tested:
        count = len({case.subject for case in cases if case.label is not None})
        raise FedFactoryError(
            f"{where}: of {count} labelled subjects none is left for the test set; label more, raise 'split.test', "
            "or set 'scored: false' for a site without labels"
        )
    return splits


def _given_splits(cases: Sequence[RawCase], where: str) -> dict[str, str]:
    splits: dict[str, str] = {}
    for case in cases:
        if case.split is None:
            raise FedFactoryError(f"{where}: {case.image.path} has no split while others have; fill the column 'split'")
        if splits.setdefault(case.subject, case.split) != case.split:
            raise FedFactoryError(
                f"{where}: subject '{case.subject}' is in two splits ({splits[case.subject]} and {case.split}); "
                "keep all images of a subject in one"
            )
    return splits


def choose_few_shot(
    middle_slices: Mapping[str, Sequence[tuple[str, int]]], count: int, setup: str, client: str, seed: int
) -> list[tuple[str, int]]:
    """Choose M_t: the middle slice of ``count`` random labelled training volumes, each of another subject.

    Args:
        middle_slices: subject -> its labelled training volumes as (case, index of the middle slice among the slices
            that hold the organ; of tiles the middle one by how much of it they show).
        count: |M_t|, three in the paper.
        setup: name of the setup, for the message and the seed.
        client: name of the client, for the message and the seed.
        seed: the data seed.

    Returns:
        (case, slice) pairs in order of the case's name.

    Raises:
        FedFactoryError: fewer than ``count`` labelled training subjects.
    """
    if len(middle_slices) < count:
        raise FedFactoryError(
            f"client {client} of setup {setup}: M_t needs {count} labelled training subjects, there are "
            f"{len(middle_slices)}; label more volumes or lower 'few_shot.slices'"
        )
    generator = random.Random(derive_seed("few-shot", setup, client, seed))
    subjects = generator.sample(sorted(middle_slices), count)
    return sorted(generator.choice(sorted(middle_slices[subject])) for subject in subjects)
