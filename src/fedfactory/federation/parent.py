"""Child processes that do not outlive the job."""

import ctypes
import multiprocessing
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the process that started it is gone, whatever ended that one.

    Args:
        parent: process id of the parent; this process ends at once if that one is gone already.
    """
    _be_killed_with_parent()
    if os.getppid() != parent:
        sys.exit(1)


def die_with_fork_server() -> None:
    """The same for a process of multiprocessing's fork server, which is its parent and ends itself with the job."""
    _be_killed_with_parent()
    if not multiprocessing.parent_process().is_alive():
        sys.exit(1)


def _be_killed_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
