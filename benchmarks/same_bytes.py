"""Whether two runs gave the same bytes: `python benchmarks/same_bytes.py A B`.

A and B are folders of results (two runs, or two cells), or the ``cell.json`` of a cell and the folder of a run. Exits
with 1 if anything differs. The page of the results and the chart of costs show measured seconds: they differ from run
to run.
"""

import sys

from fedfactory.orchestration.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
