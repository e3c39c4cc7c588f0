"""Weights from files."""

import pickle

import pytest
import torch

from fedfactory.errors import FedFactoryError
from fedfactory.storage.state_dicts import load_weights
from fedfactory.storage.tensors import read_tensors


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))


class Code:
    """Writes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return self.marker.write_text, ("x",)


def saved(path, state):
    torch.save(state, path)
    return path


def test_what_was_saved_is_loaded(network, tmp_path):
    state = {name: torch.randn_like(value) for name, value in network.state_dict().items()}
    load_weights(network, saved(tmp_path / "w.pt", state), "cpu")
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(extra=torch.zeros(1)), "has unexpected extra: it belongs to another model"),
        (lambda s: s.pop("1.bias"), "lacks 1.bias"),
        (lambda s: s.update({"0.bias": torch.zeros(5)}), "has other shapes of 0.bias"),
        (lambda s: s.update({f"x{i}": torch.zeros(1) for i in range(5)}), "unexpected x0, x1, x2 and 2 more"),
    ],
)
def test_weights_of_another_model_are_refused(network, tmp_path, change, message):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = dict(before)
    change(state)
    with pytest.raises(FedFactoryError, match=message):
        load_weights(network, saved(tmp_path / "w.pt", state), "cpu")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"no table", pickle.dumps({"a": 1})])
def test_what_is_no_table_of_weights(network, tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(FedFactoryError, match="w.pt is no table of weights"):
        load_weights(network, tmp_path / "w.pt", "cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.attack("weights with NaN or infinity", "refused where they are read")
def test_numbers_that_are_not_finite_are_refused(network, tmp_path, value):
    state = dict(network.state_dict())
    state["1.bias"] = torch.tensor([value])
    with pytest.raises(FedFactoryError, match=r"w.pt holds numbers that are not finite in 1.bias: its training div"):
        load_weights(network, saved(tmp_path / "w.pt", state), "cpu")
    with pytest.raises(FedFactoryError, match=r"not finite in branch.1.a: .*; make it again"):
        read_tensors(
            saved(tmp_path / "w.pt", {"branch": [1, {"a": torch.tensor(value)}]}), "cpu", advice="make it again"
        )


def test_nobody_is_advised_to_execute_a_file(network, tmp_path):
    """Torch's own message is of that kind."""
    saved(tmp_path / "w.pt", {"a": Code(tmp_path / "executed")})
    with pytest.raises(FedFactoryError) as told:
        load_weights(network, tmp_path / "w.pt", "cpu")
    assert "weights_only" not in str(told.value) and "trust" not in str(told.value)
    assert "holds more than tensors and plain values, or is damaged); get it again" in str(told.value)


@pytest.mark.attack("weights that carry code", "not executed")
def test_code_in_a_file_is_not_executed(network, tmp_path):
    marker = tmp_path / "executed"
    with pytest.raises(FedFactoryError, match="is no table of weights"):
        load_weights(network, saved(tmp_path / "w.pt", {"a": Code(marker)}), "cpu")
    assert not marker.exists()
