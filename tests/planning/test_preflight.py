"""What is said where a GPU, its driver or its memory is missing."""

import copy
from dataclasses import replace

import pytest
import torch

from fedfactory.config.run import load_config, read_yaml
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.preflight import preflight
from fedfactory.training import devices
from tests.conftest import ROOT


def paper(device: str):
    file = ROOT / "config/paper.yaml"
    return replace(load_config(read_yaml(file, "paper"), [file], ROOT), device=device)


def pretend_driver(monkeypatch, there: bool) -> None:
    """Answer for the driver's file alone: others ask for theirs."""
    exists = devices.Path.exists
    monkeypatch.setattr(
        devices.Path, "exists", lambda path: there if str(path).startswith("/proc/driver/nvidia") else exists(path)
    )


@pytest.fixture
def driver(monkeypatch):
    """A machine with a driver, as far as files say."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    pretend_driver(monkeypatch, True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def raising(message):
    def init():
        raise RuntimeError(message)

    return init


def test_why_there_is_no_gpu_is_one_sentence(driver, monkeypatch):
    old = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by ..."
    monkeypatch.setattr(torch.cuda, "init", raising(old))
    with pytest.raises(
        FedFactoryError, match=r"cuda-fast was asked for, but the driver refuses \(The NVIDIA driver on"
    ):
        devices.resolve("cuda-fast")
    assert devices.is_fast()
    monkeypatch.delenv("FEDFACTORY_CUDA_FAST")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "hides all GPUs: ask the scheduler for one" in devices.why_no_gpu()
    pretend_driver(monkeypatch, False)
    assert "no NVIDIA driver" in devices.why_no_gpu()
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in devices.why_no_gpu()
    assert devices.resolve("auto") == "cpu"


@pytest.mark.parametrize(("device", "ready"), [("cuda", False), ("auto", True), ("cpu", True), ("cpu-fast", True)])
def test_a_machine_without_a_gpu(driver, monkeypatch, device, ready):
    monkeypatch.setattr(torch.cuda, "init", raising("no device"))
    lines, found = preflight(ROOT, paper(device))
    assert found == ready and len(lines) == 1


@pytest.mark.parametrize(("free", "batch", "ready"), [(40, 8, True), (10.5, 8, False), (10.5, 2, True)])
def test_memory_is_compared_with_what_the_steps_took(monkeypatch, free, batch, ready):
    """The paper's batches need 30 GiB for FedMed-GAN and 22 for the source branch; smaller ones fit a card of 11 GB."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "GeForce RTX 2080 Ti")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (free * 2**30, 11 * 2**30))
    config = paper("cuda")
    ours, gan = (copy.deepcopy(config.methods[name].parameters) for name in ("ours", "fedmedgan"))
    ours["source"]["batch"] = batch
    if batch == 2:
        gan["batch"], ours["target"]["batch"] = 1, {"source": 1, "labelled": 1, "unlabelled": 0}
    methods = {
        "ours": replace(config.methods["ours"], parameters=ours),
        "fedmedgan": replace(config.methods["fedmedgan"], parameters=gan),
    }
    lines, found = preflight(ROOT, replace(config, methods=config.methods | methods))
    assert found == ready
    assert ("ours: source, the paper's batch would take 21.6 GiB" in "\n".join(lines)) != ready
