"""Seeds, files, digests, progress and devices."""

import argparse
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from fedfactory.config.paths import Layout
from fedfactory.config.skipped_imports import without
from fedfactory.errors import FedFactoryError
from fedfactory.methods.nnunet.cells import NnunetCells, OnSourceModel
from fedfactory.orchestration import code_digest as codedigest
from fedfactory.orchestration import job
from fedfactory.orchestration.declared import load, methods
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.line_log import LineLog
from fedfactory.orchestration.progress import Progress
from fedfactory.storage import files
from fedfactory.storage.files import claimed, inside, new_file, new_folder
from fedfactory.training.devices import resolve
from fedfactory.training.seeds import derive_seed
from tests.conftest import ROOT


def test_seed_is_fixed_for_all_time():
    # A change of this value would silently change every published score.
    assert derive_seed("train", "ms/siemens/nnunet", 0) == 1412346082


def test_seeds_differ_by_every_part_and_by_order():
    seeds = {derive_seed(*parts) for parts in [("a", "b", 0), ("a", "b", 1), ("b", "a", 0), ("a", "c", 0), ("ab", 0)]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "store"
    with pytest.raises(RuntimeError), new_folder(target) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".store.partial").mkdir()
    (tmp_path / ".store.partial/left").write_text("by a killed job")
    with new_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    with pytest.raises(RuntimeError), new_folder(target) as folder:
        raise RuntimeError
    assert (target / "a").read_text() == "1"


def test_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "scores.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), new_file(target) as path:
        path.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["scores.csv"]
    assert target.read_text() == "old"


def test_one_job_at_a_time_makes_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PATIENCE", 0.0)
    target = tmp_path / "folder/model"
    code = f"""
import time
from pathlib import Path
from fedfactory.storage import files
from fedfactory.storage.files import claimed
with claimed(Path({str(target)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(FedFactoryError, match=rf"being made by another job \(process {other.pid} on "), claimed(target):
        pass
    other.kill()
    other.wait()
    with claimed(target):
        pass
    assert not list(target.parent.iterdir())


@pytest.mark.parametrize(
    ("relative", "message"),
    [
        ("../x", "leaves its folder"),
        ("a/../../x", "leaves its folder"),
        ("/etc/passwd", "leaves its folder"),
        ("a\\..\\x", "has a backslash; write '/' between folders"),
    ],
)
def test_paths_stay_inside(relative, message):
    with pytest.raises(FedFactoryError, match=message):
        inside(Path("root"), relative, "file: key 'raw'")


def test_layout_reads_like_the_table():
    assert Layout("demo").cell("mm", "pet", "nnunet", 0, "scores.csv") == "results/demo/mm/pet/nnunet/seed0/scores.csv"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package a -> b, with c apart, in place of the real one."""
    root = tmp_path / "pkg"
    (root / "sub").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "sub/__init__.py").write_text("")
    (root / "a.py").write_text("def f():\n    from pkg.sub import b\n")
    (root / "sub/b.py").write_text("X = 1\n")
    (root / "c.py").write_text("Y = 1\n")
    script = tmp_path / "job.py"
    script.write_text("from pkg import a\n")
    monkeypatch.setattr(codedigest, "ROOT", root)
    monkeypatch.setattr(codedigest, "_EVERYWHERE", "pkg")
    return root, script


def test_digest_follows_imports_inside_functions(package):
    root, script = package
    before = codedigest.code_digest.__wrapped__(script)
    (root / "c.py").write_text("Y = 2\n")
    assert codedigest.code_digest.__wrapped__(script) == before
    (root / "sub/b.py").write_text("X = 2\n")
    assert codedigest.code_digest.__wrapped__(script) != before
    (root / "sub/b.py").write_text("X = 1\n")
    assert codedigest.code_digest.__wrapped__(script) == before


def test_digest_includes_modules_that_are_imported_by_name(package):
    root, script = package
    before = codedigest.code_digest.__wrapped__(script, "pkg.c")
    assert before != codedigest.code_digest.__wrapped__(script)
    (root / "c.py").write_text("Y = 2\n")
    assert codedigest.code_digest.__wrapped__(script, "pkg.c") != before


@pytest.mark.parametrize("script", sorted((ROOT / "workflow_scripts").glob("*.py")), ids=lambda path: path.stem)
def test_only_nnunet_scripts_depend_on_nnunet(script):
    files = codedigest._closure(script)
    assert any(name.startswith("methods/nnunet") for name in files) == script.stem.startswith("nnunet_")
    assert "config/run.py" not in files, "a change of the configuration's code must not re-run trainings"


@pytest.mark.parametrize("method", methods().values(), ids=lambda method: method.name)
def test_only_nnunets_predictions_depend_on_nnunet(method):
    named = tuple(reference.partition(":")[0] for reference in (method.segmenter, method.also) if reference)
    files = codedigest._closure(ROOT / "workflow_scripts/predict.py", named)
    by_nnunet = issubclass(load(method.cells), NnunetCells | OnSourceModel)
    assert any(name.startswith("methods/nnunet") for name in files) == by_nnunet
    assert "config/run.py" not in files and not any(name.endswith("declaration.py") for name in files)


def test_progress_prints_plain_lines_without_a_terminal(capsys, monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    progress = Progress("train x")
    for step in range(1, 11):
        progress.update(step, 10, f"loss {step}")
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) < 10
    assert lines[0].startswith("train x: ")
    assert "\r" not in "".join(lines)


def test_progress_says_what_is_left_and_counts_what_was_resumed_as_nothing(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress("train x")
    caplog.set_level("INFO")
    for now[0], done in ((1.0, 80), (20.0, 90), (40.0, 100)):
        progress.update(done, 100, "loss")
    first, middle, last = (record.getMessage() for record in caplog.records)
    assert middle.endswith("(20 s, 20 s left)"), "ten more steps at two seconds"
    assert first.endswith("(1 s)") and last.endswith("(40 s)")
    now[0] = 0.0
    long = Progress("train y")
    for now[0], done in ((0.0, 1), (10.0, 2)):
        long.update(done, 100, "loss")
    assert caplog.records[-1].getMessage().endswith("16 min left)")


def test_progress_redraws_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = Progress("train x")
    progress.update(1, 2, "loss 1")
    progress.update(2, 2, "loss 0")
    text = capsys.readouterr().err
    assert text.count("\r") == 2
    assert text.count("\n") == 1
    assert "[############............] train x: 1/2 loss 1" in text


def test_a_module_that_is_left_out_refuses_and_comes_back():
    assert "zipapp" not in sys.modules, "choose a module that nobody imports"
    with without("zipapp", "json"):
        import json
        import zipapp as left_out
    assert json.loads("1") == 1, "what was imported before stays"
    with pytest.raises(RuntimeError, match="zipapp.create_archive was left out"):
        left_out.create_archive("x")
    import zipapp

    assert zipapp is not left_out and zipapp.create_archive.__doc__


def test_cuda_without_a_gpu_is_told():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert resolve("auto") == "cpu"
    with pytest.raises(FedFactoryError, match="cuda was asked for, but this machine has no NVIDIA driver"):
        resolve("cuda")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FedFactoryError("a.nii: is broken"), "error: a.nii: is broken"),
        (ZeroDivisionError("1/0"), "ZeroDivisionError: 1/0"),
    ],
)
def test_script_tells_the_reason_and_fails(tmp_path, capsys, monkeypatch, error, expected):
    monkeypatch.setattr(sys, "argv", ["job", "--log", str(tmp_path / "logs/job.log")])
    monkeypatch.setattr(logging.root, "handlers", [])
    # The settings of a job are no settings of this process, which must not be started anew.
    monkeypatch.setattr(job, "ensure", lambda device: None)

    def work(arguments):
        print("chatter of a library")
        raise error

    with pytest.raises(SystemExit) as status:
        run_script(argparse.ArgumentParser(), work)
    assert status.value.code == 1
    output = capsys.readouterr()
    assert expected in output.err
    assert "Traceback" not in output.err
    assert output.out == ""
    log = (tmp_path / "logs/job.log").read_text()
    assert "chatter of a library" in log
    assert ("Traceback" in log) == (not isinstance(error, FedFactoryError))


def test_prints_become_log_lines(caplog):
    with caplog.at_level("INFO"):
        print("one\n\ntwo", file=LineLog(logging.getLogger("library")))
    assert caplog.messages == ["one", "two"]


STAND_IN = """
import sys
import torch
from fedfactory.training.devices import prepare

prepare("cpu")
weight = torch.nn.Parameter(torch.ones(3))
optimiser = torch.optim.Adam([weight], lr=0.1)
weight.square().sum().backward()
optimiser.step()
assert abs(weight[0].item() - 0.9) < 1e-6
# What looks through all modules, as torch does for its own operators, leaves the stand-in alone.
import inspect
inspect.getmodule(sys._getframe())
assert not [name for name in sys.modules if name.startswith("torch._dynamo.")]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        "import torch._dynamo; assert torch._dynamo.config is sys.modules['torch._dynamo.config']",
        "from torch._dynamo import utils; assert utils.__spec__.origin and utils is torch._dynamo.utils",
        "import torch._dynamo.utils as utils; assert utils is sys.modules['torch._dynamo'].utils",
        "import torchvision",
        "assert torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item() == 2",
    ],
)
def test_a_training_on_a_cpu_does_without_torchs_compiler_and_others_get_the_real_one(asked):
    subprocess.run([sys.executable, "-c", f"{STAND_IN}\n{asked}\noptimiser.step()"], check=True)
