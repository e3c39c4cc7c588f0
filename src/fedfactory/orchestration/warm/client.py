"""Stands where a job's process would stand: `python client.py SCRIPT ARGUMENT...`, run without site and packages.

Everything that the job gets from its surroundings is handed to the server, every signal too, and the exit is the job's.
"""

import json
import os
import signal
import socket
import sys

_HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# The job writes there itself.
_STREAMS = (0, 1, 2)


def main(command: list[str]) -> None:
    """Have a script run, and leave as it leaves."""
    if not command[0].endswith(".py"):
        os.execv(sys.executable, [sys.executable, *command])
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(f"\0{os.environ['FEDFACTORY_WARM']}")
        for number in _HANDED_ON:
            signal.signal(number, lambda number, _: server.sendall(bytes([number])))
        request = {"command": command, "folder": os.getcwd(), "environment": dict(os.environ), "umask": os.umask(0)}
        text = json.dumps(request).encode("utf-8", "surrogateescape")
        socket.send_fds(server, [len(text).to_bytes(8, "big")], _STREAMS)
        server.sendall(text)
        answer = server.recv(4)
    except OSError:
        answer = b""
    if len(answer) < 4:
        sys.exit(
            "fedfactory: error: the process that starts the jobs of this run is gone; start snakemake again, with"
            " FEDFACTORY_WARM=off if that happens twice"
        )
    status = int.from_bytes(answer, "big")
    if os.WIFSIGNALED(status):
        ended_by = os.WTERMSIG(status)
        if ended_by in _HANDED_ON:
            signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1:])
