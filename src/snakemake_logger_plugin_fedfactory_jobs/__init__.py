"""The jobs of a run as JSON lines: what audit, plan and check-method ask Snakemake for.

A Snakemake logger plugin: ``--logger fedfactory-jobs --logger-fedfactory-jobs-file FILE``. It writes a line for every
job that Snakemake announces, in a dry run as in a real one, and prints errors alone. Its reader is
fedfactory.orchestration.audit.
"""

import json
import logging
import sys
from dataclasses import dataclass, field
from typing import Any, Optional

from snakemake.logging import get_event
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Options of the plugin."""

    file: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "file for the jobs, a line of JSON each", "required": True}
    )


class LogHandler(LogHandlerBase):
    """Write jobs to the file and errors to stderr."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Open the file."""
        settings: Any = self.settings
        self._file = open(settings.file, "w", encoding="utf-8", buffering=1)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a job, or print an error."""
        if get_event(record) == LogEvent.JOB_INFO:
            self._file.write(json.dumps(_described(record)) + "\n")
        elif record.levelno >= logging.ERROR:
            print(record.getMessage(), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _described(record: Any) -> dict[str, object]:
    numbers = {name: value for name, value in record.resources.items() if isinstance(value, int | float)}
    return {
        "rule": record.rule_name,
        "inputs": list(record.input),
        "outputs": list(record.output),
        "shell": record.shellcmd or "",
        "wildcards": dict(record.wildcards),
        "resources": numbers,
    }
