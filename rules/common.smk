# Helpers of the rules: the checked configuration and paths. No rule is defined here.
import json
import sys
from functools import partial
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError

import fedfactory
from fedfactory.orchestration.portable import CPU_DEVICES, NATIVE, SETTINGS as PORTABLE
from fedfactory.orchestration.code_digest import CodePlan
from fedfactory.orchestration.code_digest import content_digest as digest_of_files
from fedfactory.orchestration.warm import listener as warm
from fedfactory.orchestration.wildcards import any_of, known_cells, predictions, refuse_unknown_cell
from fedfactory.config.run import load_config
from fedfactory.data import client_tasks
from fedfactory.data.releases import read_releases, store_mb
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation import inputs, specification
from fedfactory.evaluation.page.texts import CHARTS
from fedfactory.methods.cards import cards

# The folder of the project, which is not that of the main Snakefile where this workflow is a module of another.
FOLDER = Path(workflow.current_basedir).parent
# A job on a cluster reads these rules again, on its node and later: it takes over what was planned.
CODE_PLAN = CodePlan(takes_over=workflow.remote_exec)


def checked(load, *arguments):
    """Call a function; what is wrong with the configuration ends the workflow with its sentence."""
    try:
        return load(*arguments)
    except FedFactoryError as error:
        raise WorkflowError(str(error)) from None


def code_digest(script, *modules):
    """What a job is planned to run: a digest of its script and of all package code that the script imports."""
    return CODE_PLAN.code(FOLDER / "workflow_scripts" / f"{script}.py", *modules)


def content_digest(*names):
    """Digest of files of the project that a script reads by itself."""
    return digest_of_files(*(FOLDER / name for name in names))


def parameters_from(describe):
    """The parameters of a job as JSON: what a function of the package says of the run and the job's wildcards."""
    return lambda wildcards: json.dumps(describe(CONFIG, wildcards))


def as_json(parameters):
    """The parameters of a job as JSON, by a function: braces in a text, as in a label, are wildcards to Snakemake."""
    text = json.dumps(parameters)
    return lambda wildcards: text


def growing(amount):
    """Memory in MB or minutes of a job: after each failure as much more; a number, or a function of wildcards."""
    if callable(amount):
        return lambda wildcards, attempt: amount(wildcards) * attempt
    return lambda wildcards, attempt: amount * attempt


def released(path, **options):
    """A picture of real slices: part of the report only where the clients release pictures."""
    return report(path, **options) if CONFIG.pictures else path


if Path(fedfactory.__file__).parent != FOLDER / "src" / "fedfactory":
    raise WorkflowError(
        f"the package fedfactory comes from {Path(fedfactory.__file__).parent}, the workflow from {FOLDER}; use the"
        " environment of this folder (make demo), or set PYTHONPATH to its src"
    )

CONFIG = checked(load_config, config, [Path(file) for file in workflow.configfiles], FOLDER)
if workflow.is_main_process:
    for reason in CONFIG.left_out.values():
        print(f"Left out: {reason}.", file=sys.stderr)
# Jobs find scripts and package whichever folder and environment they run in; absolute paths stay out of the rules, so
# that a clone elsewhere re-runs nothing. Without conda or a container, `python` is the one that runs Snakemake.
OWN_PYTHON = (
    "" if workflow.deployment_settings.deployment_method else f"PATH={quote(str(Path(sys.executable).parent))}:$PATH; "
)
# What a job's record says of the configuration, for the command that makes its result again.
OPTIONS = ["--configfile", *CONFIG.files]
if workflow.config_settings.config:
    OPTIONS += ["--config", *(f"{key}={value}" for key, value in workflow.config_settings.config.items())]
# Read by libraries when they load, so from the start of a job on (fedfactory.orchestration.portable).
SETTINGS = " ".join(f"{name}={quote(value)}" for name, value in ({} if CONFIG.device == NATIVE else PORTABLE).items())
# Jobs of this machine are forked from a process that has loaded their libraries; not where a GPU may be taken, whose
# driver no forked process can use.
WARM = ""
if CONFIG.device == "cpu" and OWN_PYTHON and workflow.is_main_process and warm.is_wanted():
    WARM = (
        f"export {warm.ADDRESS}={warm.listen(PORTABLE)};"
        f' python() ( exec python -I -S {quote(str(warm.CLIENT))} "$@" ); '
    )
# Without IFS the name of the project's folder may hold blanks.
shell.prefix(
    f"set -euo pipefail; IFS=; {OWN_PYTHON}export {SETTINGS} PYTHONPATH={quote(str(FOLDER / 'src'))}"
    f" FEDFACTORY_OPTIONS={quote(json.dumps(OPTIONS))}; SCRIPTS={quote(str(FOLDER / 'workflow_scripts'))}; {WARM}"
)
RELEASES = checked(read_releases, FOLDER)
LAYOUT = CONFIG.layout
ENVIRONMENT = f"{FOLDER}/envs/fedfactory.yaml"
# The paper's own figures, for the tables beside it.
PAPER = "config/table1_paper.csv"
PAPER_SUBJECTS = "config/table1_paper_subjects.csv"
SOURCES = any_of({setup.source for setup in CONFIG.setups.values()})
# MB of a client's store, where real releases say how large it becomes: (setup, client).
STORE_MB = partial(store_mb, RELEASES, CONFIG)
GPU_PER_TRAINING = 0 if CONFIG.device in CPU_DEVICES else 1


wildcard_constraints:
    setup=any_of(CONFIG.setups),
    client=any_of({name for setup in CONFIG.setups.values() for name in setup.clients}),
    method=any_of([*CONFIG.methods, *CONFIG.strict]),
    seed=any_of([str(seed) for seed in CONFIG.seeds]),


client_file = partial(LAYOUT.client, "{setup}", "{client}")
cell_file = partial(LAYOUT.cell, "{setup}", "{client}", "{method}", "{seed}")
run_file = LAYOUT.file
