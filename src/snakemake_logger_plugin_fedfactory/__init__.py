"""Terminal output of a workflow run: one line per job, and the reason of a failure instead of a page around it.

A Snakemake logger plugin, chosen by ``logger: fedfactory`` in profiles/default. Snakemake's complete output stays in
``.snakemake/log``. Dry runs and everything that is not about a job look as Snakemake makes them.
"""

import logging
import sys
import time
from typing import Any

from snakemake.logging import DefaultFilter, DefaultFormatter, get_event
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# Said once per scheduler step, or once more what the failed job has just said itself.
_NOISE = ("Select jobs to execute", "Execute ", "Using shell", "RuleException:\nCalledProcessError", "Elapsed time")


class LogHandler(LogHandlerBase):
    """Write short lines to stderr."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Fall back to Snakemake's own filter and formatter for what is not shortened."""
        settings = self.common_settings
        self._start = time.monotonic()
        self._jobs: dict[int, str] = {}
        self._last = ""
        self.setFormatter(DefaultFormatter(settings.quiet, settings.show_failed_logs))
        self.addFilter(
            DefaultFilter(
                settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, shortened if it is about a job."""
        text = self.format(record) if self.common_settings.dryrun else self._shortened(record)
        if text:
            print(text, file=sys.stderr, flush=True)

    # A record of Snakemake has fields that depend on its event.
    def _shortened(self, record: Any) -> str:
        event = get_event(record)
        if event == LogEvent.JOB_INFO:
            self._jobs[record.jobid] = " ".join((record.rule_name, *record.wildcards.values()))
            return ""
        if event == LogEvent.JOB_FINISHED:
            self._last = self._jobs.get(getattr(record, "job_id", getattr(record, "jobid", -1)), "")
            return ""
        if event == LogEvent.PROGRESS:
            minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
            return f"[{minutes:3d}:{seconds:02d}] {record.done}/{record.total} {self._last}"
        if event == LogEvent.JOB_ERROR:
            name = self._jobs.get(record.jobid, record.rule_name)
            return f"failed: {name}; the reason stands above and in {', '.join(record.log) or 'no log'}"
        text = self.format(record)
        return "" if text.strip().startswith(_NOISE) else text
