"""The world nnU-Net expects around it: folders in environment variables, worker pools, a terminal, random numbers.

Everything here is a context that puts back what it changed, so that a process can train for several cells in turn.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from fedfactory.federation.lifetime import let_children_die_with_this_process
from fedfactory.orchestration.line_log import LineLog
from fedfactory.training.devices import fill_new_tensors, is_fast
from fedfactory.training.no_compiler import do_without_compiler

_LOG = logging.getLogger(__name__)


@contextmanager
def nnunet_environment(
    raw: Path | None = None, preprocessed: Path | None = None, results: Path | None = None, workers: int = 0
) -> Iterator[None]:
    """nnU-Net's environment variables, for the duration of the block; import nnunetv2 inside it.

    nnunetv2 2.8.1 looks its three folders up at each use (nnunetv2.paths._EnvPath), so that setting the variables is
    enough and no module attribute has to be patched. `nnUNet_def_n_proc` alone is read when nnunetv2 is first imported
    (it becomes the default of function arguments): 1, for one thread.

    Prints inside the block go to the log of this module instead of the terminal.

    Args:
        raw: folder of the raw data; None where nothing may read them.
        preprocessed: folder of the preprocessed data.
        results: folder of the results.
        workers: processes for augmentation, none of which outlives this one.
    """
    folders = {"nnUNet_raw": raw, "nnUNet_preprocessed": preprocessed, "nnUNet_results": results}
    variables = {name: str(folder) for name, folder in folders.items() if folder is not None}
    variables |= {
        "nnUNet_def_n_proc": "1",
        # Batches of workers arrive in an order that depends on the load of the machine.
        "nnUNet_n_proc_DA": str(workers),
        "nnUNet_compile": "f",
        "nnUNet_wandb_enabled": "0",
    }
    do_without_compiler()
    if workers:
        let_children_die_with_this_process()
    with mock.patch.dict(os.environ, variables), redirect_stdout(LineLog(_LOG)):
        for name in (*folders.keys() - variables.keys(), "nnUNet_extTrainer"):
            os.environ.pop(name, None)
        yield


class _Finished:
    """What a pool returns for a job, for a job that has already run."""

    def __init__(self, results: list[Any]) -> None:
        self._results = results

    def ready(self) -> bool:
        return True

    def get(self) -> list[Any]:
        return self._results


class _SerialPool:
    """Stands in for multiprocessing.Pool and runs each job at once, in this process."""

    _pool: tuple[()] = ()

    def __init__(self, processes: int) -> None:
        del processes

    def __enter__(self) -> _SerialPool:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def starmap(self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
        return [function(*a) for a in arguments]

    def starmap_async(self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> _Finished:
        return _Finished(self.starmap(function, arguments))


@contextmanager
def serial_pools(*modules: ModuleType) -> Iterator[None]:
    """Let nnU-Net modules that start worker processes work in this process instead.

    Each spawned worker imports nnU-Net anew (4 to 6 CPU seconds), to handle a few small volumes; forked ones copy a
    process that holds torch's threads, which may deadlock.

    Args:
        modules: modules that use ``multiprocessing.get_context(...).Pool`` or have imported ``Pool`` itself.
    """
    serial = SimpleNamespace(get_context=lambda method: SimpleNamespace(Pool=_SerialPool))
    with ExitStack() as stack:
        for module in modules:
            name, stand_in = ("Pool", _SerialPool) if hasattr(module, "Pool") else ("multiprocessing", serial)
            stack.enter_context(mock.patch.object(module, name, stand_in))
        yield


@contextmanager
def deterministic(seed: int, device: str) -> Iterator[None]:
    """One thread, deterministic kernels, and random numbers that follow from `seed` alone, inside the block.

    On the CPU two runs are the same to the last bit, whatever the number of cores. On CUDA operations without a
    deterministic kernel (the cross-entropy over images is one) only warn.
    """
    import torch

    cuda = device.startswith("cuda")
    if cuda:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads = torch.get_num_threads()
    mode = torch.get_deterministic_debug_mode()
    filled = fill_new_tensors(False)
    states = random.getstate(), np.random.get_state()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=None if cuda else []))
        fast = cuda and is_fast()
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=fast, deterministic=not fast))
        try:
            torch.set_num_threads(1)
            torch.backends.nnpack.set_flags(False)
            torch.set_deterministic_debug_mode("default" if fast else "warn" if cuda else "error")
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_deterministic_debug_mode(mode)
            fill_new_tensors(filled)
            random.setstate(states[0])
            np.random.set_state(states[1])
