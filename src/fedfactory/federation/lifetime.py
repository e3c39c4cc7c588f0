"""Child processes that do not outlive the job."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the process that started it is gone, whatever ended that one.

    Args:
        parent: process id of the parent; this process ends at once if that one is gone already.
    """
    _die_with(parent, sys.exit)


def let_children_die_with_this_process() -> None:
    """The same for all processes that are forked from this one from now on, by whatever library."""
    # An exception would be ignored there.
    os.register_at_fork(after_in_child=partial(_die_with, os.getpid(), os._exit))


def die_with_server() -> None:
    """The same for a process of multiprocessing: its parent is the job, or a fork server that ends with the job."""
    _be_killed_with_parent()
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        sys.exit(1)


def _die_with(parent: int, leave: Callable[[int], object]) -> None:
    _be_killed_with_parent()
    if os.getppid() != parent:
        leave(1)


def _be_killed_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
