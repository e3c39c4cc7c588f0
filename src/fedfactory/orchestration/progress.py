"""Progress of long work: a bar on a terminal, plain lines in a log."""

import logging
import sys
import time
from dataclasses import dataclass, field

_BAR_CELLS = 24
_QUIET_SECONDS = 10
# Before that much of the work is seen, nobody knows how long the rest takes.
_KNOWN_SECONDS = 5.0


@dataclass
class Progress:
    """Report how far a long piece of work is.

    On a terminal the last line is redrawn as a bar. Elsewhere (a file, a cluster's log, CI) nothing is redrawn: plain
    lines are printed, at least ten seconds apart, so that a log stays short. The script's log file gets every update.

    Attributes:
        title: what is being done, for instance ``train ms/philips/nnunet seed 0``.
    """

    title: str
    _start: float = field(default_factory=lambda: time.monotonic())
    _printed: float = field(default_factory=lambda: time.monotonic())
    _begun_at: int | None = None

    def update(self, done: int, total: int, message: str = "") -> None:
        """Say that ``done`` of ``total`` steps are finished; ``message`` holds the latest figures (loss, Dice)."""
        seconds = time.monotonic() - self._start
        line = f"{self.title}: {done}/{total} {message} ({seconds:.0f} s{self._left(done, total, seconds)})"
        logging.getLogger(__name__).info(line)
        if sys.stderr.isatty():
            filled = round(_BAR_CELLS * done / total)
            bar = "#" * filled + "." * (_BAR_CELLS - filled)
            end = "\n" if done == total else ""
            print(f"\r\x1b[K[{bar}] {line}", end=end, file=sys.stderr, flush=True)
        elif time.monotonic() - self._printed > _QUIET_SECONDS:
            self._printed = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    def _left(self, done: int, total: int, seconds: float) -> str:
        """How long the rest takes if it goes on as since the first report: what was resumed took no time."""
        if self._begun_at is None:
            self._begun_at = done
            return ""
        steps = done - self._begun_at
        if steps <= 0 or done >= total or seconds < _KNOWN_SECONDS:
            return ""
        left = seconds * (total - done) / steps
        return f", {left:.0f} s left" if left < 120 else f", {left / 60:.0f} min left"
