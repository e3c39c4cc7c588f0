# FedFactory: from the raw files of every site to Table 1 and Figure 2.
# The default configuration is the embedded demo; `--configfile config/paper.yaml` replaces it as a whole.
from os import fspath

from snakemake.utils import min_version

min_version("9.19")

# A file from the command line stands alone: merging it into the demo would hide keys it forgot.
if not workflow.overwrite_configfiles:

    configfile: fspath(workflow.current_basedir.join("config/demo.yaml"))


report: "report/workflow.rst"


# On one machine jobs that need a GPU take turns (gpu=1 in profiles/default); on a cluster its scheduler counts GPUs.
resource_scopes:
    gpu="local",


include: "rules/common.smk"
include: "rules/phantoms.smk"
include: "rules/clients.smk"
include: "rules/weights.smk"


if CONFIG.factory:

    include: "rules/factory.smk"


include: "rules/methods.smk"


for file in METHODS.rule_files():

    include: file


include: "rules/evaluation.smk"
include: "rules/report.smk"


rule all:
    """Every cell, and all that is made from the cells."""
    default_target: True
    input:
        # The cells are named one by one: otherwise a deleted one would go unnoticed while the table exists.
        inputs.cell_files(CONFIG, "scores.csv"),
        inputs.cell_files(CONFIG, "cell.json"),
        run_file(f"{CONFIG.table}.csv"),
        run_file(f"{CONFIG.table}_analysis"),
        inputs.cell_files(CONFIG, "scores.csv", CONFIG.strict),
        run_file(f"{CONFIG.table}_strict.csv"),
        run_file(f"{CONFIG.table}_strict_analysis"),
        run_file("gap.csv"),
        inputs.picture_files(CONFIG),
        inputs.page(CONFIG),
        inputs.factory_files(CONFIG),
        METHODS.results(),
    localrule: True
