"""What libraries print, as lines of the log."""

import io
import logging


class LineLog(io.TextIOBase):
    """A text stream for ``redirect_stdout`` that logs every complete line.

    Args:
        log: where the lines go, at level INFO.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._pending = ""

    def writable(self) -> bool:
        """Text can be written."""
        return True

    def write(self, text: str) -> int:
        """Log the lines that ``text`` completes; empty ones are dropped."""
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            if line.strip():
                self._log.info("%s", line.rstrip())
        return len(text)
