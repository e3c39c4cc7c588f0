"""Stands where a job's process would stand: `python client.py SCRIPT ARGUMENT...`, run without site and packages.

Everything that the job gets from its surroundings is handed to the server, signals too, and the exit is the job's.
"""

import contextlib
import json
import os
import resource
import signal
import socket
import struct
import sys

_HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
_CREDENTIALS = struct.Struct("3i")
# The job writes there itself.
_STREAMS = (0, 1, 2)


def main(command: list[str]) -> None:
    """Have a script run, and leave as it leaves."""
    if not command[0].endswith(".py"):
        os.execv(sys.executable, [sys.executable, *command])
    _open_streams()
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(f"\0{os.environ['FEDFACTORY_WARM']}")
        # After the end of a server anybody could take its address.
        credentials = server.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(credentials)[1] == os.getuid():
            _ask(server, command)
            answer = server.recv(4)
        else:
            answer = b""
    except OSError:
        answer = b""
    if len(answer) < 4:
        sys.exit(
            "fedfactory: error: this job was not started, or was killed: the process that starts the jobs of this run"
            " is gone, or cannot start another one; start snakemake again, with FEDFACTORY_WARM=off if it happens twice"
        )
    _leave(int.from_bytes(answer, "big"))


def _open_streams() -> None:
    """Let no other file take the place of a standard stream that is closed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= max(_STREAMS):
        pass
    os.close(descriptor)


def _ask(server: socket.socket, command: list[str]) -> None:
    request = {"command": command, "folder": os.getcwd(), "environment": dict(os.environ), "umask": os.umask(0)}
    text = json.dumps(request).encode("utf-8", "surrogateescape")
    socket.send_fds(server, [len(text).to_bytes(8, "big")], _STREAMS)
    server.sendall(text)

    def hand_on(number: int, _: object) -> None:
        # The job may just have ended.
        with contextlib.suppress(OSError):
            server.sendall(bytes([number]))

    def pause(_: int, __: object) -> None:
        hand_on(signal.SIGSTOP, None)
        os.kill(os.getpid(), signal.SIGSTOP)

    # Until here nothing runs that would have to clean up: a signal ends this process as it ends any.
    for number in _HANDED_ON:
        signal.signal(number, hand_on)
    signal.signal(signal.SIGTSTP, pause)


def _leave(status: int) -> None:
    if os.WIFSIGNALED(status):
        ended_by = os.WTERMSIG(status)
        # The job has left its core, if any.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if ended_by != signal.SIGKILL:
            signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1:])
