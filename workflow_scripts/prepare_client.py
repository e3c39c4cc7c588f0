"""Bring one client's raw data to slices: the store that every method reads."""

import argparse
import json
from pathlib import Path

from fedfactory.data.adapters import find_cases
from fedfactory.data.preprocessing import ClientTask, prepare_client
from fedfactory.orchestration.job import run_script
from fedfactory.provenance.record import read_from_outside


def main(arguments: argparse.Namespace) -> None:
    """Find the cases of the release and prepare them."""
    p = json.loads(arguments.parameters)
    task = ClientTask.from_json(p["task"])
    cases = find_cases(p["adapter"], arguments.raw or arguments.release, p["options"], task.where, task.largest)
    parts = (part for case in cases for part in (case.image, *case.masks))
    read_from_outside({path for part in parts for path in part.paths})
    prepare_client(task, cases, arguments.out, arguments.truth, arguments.preview)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, nargs="?", help="folder of the raw data, where the workflow made them")
    parser.add_argument("--release", type=Path, nargs="?", help="folder of the raw data, where they are a release")
    parser.add_argument("--parameters", required=True, help="adapter, its options, and ClientTask as JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder of the store")
    parser.add_argument("--truth", type=Path, required=True, help="folder for the truth of the test cases")
    parser.add_argument("--preview", type=Path, required=True, help="file for a few training slices")
    run_script(parser, main)
