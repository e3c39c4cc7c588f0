"""Bits do not depend on the processor: every library of a job takes the kernels that it is told."""

import json
import os
import subprocess
import sys

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration import portable
from fedfactory.orchestration.portable import SETTINGS
from tests.conftest import ROOT

JOB = """
import argparse, json
from pathlib import Path
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.portable import is_portable
from fedfactory.provenance.record import kernels

def main(arguments):
    import torch
    found = {"portable": is_portable(), "hash": hash("a"), "kernels": kernels(gpu=False)}
    arguments.out.write_text(json.dumps(found))

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    run_script(parser, main)
"""
# What a fixed vector becomes. The digests were computed on an AMD EPYC (Zen 4) and, emulated, on Intel's Haswell and
# AMD's Rome: the first that fails says which library has left its settings.
KERNELS = """
import hashlib, math, numpy as np, torch, scipy.linalg
torch.set_num_threads(1)
torch.backends.nnpack.set_flags(False)
stream = np.random.Generator(np.random.PCG64(0))
x = stream.random(20000) * 3 + 0.05
t, s = torch.from_numpy(x).float(), x[:10000].reshape(100, 100)
m = torch.from_numpy(s).float()
image, weight = t[: 8 * 2 * 32 * 32].view(8, 2, 32, 32), t[:288].view(16, 2, 3, 3)
found = {
    "libm": np.array([math.sin(v) * math.log(v) + math.exp(v) ** 0.3 for v in x[:5000]]),
    "numpy": np.stack([np.exp(x), np.log(x), np.sin(x), np.tan(x), np.cbrt(x), np.arctan(x), x**2.3]),
    "numpy, float32": np.stack([f(x.astype(np.float32)) for f in (np.exp, np.log, np.sin, np.tanh)]),
    "OpenBLAS": np.concatenate([(s @ s).ravel(), scipy.linalg.solve(s, x[:100])]),
    "MKL's vector mathematics": torch.stack([torch.sqrt(t), torch.exp(t), torch.log(t), torch.sin(t), torch.atan(t)]),
    "MKL's vector mathematics, float64": torch.stack([torch.sqrt(t.double()), torch.log(t.double())]),
    "MKL's products": torch.cat([(m @ m).flatten(), m @ m[0]]),
    "torch": torch.cat([torch.sigmoid(t), torch.softmax(m, 1).flatten(), t.sum()[None], m.var(1)]),
    "torch's draws": torch.randn(1000, generator=torch.Generator().manual_seed(0)),
    "oneDNN": torch.nn.functional.conv2d(image, weight, padding=1),
}
for name, value in found.items():
    print(name, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16], sep="\\t")
"""


def job(folder, *arguments, environment=()):
    (folder / "job.py").write_text(JOB)
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS} | {
        "PYTHONPATH": str(ROOT / "src")
    }
    command = [sys.executable, "job.py", "--out", "out.json", "--log", "log", *arguments]
    subprocess.run(command, cwd=folder, env=kept | dict(environment), check=True)
    return json.loads((folder / "out.json").read_text())


def test_a_job_runs_under_the_settings_whoever_starts_it(tmp_path):
    found = job(tmp_path)
    assert found["portable"]
    assert found["kernels"] == {"portable": True, "capability": "AVX2", "settings": SETTINGS}
    assert job(tmp_path, environment={"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}) == found


def test_the_fast_device_takes_the_settings_away(tmp_path):
    found = job(tmp_path, "--device", "cpu-fast", environment=SETTINGS)
    assert not found["portable"]
    assert not found["kernels"]["portable"]
    assert found["kernels"]["settings"] == {}


def test_a_processor_without_the_instructions_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(portable, "_CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("model name\t: old\nflags\t\t: fpu sse2 avx\n")
    with pytest.raises(FedFactoryError, match=r"this processor has no avx2 and no fma.*set device: cpu-fast"):
        portable.ensure()


def test_every_library_computes_what_it_computes_elsewhere():
    done = subprocess.run(
        [sys.executable, "-c", KERNELS], env=os.environ | SETTINGS, capture_output=True, text=True, check=True
    )
    found = dict(line.split("\t") for line in done.stdout.splitlines())
    wanted = json.loads((ROOT / "tests" / "kernels.json").read_text())
    different = [name for name in wanted if found[name] != wanted[name]]
    assert not different, f"{different[0]} is the first library with other bits on this processor"
    assert found.keys() == wanted.keys()


def test_the_digest_of_any_code_knows_the_settings():
    from fedfactory.orchestration.code_digest import _closure

    script = ROOT / "workflow_scripts" / "score.py"
    assert "orchestration/portable.py" in _closure(script)
