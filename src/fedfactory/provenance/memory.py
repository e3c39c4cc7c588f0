"""Peak memory of a job and of all processes that it starts."""

import resource
import threading
from contextlib import suppress

import psutil

_SECONDS = 5.0


class MemoryMeter:
    """Looks from now on, every few seconds, how much memory this process and its children hold together."""

    def __init__(self) -> None:
        self._peak = 0
        threading.Thread(target=self._keep_looking, daemon=True).start()

    def read(self) -> float:
        """Peak so far in MB (2^20 bytes): the largest sum that was seen, or the largest process where that is more.

        A page that processes share counts once; of the largest process the kernel keeps the true peak.
        """
        self._look()
        largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return max(self._peak / 2**20, largest / 1024)

    def _look(self) -> None:
        this, held = psutil.Process(), 0
        children = this.children(recursive=True)
        # Of one process alone the kernel knows the peak.
        for process in (this, *children) if children else ():
            # It may end meanwhile.
            with suppress(psutil.Error):
                held += process.memory_full_info().pss if psutil.LINUX else process.memory_info().rss
        self._peak = max(self._peak, held)

    def _keep_looking(self) -> None:
        pause = threading.Event()
        while not pause.wait(_SECONDS):
            self._look()
