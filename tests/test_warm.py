"""Jobs that start warm: forked from a server, and yet as if they had been started where their command stands."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fedfactory.orchestration.portable import SETTINGS
from fedfactory.orchestration.warm.listener import ADDRESS, CLIENT, is_wanted, listen
from fedfactory.orchestration.warm.server import LIBRARIES
from tests.conftest import ROOT, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jobs start warm on Linux only")

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def address() -> str:
    return listen(SETTINGS)


@pytest.fixture
def start(address: str, tmp_path: Path) -> Start:
    """Start a script as a rule does."""

    def run(
        text: str, *arguments: str, at: str = address, closed: int | None = None, **environment: str
    ) -> subprocess.Popen[str]:
        script = tmp_path / "job.py"
        script.write_text(text)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", CLIENT, script, *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], ADDRESS: at, "PYTHONPATH": str(ROOT / "src"), **SETTINGS, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=None if closed is None else lambda: os.close(closed),
            text=True,
        )

    return run


def is_gone(process: int) -> bool:
    return not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE


def test_a_job_finds_the_surroundings_of_its_command(start: Start, tmp_path: Path):
    text = """
import os, sys
from fedfactory.orchestration.portable import is_portable
os.environ.pop("LC_CTYPE", None)  # Python's own, where there is no locale.
print(sys.argv, os.getcwd(), os.environ["OWN"], sorted(os.environ), oct(os.umask(0o22)), is_portable(), input())
print("said", file=sys.stderr)
"""
    given = ["a b", '{"c": [1]}']
    before = os.umask(0o77)
    try:
        out, err = start(text, *given, OWN="ä").communicate("typed\n")
    finally:
        os.umask(before)
    names = sorted({"PATH", ADDRESS, "PYTHONPATH", "OWN", *SETTINGS})
    assert out == f"{[str(tmp_path / 'job.py'), *given]} {tmp_path} ä {names} 0o77 True typed\n"
    assert err == "said\n"


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('a reason')", 1, "a reason\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
        ("import os, signal; signal.signal(13, signal.SIG_DFL); os.kill(os.getpid(), 13)", -signal.SIGPIPE, ""),
        ("import atexit; atexit.register(print, 'at the end', flush=True); print('first')", 0, "first\nat the end\n"),
        (
            "import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()",
            0,
            "late\n",
        ),
    ],
)
def test_the_command_leaves_as_the_job_leaves(start: Start, text, status, said):
    job = start(text)
    out, err = job.communicate()
    assert (job.returncode, out + err) == (status, said)


def test_an_error_shows_its_traceback(start: Start):
    job = start("def broken():\n    raise ValueError('no')\nbroken()")
    _, err = job.communicate()
    assert job.returncode == 1 and "in broken\n" in err and err.endswith("ValueError: no\n")


def test_libraries_are_there_with_no_thread_and_none_of_our_modules(start: Start):
    """A fork copies no thread; a module of ours that a server had loaded would be older than its file."""
    text = """
import os, sys
print("torch" in sys.modules and LAST in sys.modules)
print([name for name in sys.modules if name.partition(".")[0] == "fedfactory"])
import torch
print(torch.cuda.is_initialized(), torch.get_num_threads())
"""
    found: list[str] = []

    def loaded() -> bool:
        found[:] = start(text.replace("LAST", repr(LIBRARIES[-1]))).communicate()[0].splitlines()
        return found[0].startswith("True")

    wait_until(loaded, 30)
    assert found[1:] == ["[]", "False 1"]
    servers = [child for child in psutil.Process().children() if "server.py" in " ".join(child.cmdline())]
    assert servers and all(server.num_threads() == 1 for server in servers)


def test_what_was_never_closed_is_written(start: Start, tmp_path: Path):
    """Also beside a file that was never opened, as one whose opening failed leaves it."""
    text = """
import io, json
json.unopened = [kind.__new__(kind) for kind in (io.TextIOWrapper, io.BufferedWriter, io.FileIO)]
json.left = open('left.txt', 'w')
json.left.write('words')
json.unopened += [kind.__new__(kind) for kind in (io.TextIOWrapper, io.BufferedWriter, io.FileIO)]
"""
    job = start(text)
    _, err = job.communicate()
    assert (job.returncode, err) == (0, "")
    assert (tmp_path / "left.txt").read_text() == "words"


def test_a_closed_stream_is_no_other_file(start: Start):
    out, _ = start("import os; print(os.readlink('/proc/self/fd/0'))", closed=0).communicate()
    assert out == "/dev/null\n"


def test_temporary_files_lie_where_the_job_says(start: Start, tmp_path: Path):
    (tmp_path / "own").mkdir()
    out, _ = start("import tempfile; print(tempfile.gettempdir())", TMPDIR=str(tmp_path / "own")).communicate()
    assert out == f"{tmp_path / 'own'}\n"


WAITS = """
import os, signal, sys, time
def clean(number, _):
    signal.signal(number, signal.SIG_IGN)
    print("cleaned", number, flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, clean)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_signal_reaches_the_job_and_it_may_clean_up(start: Start):
    job = start(WAITS)
    process = int(job.stdout.readline())
    assert psutil.Process(process).name() == "job", "its script's, for ps and top"
    job.terminate()
    assert job.communicate()[0] == f"cleaned {signal.SIGTERM.value}\n" and job.returncode == 143
    assert is_gone(process)


def test_a_signal_to_all_processes_lets_the_job_clean_up(start: Start):
    job = start(WAITS)
    process = psutil.Process(int(job.stdout.readline()))
    watcher = process.parent()
    for other in (watcher.parent(), watcher, psutil.Process(job.pid), process):
        other.terminate()
    assert job.communicate()[0].startswith(f"cleaned {signal.SIGTERM.value}\n") and job.returncode == 143


def test_ctrl_z_stops_the_job_until_it_goes_on(start: Start):
    job = start(WAITS)
    process = psutil.Process(int(job.stdout.readline()))
    for number, state in ((signal.SIGTSTP, True), (signal.SIGCONT, False)):
        job.send_signal(number)
        for one in (process, psutil.Process(job.pid)):
            wait_until(lambda one=one, state=state: (one.status() == psutil.STATUS_STOPPED) == state, 30)
    job.terminate()
    job.communicate()
    assert job.returncode == 143


def test_ctrl_c_is_an_interrupt_of_the_job(start: Start):
    # Where the tests run in a shell's background, it is ignored from the start on, as in any job there.
    job = start(f"import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n{WAITS}")
    job.stdout.readline()
    job.send_signal(signal.SIGINT)
    _, err = job.communicate()
    # The signal itself, or 1 where a library has changed how Python ends: MONAI does.
    assert job.returncode in (-signal.SIGINT, 1) and err.endswith("KeyboardInterrupt\n")


def test_a_job_is_killed_with_its_command(start: Start):
    job = start(WAITS)
    process = int(job.stdout.readline())
    job.kill()
    wait_until(lambda: is_gone(process), 30)


def test_server_and_jobs_are_killed_with_the_process_that_listens(start: Start):
    code = f"from fedfactory.orchestration.warm.listener import listen; print(listen({SETTINGS}), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        job = start(WAITS, at=owner.stdout.readline().strip())
        process = int(job.stdout.readline())
        (server,) = psutil.Process(owner.pid).children()
        owner.kill()
        _, err = job.communicate()
    assert job.returncode == 1 and "the process that starts the jobs of this run is gone" in err
    wait_until(lambda: is_gone(process) and is_gone(server.pid), 30)


def test_it_can_be_switched_off(monkeypatch):
    assert is_wanted()
    monkeypatch.setenv(ADDRESS, "off")
    assert not is_wanted()
