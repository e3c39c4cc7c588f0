"""The settings under which bits do not depend on the processor, and how a job gets them.

Libraries pick their kernels by the processor they find, and kernels differ in the last bit: in the width of a sum, in
fused multiplication and addition, in the processor's own estimates of a reciprocal or a root, which AMD and Intel make
differently. Short trainings amplify such a bit to points of Dice. Every library can be told which kernels to take; it
reads that when it loads, so a process needs these settings from its start. Measured in docs/benchmarks/portable.md.
"""

import os
import sys
from pathlib import Path

from fedfactory.errors import FedFactoryError

NATIVE = "cpu-fast"
"""The device for which libraries take whatever kernels are fastest on the processor."""
CPU_DEVICES = ("cpu", NATIVE)
"""Devices that are no GPU."""

SETTINGS = {
    # torch's own kernels: AVX2 with fused multiplication and addition.
    "ATEN_CPU_CAPABILITY": "avx2",
    # oneDNN's convolutions, the same.
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # MKL's matrix products. COMPATIBLE is the only branch that its maker promises for processors of all makers.
    "MKL_CBWR": "COMPATIBLE",
    # MKL's vector mathematics, by which torch takes roots and exponentials, does not look at MKL_CBWR on a processor of
    # AMD. Branch 1 is the one that estimates nothing by the processor's own rcp and rsqrt.
    "MKL_VML_DEBUG_CPU_TYPE": "1",
    # The BLAS of numpy and scipy.
    "OPENBLAS_CORETYPE": "Haswell",
    # numpy's own loops: AVX2. Names as numpy 2.4 has them; what a processor lacks is no fault.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4,AVX512_ICL,AVX512_SPR",
    # The C library's mathematics: with fused multiplication and addition sine and logarithm end in other bits.
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-FMA_Usable,-FMA4_Usable,-AVX2_Usable",
    # The number of threads decides where a sum is split.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # The order of a set of texts.
    "PYTHONHASHSEED": "0",
}
"""Environment variables of every job but those with ``device: cpu-fast``."""

_NEEDED = ("avx2", "fma")
_CPUINFO = Path("/proc/cpuinfo")


def is_portable() -> bool:
    """Whether this process has run under :data:`SETTINGS` from its start."""
    return _at_start() == SETTINGS


def ensure(device: str = "cpu") -> None:
    """Start this process anew unless its libraries were loaded, or will be, under the settings of its device.

    Jobs of the workflow have the settings from their first start (rules/common.smk); a script that a person calls is
    started a second time here. With ``cpu-fast`` the settings are taken away in the same way.

    Raises:
        FedFactoryError: the processor has no AVX2, which the settings ask for.
    """
    wanted = {} if device == NATIVE else SETTINGS
    if wanted:
        _check_processor()
    if _at_start() == wanted or sys.platform != "linux":
        return
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept | wanted)


def _at_start() -> dict[str, str]:
    """The settings with which this process was started; what was changed since then came too late."""
    pairs = (entry.partition("=")[::2] for entry in Path("/proc/self/environ").read_text().split("\0"))
    return {name: value for name, value in pairs if name in SETTINGS}


def _check_processor() -> None:
    lines = _CPUINFO.read_text().splitlines()
    flags = next((line.split() for line in lines if line.startswith("flags")), None)
    if flags is not None and (lacking := [name for name in _NEEDED if name not in flags]):
        raise FedFactoryError(
            f"this processor has no {' and no '.join(lacking)}, without which results have other bytes than elsewhere; "
            f"run the job on another machine, or set device: {NATIVE} and accept that"
        )
