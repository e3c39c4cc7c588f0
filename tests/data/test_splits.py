from collections import Counter
from pathlib import Path

import pytest

from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import RawCase
from fedfactory.data.splits import SplitSizes, choose_few_shot, split_subjects
from fedfactory.errors import FedFactoryError

SOURCE = ImageFile(Path("x.nii.gz"))
PAPER = SplitSizes(validation=0.15, test=0.15)


def cases(count, unlabelled=0, volumes=2):
    return [
        RawCase(f"s{i}", f"s{i}_{v}", SOURCE, SOURCE if i < count else None)
        for i in range(count + unlabelled)
        for v in range(volumes)
    ]


def test_fractions_are_rounded_down_and_by_subject():
    splits = split_subjects(cases(49, unlabelled=3), PAPER, 0, "x")
    counts = {split: list(splits.values()).count(split) for split in set(splits.values())}
    assert counts == {"train": 38, "validation": 7, "test": 7}
    assert all(splits[f"s{i}"] == "train" for i in (49, 50, 51))


def test_seed_decides_alone():
    assert split_subjects(cases(20), PAPER, 1, "x") == split_subjects(cases(20)[::-1], PAPER, 1, "x")
    assert split_subjects(cases(20), PAPER, 1, "x") != split_subjects(cases(20), PAPER, 2, "x")


def test_too_few_subjects_for_a_test_set():
    with pytest.raises(FedFactoryError, match="client x: of 5 labelled subjects none is left for the test set"):
        split_subjects(cases(5), PAPER, 0, "client x")


def test_given_splits():
    given = [RawCase("a", "a1", SOURCE, SOURCE, split="train"), RawCase("b", "b1", SOURCE, SOURCE, split="test")]
    assert split_subjects(given, PAPER, 0, "x") == {"a": "train", "b": "test"}
    twice = [*given, RawCase("a", "a2", SOURCE, SOURCE, split="test")]
    with pytest.raises(FedFactoryError, match=r"subject 'a' is in two splits \(train and test\)"):
        split_subjects(twice, PAPER, 0, "x")
    with pytest.raises(FedFactoryError, match="has no split while others have"):
        split_subjects([*given, RawCase("c", "c1", SOURCE, SOURCE)], PAPER, 0, "x")


def test_few_shot_takes_distinct_subjects():
    middles = {f"s{i}": [(f"s{i}_ED", 4), (f"s{i}_ES", 5)] for i in range(10)}
    chosen = choose_few_shot(middles, 3, "ms", "ge", 0)
    assert len({case.split("_")[0] for case, _ in chosen}) == 3
    assert chosen == choose_few_shot(middles, 3, "ms", "ge", 0)
    assert chosen != choose_few_shot(middles, 3, "ms", "ge", 1)


def test_too_few_labelled_training_volumes():
    with pytest.raises(
        FedFactoryError, match="client ge of setup ms: M_t needs 3 labelled training subjects, there are 2"
    ):
        choose_few_shot({"a": [("a", 1)], "b": [("b", 1)]}, 3, "ms", "ge", 0)


def test_numbers_of_subjects_instead_of_fractions():
    splits = split_subjects(cases(41), SplitSizes(validation=3, test=30), 0, "x")
    assert Counter(splits.values()) == {"train": 8, "validation": 3, "test": 30}
    with pytest.raises(FedFactoryError, match="x: of 33 labelled subjects 'split' sets 3 aside for validation and 30"):
        split_subjects(cases(33), SplitSizes(validation=3, test=30), 0, "x")
