# nnU-Net, +DAug and +TL: the real nnunetv2 (docs/methods.md). A method with `base` fine-tunes that method's source
# model on M_t; the others are trained on the source alone.
NNUNET = METHODS.cells["nnunet"]


rule nnunet_plan:
    """Fingerprint, plan and preprocess the labelled volumes of a client once, for all nnU-Nets that they train."""
    input:
        client_file("data"),
    output:
        directory(client_file("nnunet_plan")),
    log:
        LAYOUT.log("nnunet_plan", "{setup}", "{client}"),
    wildcard_constraints:
        client=any_of(NNUNET.planned),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        code=code_digest("nnunet_plan"),
        labels=NNUNET.labels_planned,
    shell:
        "python $SCRIPTS/nnunet_plan.py --data {input} --labels {params.labels:q} --out {output}"
        " --code {params.code} --log {log}"


rule nnunet_train:
    """Train an nnU-Net on the source; one model serves all targets of the setup."""
    input:
        client_file("nnunet_plan"),
    output:
        directory(cell_file("model")),
    log:
        LAYOUT.log("nnunet_train", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        client=SOURCES,
        method=any_of(NNUNET.scratch),
    # Everything else waits for the source models: start with them.
    priority: 10
    conda:
        ENVIRONMENT
    threads: NNUNET.threads
    resources:
        mem_mb=NNUNET.memory,
        runtime=growing(2880),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("nnunet_train"),
        device=CONFIG.device,
        parameters=METHODS.values,
    shell:
        "python $SCRIPTS/nnunet_train.py --plan {input}"
        " --parameters {params.parameters:q} --device {params.device} --code {params.code}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method}"
        " --seed {wildcards.seed} --out {output} --log {log}"


use rule nnunet_train as nnunet_train_target with:
    # On all labels of a target: a bound.
    log:
        LAYOUT.log("nnunet_train_target", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(NNUNET.at_target),


rule nnunet_plan_pooled:
    """Fingerprint, plan and preprocess the labelled volumes of all clients in one place."""
    input:
        NNUNET.stores,
    output:
        directory(cell_file("nnunet_plan")),
    log:
        LAYOUT.log("nnunet_plan_pooled", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        client=SOURCES,
        method=any_of(NNUNET.pooled),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(480),
    params:
        code=code_digest("nnunet_plan"),
        labels=NNUNET.labels_pooled,
    shell:
        "python $SCRIPTS/nnunet_plan.py --data {input} --labels {params.labels:q} --out {output}"
        " --code {params.code} --log {log}"


use rule nnunet_train as nnunet_train_pooled with:
    # On the labels of all clients in one place: a bound.
    input:
        cell_file("nnunet_plan"),
    log:
        LAYOUT.log("nnunet_train_pooled", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        client=SOURCES,
        method=any_of(NNUNET.pooled),


rule nnunet_finetune:
    """Fine-tune the source model on the target's labelled slices M_t."""
    input:
        model=NNUNET.base_model,
        data=client_file("data"),
    output:
        directory(cell_file("model")),
    log:
        LAYOUT.log("nnunet_finetune", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(NNUNET.tuned),
    conda:
        ENVIRONMENT
    threads: NNUNET.threads
    resources:
        mem_mb=NNUNET.memory,
        runtime=growing(720),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("nnunet_finetune"),
        device=CONFIG.device,
        parameters=METHODS.values,
        labels=METHODS.labels_json,
    shell:
        "python $SCRIPTS/nnunet_finetune.py --source-model {input.model} --data {input.data}"
        " --labels {params.labels:q} --parameters {params.parameters:q} --device {params.device} --code {params.code}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method}"
        " --seed {wildcards.seed} --out {output} --log {log}"
