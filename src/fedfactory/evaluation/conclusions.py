"""What a table's figures allow to say, and what not, in sentences that are made from them."""

import statistics
from collections.abc import Mapping, Sequence

from fedfactory.evaluation.best import may_be_best
from fedfactory.evaluation.paper import FAILED
from fedfactory.evaluation.statistics import LEVEL, Comparison, Ranking
from fedfactory.evaluation.subjects import seed_mean
from fedfactory.evaluation.table_cells import Key, Study

# More failed cells than these are counted, not named.
_NAMED = 20


def conclude(
    study: Study,
    tests: Mapping[str, Sequence[Comparison]],
    ranks: Mapping[str, Ranking],
    chances: Mapping[Key, float],
    phantom: bool,
) -> list[str]:
    """Sentences for the report, one a list item.

    Args:
        study: the table.
        tests: of :func:`fedfactory.evaluation.analysis.comparisons`.
        ranks: of :func:`fedfactory.evaluation.analysis.rankings`.
        chances: of :func:`fedfactory.evaluation.analysis.best`.
        phantom: whether the data are phantoms.
    """
    labels = {row.method: row.label for row in study.rows}
    sentences = []
    for setup, columns in study.setups.items():
        sentences.append(_of_setup(columns[0].setup_label, labels, tests[setup], ranks[setup]))
        if len(study.contenders) > 1:
            sentences += _of_targets(study, setup, labels, chances)
    sentences += [_failures(study, labels), _worst_sites(study, labels), _seeds(study)]
    sentences.append(
        "Subjects of one site resemble each other: what holds for the subjects of these sites need not hold for a "
        "site that is not in the table."
    )
    if phantom:
        sentences.append("All of this is about phantoms. It says nothing about patients.")
    return [sentence for sentence in sentences if sentence]


def _of_setup(label: str, labels: Mapping[str, str], pairs: Sequence[Comparison], ranking: Ranking) -> str:
    order = sorted(ranking.mean_ranks, key=ranking.mean_ranks.__getitem__)
    if len(order) < 2:
        return f"{label}: one method, nothing to compare."
    first = order[0]
    own = [pair if pair.first == first else pair.turned() for pair in pairs if first in (pair.first, pair.second)]
    worse = {pair.second for pair in own if pair.significant and pair.difference > 0}
    alike = [labels[method] for method in order[1:] if method not in worse]
    head = (
        f"{label}, {ranking.n} subjects: {labels[first]} has the best mean rank "
        f"({ranking.mean_ranks[first]:.1f} of {len(order)})"
    )
    if ranking.p >= 1 - LEVEL:
        return f"{head}, but the methods do not differ more than chance would have them (Friedman p = {ranking.p:.2g})."
    tail = f"; it is significantly better than {_and([labels[m] for m in order if m in worse])}" if worse else ""
    rest = f"; no difference is shown to {_and(alike)}" if alike else ""
    return f"{head}{tail}{rest} (Wilcoxon, corrected by Holm over all pairs)."


def _of_targets(study: Study, setup: str, labels: Mapping[str, str], chances: Mapping[Key, float]) -> list[str]:
    sentences = []
    for column in study.setups[setup]:
        found = {method: chances[setup, column.target, method] for method in study.contenders}
        first, *others = sorted(may_be_best(found), key=lambda method: -found[method])
        own = f"{column.setup_label} {column.label}: {labels[first]} is best with probability {found[first]:.2f}"
        named = [f"{labels[method]} ({found[method]:.2f})" for method in others]
        sentences.append(f"{own}; it may be {' or '.join(named)} instead." if named else f"{own}.")
    return sentences


def _failures(study: Study, labels: Mapping[str, str]) -> str:
    failed = {method: [c for c in study.columns if study.mean(c, method) < FAILED] for method in study.contenders}
    count = sum(map(len, failed.values()))
    head = f"{count} of {len(study.contenders) * len(study.columns)} cells are below {FAILED:.0f} % Dice"
    if not count:
        return f"{head}."
    if count > _NAMED:
        return f"{head}: {_and([f'{len(own)} of {labels[method]}' for method, own in failed.items() if own])}."
    return (
        f"{head}: "
        + _and(
            [
                f"{labels[method]} on {_and([f'{c.setup_label} {c.label}' for c in own])}"
                for method, own in failed.items()
                if own
            ]
        )
        + "."
    )


def _worst_sites(study: Study, labels: Mapping[str, str]) -> str:
    worst = {method: min(study.mean(column, method) for column in study.columns) for method in study.contenders}
    first = max(worst, key=worst.__getitem__)
    column = min(study.columns, key=lambda column: study.mean(column, first))
    return (
        f"The method with the best worst site is {labels[first]}: {worst[first]:.1f} % on {column.setup_label} "
        f"{column.label}."
    )


def _seeds(study: Study) -> str:
    count = len(next(iter(study.cells.values())))
    if count == 1:
        return "One training seed: how much a second training would differ is not known from this table."
    spreads = [statistics.stdev(seed_mean(seed, "dice") for seed in seeds) for seeds in study.cells.values()]
    return (
        f"Over {count} training seeds a cell's mean varies by {statistics.median(spreads):.1f} points (median standard "
        f"deviation), by {max(spreads):.1f} at most."
    )


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
