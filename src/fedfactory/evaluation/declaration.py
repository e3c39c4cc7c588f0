"""What the rules of scoring, tables and pictures declare (rules/evaluation.smk, rules/report.smk, Snakefile)."""

from fedfactory.orchestration.declared import Rule, Stage

_SHOWN = ("figure2", "cells", "failures", "page", "all")

DECLARATION = Stage(
    (
        Rule(
            "score",
            truth=True,
            releases=("panel.npz",),
            lets_out="scores, and a slice with its truth where pictures are released",
        ),
        Rule(
            "slices",
            truth=True,
            releases=("worst.npz", "slices.json"),
            lets_out="test cases with their truth, where slices are released",
        ),
        *(Rule(name, shows_truth=True) for name in _SHOWN),
    )
)
