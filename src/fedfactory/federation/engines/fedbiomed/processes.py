"""Child processes that never outlive the job that started them."""

from __future__ import annotations

import json
import multiprocessing
import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Self

_POLL_SECONDS = 0.5


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Environment of a child: this one's without settings that would change the result or where messages go.

    Args:
        settings: variables to set.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith("_PROXY") and not name.startswith("FBM_")
    }
    # The number of threads changes the last bits of a sum; read when the libraries load.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, "CUBLAS_WORKSPACE_CONFIG": ":4096:8", **settings}


def in_own_process(work: Callable[..., None], *arguments: object) -> None:
    """Do a client's work in a process of the client's own: one that holds the server opens no store."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as own:
        own.submit(work, *arguments).result()


class Processes:
    """Processes that end with the block they were started in.

    They are killed, not asked to stop: Fed-BioMed takes ten seconds to stop and must survive a kill anyway.
    """

    def __init__(self, logs: Path, temporary: Path) -> None:
        """Start none yet.

        Args:
            logs: folder for one log per process; made where missing.
            temporary: folder for temporary files, which killed processes leave behind; emptied.
        """
        logs.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        self._logs, self._temporary = logs, temporary
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._read, self._write = os.pipe()

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill them all."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()
        os.close(self._read)
        os.close(self._write)

    def start(
        self, name: str, module: str, arguments: Sequence[str], settings: Mapping[str, str], *, reports: bool = False
    ) -> None:
        """Run a module of this package.

        Args:
            name: of the process and of its log.
            module: full name; its command line takes ``--parent`` and, if it reports, ``--reports``.
            arguments: the rest of its command line.
            settings: environment variables.
            reports: whether it writes messages that :meth:`messages` reads.
        """
        command = [sys.executable, "-m", module, *arguments, "--parent", str(os.getpid())]
        if reports:
            command += ["--reports", str(self._write)]
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment({**settings, "TMPDIR": str(self._temporary)}),
                pass_fds=[self._write] if reports else [],
            )

    def log(self, name: str) -> Path:
        """Log of a process."""
        return self._logs / f"{name}.log"

    def ended(self) -> dict[str, int]:
        """Exit codes of the processes that are gone."""
        codes = {name: process.poll() for name, process in self._running.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def messages(self) -> Iterator[dict[str, Any] | None]:
        """Messages as they come, and None at least twice a second."""
        pending = b""
        while True:
            ready, _, _ = select.select([self._read], [], [], _POLL_SECONDS)
            if ready:
                *lines, pending = (pending + os.read(self._read, 1 << 16)).split(b"\n")
                yield from map(json.loads, lines)
            yield None


class Reports:
    """The other end: what a child tells the job."""

    def __init__(self, descriptor: int) -> None:
        """Write to an inherited file descriptor."""
        self._stream = os.fdopen(descriptor, "w")

    def send(self, **message: Any) -> None:
        """Send plain values."""
        print(json.dumps(message), file=self._stream, flush=True)
