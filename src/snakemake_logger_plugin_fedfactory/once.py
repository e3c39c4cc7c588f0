"""What Snakemake works out anew for every job, and need not: a quarter of a dry run of 10 000 cells."""

import gc
from collections import defaultdict
from functools import cache

import snakemake.common
import snakemake.rules
from snakemake.jobs import Job, format_files
from snakemake.logging import logger
from snakemake.output_index import OutputIndex
from snakemake.rules import Rule
from snakemake_interface_logger_plugins.common import LogEvent


def look_for_garbage_seldom() -> None:
    """A plan is millions of small objects, nearly all of which stay; Python would look through them again and again."""
    gc.set_threshold(200_000, 50, 100)


def look_at_functions_once() -> None:
    """Which arguments a function of a rule takes is the same for all jobs; Snakemake asks thrice for each."""
    known = cache(snakemake.common.get_function_params)
    for module in (snakemake.common, snakemake.rules):
        module.get_function_params = known


class OutputsByName(OutputIndex):
    """Outputs of a run begin alike and end unlike; Snakemake looks for them by how they begin, and so at nearly all.

    Args:
        rules: whose outputs they are.
    """

    def __init__(self, rules: list[Rule]):
        # None: a name that a wildcard has part in.
        self._named: dict[str | None, list[tuple[str, str, Rule]]] = defaultdict(list)
        for rule in rules:
            for product in rule.products():
                begins, ends = str(product.constant_prefix()), str(product.constant_suffix())
                name = ends.rpartition("/")[2] if "/" in ends else None
                self._named[name].append((begins, ends, rule))

    def match(self, targetfile: str) -> set[Rule]:
        """All rules with an output that begins and ends like a file."""
        name = targetfile.rpartition("/")[2]
        return {
            rule
            for part in (name, None)
            for begins, ends, rule in self._named.get(part, ())
            if targetfile.startswith(begins) and targetfile.endswith(ends)
        }


def look_up_outputs_by_name() -> None:
    """Where the plan is made."""
    # A module that Snakemake itself must have imported first.
    import snakemake.dag

    snakemake.dag.OutputIndex = OutputsByName


def describe_one_job_of_a_rule() -> None:
    """A dry run writes out every job with inputs, resources and command; its summary shows nothing of that.

    The first job of a rule is written out still, so that a command that cannot be made stops a dry run as before.
    """
    in_full = Job.log_info
    described: set[Rule] = set()

    def log_info(job: Job, indent: bool = False, printshellcmd: bool = True) -> None:
        if job.rule not in described:
            described.add(job.rule)
            in_full(job, indent, printshellcmd)
            return
        shown = {
            "event": LogEvent.JOB_INFO,
            "rule_name": job.rule.name,
            "wildcards": job.wildcards_dict,
            "output": format_files(job.output, as_output=True),
            "reason": str(job.dag.reason(job)),
        }
        logger.info(job.rule.name, extra=shown)

    Job.log_info = log_info
