# What methods share: the rule `fit`, for those that are fitted at the target on its own data, and the rule `predict`. A
# method's own rules, if it has any, stand in rules/methods/<name>.smk; what it reads and lets out, in its declaration
# (docs/add-a-method.md).
from fedfactory.methods.cells import Methods
from fedfactory.orchestration.declared import FIT, PREDICT

METHODS = checked(Methods, CONFIG, FOLDER)


rule fit:
    """Fit a method at the target, on the target's own data."""
    input:
        data=client_file("data"),
        others=METHODS.starts_from,
    output:
        directory(cell_file("model")),
    log:
        LAYOUT.log("fit", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(METHODS.rows(FIT)),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=METHODS.memory,
        runtime=growing(1440),
        gpu=GPU_PER_TRAINING,
    params:
        code=lambda wildcards: code_digest("fit", *METHODS.modules(wildcards)),
        device=CONFIG.device,
        fit=lambda wildcards: METHODS.declared(wildcards).fit,
        parameters=METHODS.values,
        labels=METHODS.labels_json,
    shell:
        "python $SCRIPTS/fit.py --fit {params.fit} --data {input.data} --others {input.others}"
        " --labels {params.labels:q}"
        " --parameters {params.parameters:q} --device {params.device} --code {params.code}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method}"
        " --seed {wildcards.seed} --out {output} --log {log}"


rule choose:
    """Let the target's validation volumes choose among the states of a training (protocol of the paper)."""
    input:
        model=cell_file("model"),
        others=METHODS.with_model,
        data=client_file("data"),
    output:
        cell_file("choice.csv"),
    log:
        LAYOUT.log("choose", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of({name for _, name in METHODS.chosen}),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=METHODS.memory,
        runtime=growing(240),
        gpu=GPU_PER_TRAINING,
    params:
        code=lambda wildcards: code_digest("choose", *METHODS.modules(wildcards)),
        device=CONFIG.device,
        choose=lambda wildcards: METHODS.declared(wildcards).choose,
        parameters=METHODS.prediction,
        labels=METHODS.labels_of,
        orientation=lambda wildcards: CONFIG.setups[wildcards.setup].orientation,
    shell:
        "python $SCRIPTS/choose.py --choose {params.choose} --model {input.model} --others {input.others}"
        " --data {input.data} --labels {params.labels:q} --parameters {params.parameters:q}"
        " --orientation {params.orientation} --device {params.device}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method} --out {output} --code {params.code}"
        " --log {log}"


rule predict:
    """Segment the target's test volumes, and bring the masks back to the geometry of the raw images."""
    input:
        model=METHODS.model,
        others=METHODS.with_model,
        data=client_file("data"),
        # Empty where validation volumes choose nothing.
        choice=METHODS.choice,
    output:
        predictions=directory(cell_file("predictions")),
        also=[],
    log:
        LAYOUT.log("predict", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(METHODS.predicted(METHODS.rows(PREDICT))),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=METHODS.memory,
        runtime=growing(120),
        gpu=GPU_PER_TRAINING,
    params:
        code=lambda wildcards: code_digest("predict", *METHODS.modules(wildcards)),
        device=CONFIG.device,
        segmenter=lambda wildcards: METHODS.declared(wildcards).segmenter,
        write_also=lambda wildcards: METHODS.declared(wildcards).also,
        parameters=METHODS.prediction,
        labels=METHODS.labels_json,
        orientation=lambda wildcards: CONFIG.setups[wildcards.setup].orientation,
    shell:
        "python $SCRIPTS/predict.py --segmenter {params.segmenter} --model {input.model} --others {input.others}"
        " --data {input.data} --choice {input.choice} --labels {params.labels:q} --parameters {params.parameters:q}"
        " --orientation {params.orientation} --device {params.device}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method}"
        " --write-also {params.write_also:q} --also {output.also} --out {output.predictions}"
        " --code {params.code} --log {log}"
