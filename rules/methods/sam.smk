# SAM and MedSAM: the mask decoder is fine-tuned on M_t, one for each class, with the prompt of the test. Weights are
# published ones, or those of small models that the workflow pre-trains once on procedural tasks.
SAM = METHODS.cells["sam"]


rule sam_pretrain:
    """Pre-train a small SAM on procedural tasks, or go on from another one; once for all cells."""
    input:
        SAM.start,
    output:
        directory(LAYOUT.foundation("{method}")),
    log:
        LAYOUT.log("sam_pretrain", "{method}"),
    wildcard_constraints:
        method=any_of(SAM.pretrained),
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
        code=code_digest("sam_pretrain"),
        device=CONFIG.device,
        parameters=METHODS.values,
    shell:
        "python $SCRIPTS/sam_pretrain.py --parameters {params.parameters:q} --method {wildcards.method} --start {input}"
        " --device {params.device} --code {params.code} --out {output} --log {log}"


rule sam_tune:
    """Fine-tune the mask decoder on the target's labelled slices M_t."""
    input:
        weights=SAM.weights,
        record=SAM.record,
        data=client_file("data"),
    output:
        directory(cell_file("model")),
    log:
        LAYOUT.log("sam_tune", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(SAM.parameters),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("sam_tune"),
        device=CONFIG.device,
        parameters=METHODS.values,
        labels=METHODS.labels_json,
    shell:
        "python $SCRIPTS/sam_tune.py --weights {input.weights} --record {input.record} --data {input.data}"
        " --labels {params.labels:q} --parameters {params.parameters:q} --device {params.device} --code {params.code}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method}"
        " --seed {wildcards.seed} --out {output} --log {log}"


use rule predict as sam_predict with:
    # One pass for each class; and say which weights did.
    output:
        predictions=directory(cell_file("predictions")),
        also=cell_file("weights.json"),
    log:
        LAYOUT.log("sam_predict", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(METHODS.predicted(SAM.entries.keys() - SAM.oracles)),


use rule sam_predict as sam_predict_oracle with:
    # The one method that reads the truth of test volumes: it is in no Table 1.
    input:
        model=METHODS.model,
        others=lambda wildcards: SAM.with_truth(METHODS.trained(wildcards)),
        data=client_file("data"),
        choice=METHODS.choice,
    wildcard_constraints:
        method=any_of(METHODS.predicted(SAM.oracles)),
