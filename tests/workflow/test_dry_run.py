"""What a dry run prints: few lines, whatever there is to do."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake.common
import snakemake.rules
from snakemake.jobs import Job
from snakemake.output_index import OutputIndex

from fedfactory.orchestration.code_digest import PlannedCode
from snakemake_logger_plugin_fedfactory import once
from snakemake_logger_plugin_fedfactory.dry_run import DryRun
from tests.workflow.conftest import Project, edit

LINES = 40


def test_a_line_for_each_rule_says_how_many_jobs_why_and_what_they_make():
    dry_run = DryRun()
    for client, reason in (("pet", "Missing output files: a"), ("ct", "Updated input files: b")):
        wildcards = {"setup": "mm", "client": client, "method": "ours", "seed": "0"}
        made = f"results/demo/mm/{client}/ours/seed0"
        dry_run.add("score", wildcards, [f"{made}/scores.csv", f"{made}/panel.npz"], reason)
    dry_run.add("all", {}, [], "Input files updated by another job: c")
    _, line, total, *_ = dry_run.lines()
    assert line.split("  ") == [
        *("", " 2", "score", "1 new, 1 inputs changed"),
        "results/demo/<setup>/<client>/<method>/seed<seed>/scores.csv and 1 more",
    ]
    assert total.split() == ["2", "in", "all"]


BEFORE, NOW = (
    str(PlannedCode(Path("prepare_client.py"), digest, ("fedfactory.data.adapters.mnms",)))
    for digest in ("47c7a02cea4b820c", "40eed61e034b0f0a")
)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "Params have changed since last execution: before: '47c7a02cea4b820c' now: '40eed61e034b0f0a'",
            "code changed",
        ),
        (f"Params have changed since last execution: before: {BEFORE!r} now: {NOW!r}", "code changed"),
        (
            "Params have changed since last execution: before: '{\"steps\": 4}' now: '{\"steps\": 5}'",
            "parameters changed",
        ),
        (
            "Updated input files: a; Params have changed: before: '{}', '47c7a02cea4b820c' now: '40eed61e034b0f0a'",
            "parameters and code changed",
        ),
        ("Missing output files: a; Params have changed: before: '{}' now: '[]'", "new"),
        ("Input files updated by another job: a", "inputs change in this run"),
        ("A reason of tomorrow's Snakemake", "A reason of tomorrow's Snakemake"),
    ],
)
def test_reasons_in_words(reason, said):
    dry_run = DryRun()
    dry_run.add("adapt", {}, ["results/demo/a"], reason)
    assert [part.strip() for part in dry_run.lines()[1].split("  ") if part] == ["1", "adapt", said, "results/demo/a"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_many_rules_share_the_last_line(jobs):
    dry_run = DryRun()
    for number in range(100):
        for _ in range(jobs):
            dry_run.add(f"rule{number}", {}, [f"results/demo/{number}"], "Forced execution")
    lines = dry_run.lines()
    assert len(lines) <= LINES - 2
    assert all(any(f"rule{number}" in line for line in lines) for number in range(100))
    assert f"{100 * jobs}  in all" in "\n".join(lines)


def test_what_a_function_takes_is_looked_at_once(monkeypatch):
    asked = []
    for module in (snakemake.common, snakemake.rules):
        monkeypatch.setattr(module, "get_function_params", lambda function: asked.append(function) or {})
    once.look_at_functions_once()

    class Rules:
        def memory(self, wildcards: object) -> None:
            """A function of a rule."""

    first, second = Rules(), Rules()
    for function in (first.memory, first.memory, second.memory):
        assert snakemake.rules.get_function_params(function) == {}
        assert snakemake.common.get_input_function_aux_params(function, {"input": 1}) == {}
    assert asked == [first.memory, second.memory]


def test_outputs_are_found_by_name_as_snakemake_finds_them():
    class Product:
        def __init__(self, begins: str, ends: str) -> None:
            self.constant_prefix, self.constant_suffix = lambda: begins, lambda: ends

    class Makes:
        def __init__(self, name: str, product: Product) -> None:
            self.name, self.products = name, lambda: [product]

    products = {
        "model": ("results/demo/", "/model"),
        "picture": ("results/demo/", ".png"),
        "log": ("logs/", "/model"),
        "whole": ("results/demo/table1.csv", "results/demo/table1.csv"),
        "anything": ("results/", ""),
    }
    rules = [Makes(name, Product(*ends)) for name, ends in products.items()]
    found = {
        "results/demo/mm/ct/model": {"model", "anything"},
        "results/demo/mm/ct/my.png": {"picture", "anything"},
        "results/demo/table1.csv": {"whole", "anything"},
        "logs/mm/model": {"log"},
        "model": set(),
    }
    for target, names in found.items():
        for index in (OutputIndex(rules), once.OutputsByName(rules)):
            assert {rule.name for rule in index.match(target)} == names


def test_one_job_of_each_rule_is_written_out(monkeypatch):
    """A command that cannot be made must stop a dry run; the others of its rule are only counted."""

    rules = {name: type(name, (), {"name": name}) for name in ("train", "score")}

    class Planned(Job):
        def __init__(self, rule: str, number: int) -> None:
            """Not what Snakemake needs."""
            self.rule, self.output, self.dag = rules[rule], [], SimpleNamespace(reason=lambda job: "new")
            self.wildcards_dict = {"number": str(number)}

    written, counted = [], []
    monkeypatch.setattr(Job, "log_info", lambda job, indent, printshellcmd: written.append(job.wildcards_dict))
    monkeypatch.setattr(once.logger, "info", lambda text, extra: counted.append((extra["rule_name"], extra["reason"])))
    once.describe_one_job_of_a_rule()
    for name, number in (("train", 0), ("train", 1), ("score", 2), ("train", 3)):
        Planned(name, number).log_info()
    assert written == [{"number": "0"}, {"number": "2"}]
    assert counted == [("train", "new")] * 2


@pytest.mark.workflow
def test_the_plan_of_the_demo_is_short_and_the_full_text_is_there_on_request(fresh: Project):
    short = fresh.snakemake("--dry-run").stderr
    assert len(short.splitlines()) <= LINES
    assert all(len(line) <= 120 for line in short.splitlines())
    counts = fresh.planned("--configfile", "config/demo.yaml")
    assert f"{sum(counts.values())}  in all" in short
    assert all(rule in short for rule in counts)
    for option in ("--verbose", "--printshellcmds"):
        full = fresh.snakemake("--dry-run", option).stderr
        assert full.count("\n    reason: Missing output files") >= sum(counts.values())


@pytest.mark.workflow
def test_braces_in_labels_are_no_wildcards_and_quiet_is_quiet(fresh: Project):
    edit(fresh.folder / "config/setups/ms.yaml", "label: MS\n", 'label: "M{setup} {x}"\n')
    edit(fresh.folder / "config/setups/ms.yaml", "label: GE\n", 'label: "{target}"\n')
    for quiet in ("rules", "all"):
        said = fresh.snakemake("--dry-run", "--quiet", quiet).stderr
        assert "Traceback" not in said and "reason:" not in said
