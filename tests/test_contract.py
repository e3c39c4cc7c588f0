import numpy as np
import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.methods.contract import predict_cases
from fedfactory.orchestration.declared import PACKAGE, methods
from fedfactory.orchestration.progress import Progress
from tests.conftest import ROOT
from tests.data.test_preprocessing import prepare


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (lambda images: np.zeros(images.shape, np.int64), "returned int64"),
        (lambda images: np.zeros(images.shape[1:], np.uint8), "the contract asks for uint8 of shape"),
        (lambda images: np.full(images.shape, 2, np.uint8), "returned label 2; the setup has 1 classes"),
    ],
)
def test_a_method_that_breaks_the_contract_is_refused(make_site, tmp_path, segment, message):
    view = prepare(make_site(10), tmp_path / "out")
    with pytest.raises(FedFactoryError, match=message):
        predict_cases(view, segment, tmp_path / "predictions", Progress("x"))
    assert not (tmp_path / "predictions").exists()


def test_methods_see_images_of_the_test_set_only(make_site, tmp_path):
    view = prepare(make_site(10), tmp_path / "out")
    seen = []

    def segment(images):
        seen.append(images)
        return np.zeros(images.shape, np.uint8)

    predict_cases(view, segment, tmp_path / "predictions", Progress("x"))
    assert len(seen) == len(list((tmp_path / "predictions").iterdir())) == 3


def test_a_method_is_called_as_its_folder_and_its_rules_as_well():
    folders = {file.parent.name for file in PACKAGE.glob("methods/*/declaration.py")}
    assert set(methods()) == folders
    assert {file.stem for file in ROOT.glob("rules/methods/*.smk")} <= folders
