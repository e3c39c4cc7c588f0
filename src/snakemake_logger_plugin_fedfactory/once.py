"""What Snakemake works out anew for every job, and need not: a quarter of a dry run of 10 000 cells."""

import gc
from functools import cache

import snakemake.common
import snakemake.rules
from snakemake.jobs import Job


def look_for_garbage_seldom() -> None:
    """A plan is millions of small objects, nearly all of which stay; Python would look through them again and again."""
    gc.set_threshold(200_000, 50, 100)


def look_at_functions_once() -> None:
    """Which arguments a function of a rule takes is the same for all jobs; Snakemake asks thrice for each."""
    known = cache(snakemake.common.get_function_params)
    for module in (snakemake.common, snakemake.rules):
        module.get_function_params = known


def format_commands_once() -> None:
    """A dry run asks three times for the command of a job; only there nothing changes between."""
    formatted = Job.shellcmd.fget
    last: tuple[Job | None, str | None] = (None, None)

    def shellcmd(job: Job) -> str | None:
        nonlocal last
        if last[0] is not job:
            last = (job, formatted(job))
        return last[1]

    Job.shellcmd = property(shellcmd)
