"""Terminal output of a workflow run: one line per job, and the reason of a failure instead of a page around it.

A Snakemake logger plugin, chosen by ``logger: fedfactory`` in profiles/default. Snakemake's complete output of a run
stays in ``.snakemake/log``. A dry run is summed up; with ``--verbose``, ``--printshellcmds`` or ``--quiet rules`` it
looks as Snakemake makes it, and so does everything that is not about a job.
"""

import logging
import sys
import time
from typing import Any

from snakemake.logging import DefaultFilter, DefaultFormatter, get_event, is_quiet_about
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_fedfactory import once
from snakemake_logger_plugin_fedfactory.dry_run import DryRun

# Of a dry run, before and after its jobs: the summary says the same, or it is not about this run.
_AROUND = ("Assuming unrestricted", "Building DAG", "Reasons:", "Some jobs were triggered", "Rules with provenance")
_END_OF_DRY_RUN = "This was a dry-run"
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
        self._summed = settings.dryrun and not (settings.verbose or settings.printshellcmds)
        quiet = is_quiet_about(settings.quiet or (), "rules")
        self._dry_run = DryRun() if self._summed and not quiet else None
        once.look_for_garbage_seldom()
        once.look_at_functions_once()
        once.look_up_outputs_by_name()
        if self._summed:
            once.describe_one_job_of_a_rule()
        self.setFormatter(DefaultFormatter(settings.quiet, settings.show_failed_logs))
        self.addFilter(
            DefaultFilter(
                settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, shortened if it is about a job."""
        if self._dry_run is not None:
            text = self._summed_up(record, self._dry_run)
        elif self._summed and get_event(record) == LogEvent.JOB_INFO:
            # Asked to be quiet: Snakemake's filter lets them pass.
            text = ""
        else:
            text = self.format(record) if self.common_settings.dryrun else self._shortened(record)
        if text:
            print(text, file=sys.stderr, flush=True)

    # A record of Snakemake has fields that depend on its event.
    def _summed_up(self, record: Any, dry_run: DryRun) -> str:
        event = get_event(record)
        if event == LogEvent.JOB_INFO:
            dry_run.add(record.rule_name, record.wildcards, record.output, record.reason)
        if event in (LogEvent.JOB_INFO, LogEvent.RUN_INFO, LogEvent.SHELLCMD):
            return ""
        text = self.format(record)
        if text.startswith(_END_OF_DRY_RUN):
            return "\n".join(dry_run.lines())
        return "" if text.startswith(_AROUND) else text

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
