"""What attackers try and what comes of it: `python -m benchmarks.attacks --out docs/benchmarks`.

Runs the tests that have the mark `attack`. Each makes its attack and asks for the outcome that its mark names; one that
is not seen is a failure, and the command then ends with 1.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks.cells import ROOT


class Attacks:
    """A plugin of pytest that remembers marks and outcomes."""

    def __init__(self) -> None:
        self.marks: dict[str, tuple[str, str]] = {}
        self.seen: dict[str, Counter[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Remember what each test tries."""
        for item in items:
            if mark := item.get_closest_marker("attack"):
                self.marks[item.nodeid] = mark.args

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what came of it."""
        if report.when == "call" or report.outcome != "passed":
            self.seen.setdefault(report.nodeid.partition("[")[0], Counter())[report.outcome] += 1

    def rows(self) -> list[dict[str, str | float]]:
        """A row for each test."""
        found: dict[str, dict[str, str | float]] = {}
        for node, (what, outcome) in self.marks.items():
            test = node.partition("[")[0]
            counts = self.seen.get(test, Counter())
            found[test] = {
                "attack": what,
                "what comes of it": outcome,
                "tried": sum(counts.values()),
                "so it was": counts["passed"],
                "test": test,
            }
        return list(found.values())


def main() -> None:
    """Run the attacks, write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out.resolve()
    attacks = Attacks()
    failed = pytest.main(["-m", "attack", "--rootdir", str(ROOT), str(ROOT / "tests")], plugins=[attacks])
    tables.write(attacks.rows(), out, "attacks")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
