"""The server: `python server.py DESCRIPTOR`; loads libraries, and forks a process for each job that asks.

It imports no module of this package: each job reads those as they are when it starts. It ends when its standard input
ends, and its jobs end with it.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import tempfile
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

LIBRARIES = (
    *("numpy", "torch", "pydantic.type_adapter", "yaml", "psutil"),
    *("nibabel", "nibabel.affines", "nibabel.orientations", "scipy.ndimage", "PIL.Image", "SimpleITK"),
    *("skimage.metrics.simple_metrics", "scipy.signal", "scipy.stats", "matplotlib.pyplot", "pandas"),
    *("monai.metrics", "monai.losses", "open_clip", "lpips", "safetensors.torch", "segment_anything.modeling"),
    *("nnunetv2.training.nnUNetTrainer.nnUNetTrainer", "nnunetv2.inference.predict_from_raw_data"),
    "dynamic_network_architectures.architectures.unet",
)
"""What most of the jobs' seconds of import are; in the order in which the first jobs need them."""
_SETTINGS = {
    # nnU-Net reads it when it loads: processes that it may start (fedfactory.methods.nnunet.environment).
    "nnUNet_def_n_proc": "1",
    # A fork copies no thread: libraries shall start none.
    "NUMEXPR_MAX_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_CREDENTIALS = struct.Struct("3i")
_FOR_JOBS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Whoever sends one of these to all processes means the jobs: server and watchers stay until the jobs have ended."""


class _Connection:
    """Of a client: what it asks, its signals, and its end."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link

    def request(self) -> tuple[dict[str, Any], list[int]]:
        """What the client asks, and its standard streams; ends this process if the client is gone meanwhile."""
        size, streams, _, _ = socket.recv_fds(self.link, 8, 3)
        length, text = int.from_bytes(size, "big"), b""
        while len(size) == 8 and len(text) < length:
            part = self.link.recv(min(length - len(text), 1 << 20))
            if not part:
                break
            text += part
        if len(size) < 8 or len(text) < length:
            os._exit(1)
        return json.loads(text.decode("utf-8", "surrogateescape")), streams

    def watch(self, job: int) -> None:
        """Wait for a job, and tell the client how it ended."""
        threading.Thread(target=self._hand_on, args=(job,), daemon=True).start()
        _, status = os.waitpid(job, 0)
        with suppress(OSError):
            self.link.sendall(status.to_bytes(4, "big"))

    def _hand_on(self, job: int) -> None:
        """Hand the client's signals to the job, and kill it when the client is gone."""
        # It may have ended meanwhile.
        with suppress(ProcessLookupError):
            while numbers := self.link.recv(64):
                for number in numbers:
                    os.kill(job, number)
            os.kill(job, signal.SIGKILL)


def serve(listener: socket.socket) -> str:
    """Fork a process for each client; returns only in such a process, with the script that it is to run."""
    pending, own = list(LIBRARIES), dict(os.environ)
    while True:
        # While libraries are still to be loaded, jobs get what is there.
        ready, _, _ = select.select([listener, sys.stdin], [], [], 0 if pending else 1)
        if sys.stdin in ready:
            sys.exit()
        if listener in ready:
            link, _ = listener.accept()
            # Without memory or a free process it is the client that fails, and says so.
            with suppress(OSError):
                if _is_ours(link) and _fork() == 0:
                    listener.close()
                    added = {name: value for name, value in os.environ.items() if name not in own}
                    return _job(_Connection(link), added)
            link.close()
        elif pending:
            _load(pending.pop(0))
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue


def _load(library: str) -> None:
    # A job that needs a broken library meets it itself. What libraries say of one another is in no log of a job.
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(library)
    sys.stdout.flush()
    # Pages of objects that nobody collects are never copied.
    gc.freeze()


def _is_ours(link: socket.socket) -> bool:
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(credentials)[1] == os.getuid()


def _fork() -> int:
    """Fork a process that the kernel kills when this one is gone."""
    parent = os.getpid()
    child = os.fork()
    if not child:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    return child


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, value)


def _job(connection: _Connection, added: dict[str, str]) -> str:
    """In a process of one job's own: fork the job, watch it, and leave; what returns is the job, with its script.

    Args:
        connection: of the job's client.
        added: environment variables that libraries set when they were loaded.
    """
    request, streams = connection.request()
    if job := _fork():
        for stream in streams:
            os.close(stream)
        connection.watch(job)
        os._exit(0)
    connection.link.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(added | request["environment"])
    script, *arguments = request["command"]
    sys.argv = [script, *arguments]
    # For ps and top.
    _prctl(_PR_SET_NAME, Path(script).stem.encode())
    # Should the script start itself anew, with other settings.
    sys.orig_argv = [sys.executable, *sys.argv]
    sys.path.insert(0, str(Path(script).parent))
    # What libraries keep of the server's surroundings: by its TMPDIR, and of the moment when it started.
    tempfile.tempdir = None
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FOR_JOBS)
    return script


def _run(script: str) -> None:
    """Run a script, and end this process without taking its libraries apart, which takes half a second."""
    status = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            raise
        status = end.code or 0
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(status)
    atexit._run_exitfuncs()
    # What was never closed. A file whose opening failed half way is no stream yet, and says so by a ValueError; what
    # stands in for another object is asked for its own type, not for that one's.
    for stream in gc.get_objects():
        if issubclass(type(stream), io.IOBase):
            with suppress(OSError, ValueError):
                if not stream.closed:
                    stream.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def main() -> None:
    """Serve on the descriptor that is given; in a job's process, run the job."""
    # This script's own folder.
    sys.path.pop(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_JOBS)
    os.environ.update(_SETTINGS)
    _run(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
