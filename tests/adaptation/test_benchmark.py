"""The steps that benchmarks/adaptation.py compares are equal."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fedfactory.methods.ours.parameters import BatchParameters
from tests.adaptation.conftest import SOURCE_PARAMETERS, TARGET_PARAMETERS
from tests.federation.conftest import small_parameters

FILE = Path(__file__).parents[2] / "benchmarks" / "adaptation.py"


@pytest.fixture(scope="module")
def benchmark():
    """Not on the path, and it reads its neighbours."""
    specification = importlib.util.spec_from_file_location("adaptation_benchmark", FILE)
    module = importlib.util.module_from_spec(specification)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FILE.parent)
        # Dataclasses look their module up.
        patch.setitem(sys.modules, specification.name, module)
        specification.loader.exec_module(module)
        yield module


def test_textbook_step_equals_ours(benchmark):
    # The domains have different numbers of images.
    batch = BatchParameters(source=3, labelled=1, unlabelled=1, pairs=1)
    targets = dict.fromkeys((False, True), replace(TARGET_PARAMETERS, batch=batch))
    case = benchmark.Case(benchmark.Scale(small_parameters(), SOURCE_PARAMETERS, targets, ("disc",), 32)).double()
    everything = benchmark.VariantCase(case, benchmark.VARIANTS["all, blur grouped"])
    for kind in benchmark.TARGET_STEPS:
        assert benchmark.difference(case, everything, kind, benchmark.TOLERANCE) < benchmark.TOLERANCE
