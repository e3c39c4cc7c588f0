"""The part in Snakemake's process: waits for the first job, and starts the server for it."""

import atexit
import os
import secrets
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from fedfactory.orchestration.sources import ROOT

ADDRESS = "FEDFACTORY_WARM"
"""Environment variable: where a job finds the server. ``off`` in a person's environment: every job starts cold."""
CLIENT = Path(__file__).with_name("client.py")
"""Stands for ``python`` in a job's command."""
_SERVER = Path(__file__).with_name("server.py")
# Jobs that ask at the same time.
_QUEUE = 1024


def is_wanted() -> bool:
    """Whether jobs of this machine should start warm; abstract sockets and process descriptors are Linux's."""
    return sys.platform == "linux" and os.environ.get(ADDRESS) != "off"


def listen(settings: Mapping[str, str]) -> str:
    """Start to listen for jobs, and return the address for :data:`ADDRESS`.

    Nothing is started before the first job asks. The server ends with this process, whatever ends that one, and every
    job ends with the server.

    Args:
        settings: environment variables that libraries read when they load.
    """
    # An abstract address: no file that somebody would have to remove. The server refuses other users.
    address = f"fedfactory-{os.getpid()}-{secrets.token_hex(8)}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{address}")
    listener.listen(_QUEUE)
    threading.Thread(target=_start, args=(listener, dict(settings)), daemon=True).start()
    return address


def _start(listener: socket.socket, settings: dict[str, str]) -> None:
    select.select([listener], [], [])
    server = subprocess.Popen(
        [sys.executable, _SERVER, str(listener.fileno())],
        # Ends with this process, whatever ends it, and the server with it.
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
        # Modules from where the jobs' command looks for them (rules/common.smk).
        env=os.environ | settings | {"PYTHONPATH": str(ROOT.parent)},
        # Ctrl-C is for the clients, which hand it on.
        start_new_session=True,
    )
    # Jobs that ask after the server's end are refused, and say so.
    listener.close()

    def stop() -> None:
        server.kill()
        server.wait()

    atexit.register(stop)
