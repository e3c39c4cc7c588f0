"""What a dry run says: a line for each rule with its number of jobs, why they run and what they make."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_PARAMETERS = "Params have changed"
_WHY = {
    "Forced": "forced",
    "Missing output": "new",
    "Incomplete output": "not finished",
    _PARAMETERS: "",
    "Code has changed": "rule changed",
    "Software environment": "software changed",
    "Set of input files": "inputs changed",
    "Updated input files": "inputs changed",
    "Input files updated": "inputs change in this run",
}
"""What a reason of Snakemake holds -> what the summary says; of several the first here counts."""
_CODE = re.compile(r"'[0-9a-f]{16}(?:\+[\w.+]+)?'")
"""A digest of code (fedfactory.orchestration.code_digest) among parameters before and now."""
_RULES = 27
"""Lines of rules at most; rules of a single job share the last ones."""
_WIDTH = 120
"""Characters of a line at most."""


@dataclass
class _Rule:
    jobs: int = 0
    why: Counter[str] = field(default_factory=Counter)
    makes: str = ""


class DryRun:
    """Collects the jobs of a dry run."""

    def __init__(self) -> None:
        self._rules: dict[str, _Rule] = {}

    def add(self, rule: str, wildcards: Mapping[str, str], output: Iterable[str], reason: str) -> None:
        """Count one job; a job without output, such as ``all``, only waits for others."""
        files = list(output)
        if not files:
            return
        entry = self._rules.setdefault(rule, _Rule(makes=_pattern(files, wildcards)))
        entry.jobs += 1
        entry.why[_why(reason)] += 1

    def lines(self) -> list[str]:
        """The summary; at most 40 lines, however many jobs there are."""
        shown, rest = dict(self._rules), []
        if len(shown) > _RULES:
            # Of a single job: tables and pictures of the whole run, mostly.
            rest = [name for name, rule in shown.items() if rule.jobs == 1]
            several = [name for name in shown if name not in rest]
            rest += sorted(several, key=lambda name: -shown[name].jobs)[_RULES - 1 :]
            shown = {name: rule for name, rule in shown.items() if name not in rest}
        rows = [(str(rule.jobs), name, _text(rule.why), rule.makes) for name, rule in shown.items()]
        rows.insert(0, ("jobs", "rule", "why", "makes"))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            f"{row[0]:>{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}".rstrip() for row in rows
        ]
        if rest:
            others = sum((self._rules[name].why for name in rest), Counter())
            count = sum(self._rules[name].jobs for name in rest)
            said = f"{count:>{widths[0]}}  of {', '.join(sorted(rest))}: {_text(others)}"
            lines += textwrap.wrap(said, _WIDTH, subsequent_indent=" " * (widths[0] + 2))
        total = sum(rule.jobs for rule in self._rules.values())
        return [
            *lines,
            f"{total:>{widths[0]}}  in all",
            "",
            "Nothing was run. To run them: the same command without -n. What they take: fedfactory plan",
            "Every job with its files and reason: --verbose; with its command as well: --printshellcmds",
        ]


def _why(reason: str) -> str:
    found = next((start for start in _WHY if start in reason), None)
    if found != _PARAMETERS:
        return _WHY.get(found or "", reason)
    # Snakemake quotes what differs.
    others = _CODE.sub("", reason)
    changed = [name for name, differs in (("parameters", "'" in others), ("code", others != reason)) if differs]
    return f"{' and '.join(changed) or 'parameters'} changed"


def _text(why: Counter[str]) -> str:
    if len(why) == 1:
        return next(iter(why))
    return ", ".join(f"{count} {said}" for said, count in why.most_common())


def _pattern(files: list[str], wildcards: Mapping[str, str]) -> str:
    """The first file with names of wildcards in the place of their values, and how many more there are."""
    parts = files[0].split("/")
    for key, value in wildcards.items():
        whole = re.compile(rf"(^|(?<=seed)){re.escape(value)}($|(?=\.))")
        for number, part in enumerate(parts[2:], start=2):
            if "<" not in part and whole.search(part):
                parts[number] = whole.sub(f"<{key}>", part)
                break
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return "/".join(parts) + more
