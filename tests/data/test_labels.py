"""Which labels a view lets out, and how many the table counts."""

import numpy as np
import pytest

from fedfactory.data.store import ClientView, SliceRow, StoreWriter
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.declared import methods
from fedfactory.orchestration.labels import NONE, SOURCE, Labels

SPLITS = ["train"] * 5 + ["validation"] * 3 + ["test"]
"""Of cases of two slices each; the first is unlabelled, the last two training cases hold M_t."""


@pytest.fixture
def folder(tmp_path):
    writer = StoreWriter(tmp_path, 4, 2 * len(SPLITS))
    for number, split in enumerate(SPLITS):
        rows = [
            SliceRow(f"s{number}", f"c{number}", i, i, split, number > 0, split == "train" and number > 2)
            for i in range(2)
        ]
        writer.add(rows, FLAT, np.zeros((2, 4, 4), np.float32), np.full((2, 4, 4), number, np.uint8), [True] * 2)
    writer.close(["disc"], {})
    return tmp_path


class Flat:
    """A geometry that nobody asks for."""

    def to_json(self) -> dict:
        return {}


FLAT = Flat()


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        (NONE, (0, 0)),
        (Labels(few_shot=None), (4, 0)),
        (Labels(few_shot=1, validation=True), (1, 6)),
        (Labels(few_shot=None, validation=True, training=True), (8, 6)),
        (Labels(validation=True), (0, 6)),
    ],
)
def test_what_may_be_seen_is_what_is_counted(folder, labels, counts):
    view = ClientView(folder, labels)
    assert labels.count(view.rows) == counts
    assert Labels.from_json(labels.to_json()) == labels
    # A label's value is the number of its case.
    seen = {(row.case, row.slice) for row, may in zip(view.rows, labels.seen(view.rows), strict=True) if may}
    assert len(seen) == sum(counts)
    if labels.of_m_t:
        assert view.few_shot().labels.max(axis=(1, 2)).tolist() == [3, 3, 4, 4][: labels.few_shot]
    else:
        with pytest.raises(FedFactoryError, match="asks for slices of M_t, which its method does not declare"):
            view.few_shot()
    for split, may in (("train", labels.training), ("validation", labels.validation)):
        if may:
            assert {volume.name for volume in view.labelled_volumes(split)} <= {case for case, _ in seen}
        else:
            with pytest.raises(FedFactoryError, match=f"asks for labels of {split} volumes, which its method does not"):
                view.labelled_volumes(split)
    assert all(volume.labels is None for volume in view.unlabelled_images())


def test_more_slices_than_there_are_are_refused(folder):
    with pytest.raises(FedFactoryError, match="M_t has 4 slices, the method declares 5; raise 'few_shot.slices'"):
        ClientView(folder, Labels(few_shot=5)).few_shot()


def test_a_method_that_declares_nothing_sees_nothing():
    assert methods()["feddg"].labels(object()) == methods()["fedmedgan"].labels(object()) == NONE
    assert SOURCE.training and not SOURCE.of_m_t
