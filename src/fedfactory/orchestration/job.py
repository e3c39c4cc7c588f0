"""What every workflow script shares: arguments, a log, and errors that people can read."""

import argparse
import errno
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from types import CodeType

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.code_digest import PlannedCode
from fedfactory.orchestration.line_log import LineLog
from fedfactory.orchestration.portable import ensure
from fedfactory.provenance.record import JobWatch
from fedfactory.provenance.story import write_story
from fedfactory.storage.files import claimed

log = logging.getLogger(__name__)

# What a disk says, and what to do.
_DISK = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room in your quota",
    errno.EROFS: "mount it for writing, or choose another folder",
    errno.EACCES: "correct its permissions",
    errno.EPERM: "correct its permissions",
}
# torch's words, on a CPU and on a GPU.
_MEMORY = re.compile("can't allocate memory|out of memory")


def run_script(parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], None]) -> None:
    """Parse the command line, run ``work`` and leave with an exit status.

    Adds the argument ``--log``; what ``--out`` names, if the script has it, no other job makes meanwhile. Whatever
    libraries print goes to the log with its own lines; everything that the job makes gets a record, and ``--story``, if
    the script has it, the story of what ``--out`` names. The terminal shows progress and, if the work fails, the
    reason: a sentence for bad input, the last line of the traceback and the place of the log for a defect.

    Adds ``--code`` as well: the job runs only if the code that it has loaded is the planned one, and looks again before
    it puts anything in its place. Without it the code as it is now is taken as planned.
    """
    parser.add_argument("--log", type=Path, required=True, help="file for the log")
    parser.add_argument("--code", help="digest of the planned code; checkpoints of other code are not continued")
    arguments = parser.parse_args()
    try:
        ensure(getattr(arguments, "device", "cpu"))
    except FedFactoryError as error:
        _fail(str(error))
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=arguments.log,
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.captureWarnings(True)
    # A log on a full disk must not bury the reason.
    logging.raiseExceptions = False
    # A cluster's time limit ends a job with SIGTERM: leave through the clean-up of open folders.
    # A child that a library forks must die at once, as its parent expects.
    signal.signal(signal.SIGTERM, _terminate)
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    try:
        check = _code_check(arguments, sys._getframe(1).f_code)
        check()
        with (
            redirect_stdout(LineLog(log)),
            claimed(arguments.out) if "out" in arguments else nullcontext(),
            JobWatch.over(arguments, check) as watch,
        ):
            work(arguments)
            check()
            if "story" in arguments:
                write_story(watch.records, arguments.out, arguments.story)
    except FedFactoryError as error:
        _fail(str(error))
    except Exception as error:
        log.error(traceback.format_exc())
        story = f"unexpected {type(error).__name__}: {error} (the whole story is in {arguments.log})"
        _fail(_of_the_machine(error) or story)


def _code_check(arguments: argparse.Namespace, script_code: CodeType) -> Callable[[], None]:
    """What raises unless the code of this job, that of its script included, is the planned one."""
    script = Path(sys.argv[0])
    if script.suffix != ".py":
        # Called by something else than a script of its own.
        return lambda: None
    planned = PlannedCode.read(script, arguments.code) if arguments.code else PlannedCode.plan(script)
    arguments.code = str(planned)
    return lambda: planned.check(script_code)


def _of_the_machine(error: Exception) -> str:
    """A sentence if a disk refuses, or memory ends; empty for every other error."""
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"{error.filename or 'the results'}: {error.strerror}; {_DISK[error.errno]}, and start the job again"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _MEMORY.search(str(error))):
        return f"out of memory ({error}); start the job again where there is more: it goes on from its last checkpoint"
    return ""


def _terminate(*_: object) -> None:
    # A second one, from another sender, must not interrupt the clean-up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def _fail(message: str) -> None:
    log.error(message)
    print(f"\nfedfactory: error: {message}\n", file=sys.stderr, flush=True)
    sys.exit(1)
