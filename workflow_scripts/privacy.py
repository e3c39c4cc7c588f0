"""Put together what the clients of a factory measured of their privacy."""

import argparse
import json
from pathlib import Path

from fedfactory.factory.privacy import in_words
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file
from fedfactory.storage.tables import read_rows, to_markdown, write_rows

_TEXT = """Distances of slices that the factory draws for a client to the nearest slice of as many of its training
subjects as are held out, and to the nearest one of those. p: of a permutation test whether training subjects lie nearer
to what is drawn. Copies: drawn slices that are nearer to a training slice than half of its distance to the nearest one
of another subject. The gate: p above 0.05, and no copy. Membership: who holds a slice, and the factory, calls it a
training slice the nearer it lies to something that the factory draws, or, in the row of the discriminator, the more the
last discriminator, which all clients and the server have, takes it for real; the area under that attack's ROC curve,
with its 95 % interval over subjects. One half says nothing.
"""


def main(arguments: argparse.Namespace) -> None:
    """Write both tables."""
    rows = [row for file in arguments.measured for row in read_rows(file)]
    with new_file(arguments.out) as path:
        write_rows(path, rows)
    with new_file(arguments.text) as path:
        path.write_text(f"{to_markdown(in_words(rows, json.loads(arguments.parameters)))}\n{_TEXT}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", type=Path, nargs="+", required=True, help="tables of the clients")
    parser.add_argument("--parameters", required=True, help="client -> label as JSON")
    parser.add_argument("--text", type=Path, required=True, help="the same for people, as Markdown")
    parser.add_argument("--out", type=Path, required=True, help="CSV")
    run_script(parser, main)
