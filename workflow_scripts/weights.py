"""Get a file of published weights, if it is not there, and check it."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import link, new_file
from fedfactory.storage.weights import Weights, check, fetch, require_consent, write_record


def main(arguments: argparse.Namespace) -> None:
    """Fetch, check, lay the file among those of the run, and say which weights these are."""
    entry = read(Weights, json.loads(arguments.entry), arguments.name)
    require_consent(arguments.name, entry, arguments.accepted)
    if not arguments.file.is_file():
        fetch(arguments.name, entry, arguments.file, Progress(f"fetch {arguments.name}"))
    digest = check(arguments.name, entry, arguments.file)
    with new_file(arguments.weights) as file:
        link(arguments.file, file)
    with new_file(arguments.out) as file:
        write_record(file, arguments.name, entry, digest)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="in config/weights.yaml")
    parser.add_argument("--entry", required=True, help="fedfactory.storage.weights.Weights as JSON")
    parser.add_argument("--accepted", nargs="*", default=[], help="names of licences that the configuration accepts")
    parser.add_argument("--file", type=Path, required=True, help="where the file lies, or shall lie")
    parser.add_argument("--weights", type=Path, required=True, help="the same file, for the run's jobs")
    parser.add_argument("--out", type=Path, required=True, help="JSON: name, digest and licence")
    run_script(parser, main)
