# UniverSeg: M_t is the support set, nothing is trained at the target. Its weights are published ones, or those of a
# small model that the workflow pre-trains once on procedural tasks.
UNIVERSEG = METHODS.cells["universeg"]


rule universeg_pretrain:
    """Pre-train a small UniverSeg on procedural tasks, once for all cells."""
    output:
        directory(LAYOUT.foundation("{method}")),
    log:
        LAYOUT.log("universeg_pretrain", "{method}"),
    wildcard_constraints:
        method=any_of(UNIVERSEG.pretrained),
    # All cells of the method wait for it.
    priority: 10
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(120),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("universeg_pretrain"),
        device=CONFIG.device,
        parameters=METHODS.values,
    shell:
        "python $SCRIPTS/universeg_pretrain.py --parameters {params.parameters:q} --method {wildcards.method}"
        " --device {params.device} --code {params.code} --out {output} --log {log}"


use rule predict as universeg_predict with:
    # Segment by M_t, and say which weights did.
    output:
        predictions=directory(cell_file("predictions")),
        also=cell_file("weights.json"),
    log:
        LAYOUT.log("universeg_predict", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(UNIVERSEG.entries),
