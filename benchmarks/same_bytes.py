"""Whether two runs gave the same bytes: `python benchmarks/same_bytes.py A B`.

A and B are folders of results (two runs, or two cells), or the ``cell.json`` of a cell and the folder of a run. Exits
with 1 if anything differs. The page of the results and the chart of costs show measured seconds: they differ from run
to run.
"""

import argparse
import sys
from pathlib import Path

from fedfactory.errors import FedFactoryError
from fedfactory.provenance.compare import compare


def main() -> None:
    """Compare, and say what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    arguments = parser.parse_args()
    try:
        found = compare(arguments.first, arguments.second)
    except FedFactoryError as error:
        sys.exit(f"error: {error}")
    print("\n".join(found.report()))
    sys.exit(not found.equal)


if __name__ == "__main__":
    main()
