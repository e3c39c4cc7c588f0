"""The steps that benchmarks/adaptation.py compares are equal."""

from dataclasses import replace

from benchmarks import adaptation as benchmark
from fedfactory.methods.ours.parameters import BatchParameters
from tests.adaptation.conftest import SOURCE_PARAMETERS, TARGET_PARAMETERS
from tests.federation.conftest import small_parameters


def test_textbook_step_equals_ours():
    # The domains have different numbers of images.
    batch = BatchParameters(source=3, labelled=1, unlabelled=1, pairs=1)
    targets = dict.fromkeys((False, True), replace(TARGET_PARAMETERS, batch=batch))
    case = benchmark.Case(benchmark.Scale(small_parameters(), SOURCE_PARAMETERS, targets, ("disc",), 32)).double()
    everything = benchmark.VariantCase(case, benchmark.VARIANTS["all, blur grouped"])
    for kind in benchmark.TARGET_STEPS:
        assert benchmark.difference(case, everything, kind, benchmark.TOLERANCE) < benchmark.TOLERANCE
