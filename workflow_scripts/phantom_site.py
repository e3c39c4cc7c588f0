"""Write one phantom site in the layout of its real release."""

import argparse
from pathlib import Path

from fedfactory.orchestration.job import run_script
from fedfactory.phantoms import write_site
from fedfactory.storage.files import new_folder


def main(arguments: argparse.Namespace) -> None:
    """Write the site whole or not at all."""
    with new_folder(arguments.out) as folder:
        write_site(
            arguments.setup,
            arguments.client,
            folder,
            seed=arguments.seed,
            subjects=arguments.subjects,
            size=arguments.size,
            slices=arguments.slices,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setup", required=True)
    parser.add_argument("--client", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--subjects", type=int, required=True)
    parser.add_argument("--size", type=int, required=True, help="matrix in plane")
    parser.add_argument("--slices", type=int, required=True, help="slices per volume")
    parser.add_argument("--out", type=Path, required=True, help="folder of the site")
    run_script(parser, main)
