"""The demo's factory learns, in the workflow as a user runs it."""

import csv

import pytest

from tests.workflow.conftest import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

# Five sixths of the demo's rounds, on phantoms and with a training seed that its settings were not found on.
SHORT = """
seeds: [1]
data: {seed: 1}
factory: {federation: {rounds: 500, refinement_rounds: 4, snapshots: 3}}
"""


def test_a_short_training_comes_closer_to_every_client_and_shares_anatomy(fresh: Project):
    (fresh.folder / "config/short.yaml").write_text(SHORT)
    target = "results/demo/mm/factory/seed1/samples.png"
    fresh.snakemake(target, "--configfile", "config/demo.yaml", "config/short.yaml")
    folder = fresh.folder / "results/demo/mm/factory/seed1"
    with (folder / "quality.csv").open(newline="") as file:
        rows = {row["client"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"PET", "CT", "PDw"}
    for client, row in rows.items():
        assert float(row["closeness"]) < 0.7 * float(row["untrained"]), client
        assert "aligned" not in row["gates"], client
        assert float(row["variety"]) > 0.3, client
    with (folder / "ledger.csv").open(newline="") as file:
        models = [row for row in csv.DictReader(file) if row["field"] == "weights"]
    sent = sum(int(row["messages"]) for row in models if row["direction"] == "out of the site")
    assert sent == 2 * 504, "two clients in each of the rounds of both stages"
    sizes = {int(row["bytes"]) / int(row["messages"]) for row in models}
    assert len(sizes) == 1, "every message has the size of the model"
