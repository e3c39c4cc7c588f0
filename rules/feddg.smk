# FedDG: for each target a federation of all other clients, with their labels, which the setting forbids: the row carries a
# mark. What clients exchange are models and the amplitudes of low frequencies.
from fedfactory.methods.feddg.cells import FedDGCells

FEDDG = checked(FedDGCells, CONFIG)


rule feddg_train:
    """Federated training for one target; all other clients take part, each with its own data in its own process."""
    input:
        FEDDG.inputs,
    output:
        directory(cell_file("model")),
    log:
        LAYOUT.log("feddg_train", "{setup}", "{client}", "{method}", "{seed}"),
    benchmark:
        LAYOUT.benchmark("feddg_train", "{setup}", "{client}", "{method}", "{seed}")
    wildcard_constraints:
        method=jobs.any_of(FEDDG.parameters),
    conda:
        ENVIRONMENT
    # Targets side by side keep all cores busy; the clients of one take turns.
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: FEDDG.memory(wildcards, STORE_MB) * attempt,
        runtime=lambda wildcards, attempt: 1440 * attempt,
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("feddg_train", "fedfactory.methods.feddg.client"),
        device=CONFIG.device,
        parameters=method_parameters,
        stores=FEDDG.stores,
        classes=FEDDG.classes,
    shell:
        "python $SCRIPTS/feddg_train.py --stores {params.stores:q} --parameters {params.parameters:q}"
        " --classes {params.classes} --device {params.device} --code {params.code} --workers {threads}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method} --seed {wildcards.seed} --out {output} --log {log}"


rule feddg_predict:
    """Segment the target's test volumes by a model that never saw the target."""
    input:
        model=cell_file("model"),
        data=client_file("data"),
    output:
        directory(cell_file("predictions")),
    log:
        LAYOUT.log("feddg_predict", "{setup}", "{client}", "{method}", "{seed}"),
    benchmark:
        LAYOUT.benchmark("feddg_predict", "{setup}", "{client}", "{method}", "{seed}")
    wildcard_constraints:
        method=jobs.any_of(FEDDG.parameters),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("feddg_predict"),
        device=CONFIG.device,
    shell:
        "python $SCRIPTS/feddg_predict.py --model {input.model} --data {input.data} --device {params.device}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method} --out {output} --log {log}"
