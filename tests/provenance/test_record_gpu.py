"""What a job on a real card records of it. CI has no GPU."""

import pytest
import torch

from fedfactory.provenance.record import read_record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


def test_name_time_memory_and_energy_of_the_card(project, job):
    job("train", "results/run/mm/ct/ours/seed0/model", None, "--device", "cuda")
    record = read_record(project / "results/run/mm/ct/ours/seed0/model/.record.json")
    card = record["device"]
    assert card["name"] == torch.cuda.get_device_name()
    assert card["cuda"] == torch.version.cuda
    assert card["seconds"] == record["seconds"] > 3
    # Two squares of 256 MiB, and what the library for products keeps.
    assert 2 * 256 <= card["peak_memory_mb"] < 3 * 256
    # No card takes less than 20 W when idle or more than 1.5 kW at work.
    assert 20 < record["energy_joules"]["gpu"] / record["seconds"] < 1500


def test_a_job_on_the_cpu_of_such_a_machine_records_no_card(project, job):
    job("train", "results/run/mm/ct/ours/seed0/model")
    record = read_record(project / "results/run/mm/ct/ours/seed0/model/.record.json")
    assert record["device"] == {"name": "cpu"}
    assert record["energy_joules"]["gpu"] is None
