"""A copy of the project with a finished tiny run, in which something is broken on purpose."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from benchmarks.project_copy import TINY, copy_project

CELL = "results/test/mo/octa"
RUN = "results/test"


class Sandbox:
    """A project of its own: that which lies in the folder, or a copy of another sandbox or of this project.

    Attributes:
        folder: the project.
        whole: digests of all files of the finished run that it was copied from.
        settings: environment variables of everything that runs in it.
    """

    def __init__(self, folder: Path, like: Sandbox | None = None) -> None:
        self.folder = folder
        if like is not None:
            shutil.copytree(like.folder, folder, copy_function=shutil.copy2, symlinks=True)
        elif not folder.exists():
            copy_project(folder)
        self.whole: dict[str, str] = like.whole if like is not None else {}
        self.settings: dict[str, str] = {}

    def digests(self) -> dict[str, str]:
        """Digest of every result; logs and costs differ from run to run."""
        root = self.folder / RUN
        files = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.startswith("."))
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if not (name := str(path.relative_to(root))).startswith(("logs/", "benchmarks/"))
        }

    def equals_whole(self) -> bool:
        """Whether all results that are there are those of the finished run."""
        return all(self.whole.get(name) == digest for name, digest in self.digests().items())

    def forget(self, *paths: str) -> None:
        """Remove results, as if they had not been made."""
        for path in paths:
            for found in self.folder.glob(path):
                shutil.rmtree(found) if found.is_dir() else found.unlink()

    def _command(self, *arguments: str, cores: int = 2) -> list[str]:
        return [str(Path(sys.executable).parent / "snakemake"), *TINY, "--cores", str(cores), *arguments]

    def configured(self, values: Mapping[str, object]) -> tuple[str, ...]:
        """Options of Snakemake for the tiny run with some values of its own."""
        (self.folder / "config/own.yaml").write_text(yaml.safe_dump(values))
        return (*TINY, "config/own.yaml")

    def environment(self) -> dict[str, str]:
        """Of a process in it."""
        return os.environ | {"PYTHONPATH": str(self.folder / "src")} | self.settings

    def run(self, *arguments: str, command: Sequence[str] = (), prefix: Sequence[str] = ()) -> tuple[int, str]:
        """Run Snakemake, or another command, to its end; return status and output."""
        done = subprocess.run(
            [*prefix, *(command or self._command(*arguments))],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return done.returncode, done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake in the background, in a group of its own."""
        log = (self.folder / "snakemake.log").open("w")
        return subprocess.Popen(
            self._command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )

    def said(self) -> str:
        """What the Snakemake of the background said."""
        return (self.folder / "snakemake.log").read_text(errors="replace")

    def processes(self, *words: str) -> list[int]:
        """Processes of this sandbox whose command line holds all the words."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                where = os.readlink(entry / "cwd")
            except OSError:
                continue
            if where == str(self.folder) and all(word in line for word in words):
                found.append(int(entry.name))
        return sorted(found)

    def wait(self, seen: Callable[[], object], seconds: float = 300) -> object:
        """Wait until something is there, and return it."""
        end = time.monotonic() + seconds
        while not (found := seen()):
            if time.monotonic() > end:
                raise TimeoutError(f"nothing was seen in {self.folder}: {self.said()[-2000:]}")
            time.sleep(0.02)
        return found

    def kill(self, *words: str, after: float = 0.0) -> None:
        """Kill the last process with these words (not the shell around it), some time after it was seen."""
        (*_, last) = self.wait(lambda: self.processes(*words))
        time.sleep(after)
        with suppress(ProcessLookupError):
            os.kill(last, signal.SIGKILL)

    def end(self, process: subprocess.Popen[str]) -> None:
        """Kill Snakemake and all its jobs."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.run("--unlock")


_SENTENCES = (
    r"fedfactory: error: ([^\n]+)",
    r"WorkflowError in [^\n]*:\n([^\n]+)",
    r"(failed: [^\n]+)",
    r"(?:error|Error|Exception)[^\n:]*: ([^\n]+)",
)


def sentence(said: str) -> str:
    """The sentence with which a command ended, for the table."""
    found = next((texts for pattern in _SENTENCES if (texts := re.findall(pattern, said))), said.strip().splitlines())
    return re.sub(r"\s+", " ", found[-1]).strip()
