# Published weights of foundation models (config/weights.yaml): fetched once, and checked whoever put them there.
from fedfactory.storage.weights_table import WeightsTable

WEIGHTS = checked(WeightsTable.read, FOLDER)


rule weights:
    """Fetch a file of weights if it is not there, check it, and lay it among the run's files."""
    output:
        record=LAYOUT.weights("{weights}"),
        weights=LAYOUT.weights("{weights}", ".pt"),
    log:
        LAYOUT.log("weights", "{weights}"),
    wildcard_constraints:
        weights=any_of(WEIGHTS.entries),
    localrule: True
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=120,
    params:
        code=code_digest("weights"),
        entry=lambda wildcards: WEIGHTS.json(wildcards.weights),
        # As raw data it is no product of the workflow: whoever has it drops it there.
        file=lambda wildcards: WEIGHTS.path(wildcards.weights),
        accepted=CONFIG.accept_licences,
    shell:
        "python $SCRIPTS/weights.py --name {wildcards.weights} --entry {params.entry:q} --accepted {params.accepted:q}"
        " --file {params.file:q} --weights {output.weights} --out {output.record} --code {params.code} --log {log}"
