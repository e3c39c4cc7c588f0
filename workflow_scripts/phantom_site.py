"""Write one phantom site in the layout of its real release."""

import argparse
import json
from pathlib import Path

from fedfactory.orchestration.job import run_script
from fedfactory.phantoms import write_site
from fedfactory.storage.files import new_folder


def main(arguments: argparse.Namespace) -> None:
    """Write the site whole or not at all."""
    p = json.loads(arguments.parameters)
    with new_folder(arguments.out) as folder:
        write_site(p.pop("setup"), p.pop("client"), folder, **p)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", required=True, help="setup, client, and arguments of write_site as JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder of the site")
    run_script(parser, main)
