"""Prepared data in the Croissant format."""

import json
import subprocess

import pytest

from fedfactory.orchestration.cli import main
from tests.conftest import ROOT
from tests.workflow.conftest import Project

VALIDATOR = ROOT / ".venv/validators/bin/mlcroissant"


@pytest.mark.workflow
@pytest.mark.slow
def test_a_description_names_every_file_and_column_and_its_validator_reads_them(fresh: Project, monkeypatch, capsys):
    monkeypatch.chdir(fresh.folder)
    configuration = ["--configfile", "config/test.yaml"]
    assert main(["croissant", "ms", *configuration, "--out", "ms.json"]) == 1
    assert "the store is not made yet: snakemake --cores 2 results/test/ms/" in capsys.readouterr().err
    clients = ("siemens", "philips", "ge", "canon")
    fresh.snakemake(*(f"results/test/ms/{client}/data" for client in clients), *configuration)
    out = fresh.folder / "results/test/ms/croissant.json"
    assert main(["croissant", "ms", *configuration, "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert len(found["distribution"]) == 3 * len(clients)
    assert all((out.parent / file["contentUrl"]).is_file() for file in found["distribution"])
    assert found["rai:personalSensitiveInformation"] == "None."
    assert main(["croissant", "heads", *configuration, "--out", "x.json"]) == 1
    assert "there is no setup 'heads'" in capsys.readouterr().err
    if not VALIDATOR.exists():
        pytest.skip("no validators here: make .venv/validators/.complete")
    done = subprocess.run([str(VALIDATOR), "validate", "--jsonld", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
