# Published weights of foundation models (config/weights.yaml): fetched once, and checked whoever put them there.
from fedfactory.storage.weights_table import WeightsTable

WEIGHTS = checked(WeightsTable.read, FOLDER)


rule weights:
    """Fetch a file of weights if it is not there, and check it."""
    output:
        LAYOUT.weights("{weights}"),
    log:
        LAYOUT.log("weights", "{weights}"),
    benchmark:
        LAYOUT.benchmark("weights", "{weights}")
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
        file=lambda wildcards: WEIGHTS.path(wildcards.weights),
        accepted=CONFIG.accept_licences,
    shell:
        "python $SCRIPTS/weights.py --name {wildcards.weights} --entry {params.entry:q} --accepted {params.accepted:q}"
        " --file {params.file:q} --out {output} --log {log}"
