# FedDG: for each target a federation of all other clients, with their labels, which the setting forbids: the row
# carries a mark. What clients exchange are models and the amplitudes of low frequencies.
FEDDG = METHODS.cells["feddg"]


rule feddg_train:
    """Federated training for one target; all other clients take part, each with its own data in its own process."""
    input:
        stores=FEDDG.stores,
    output:
        directory(cell_file("model")),
    log:
        LAYOUT.log("feddg_train", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(FEDDG.entries),
    conda:
        ENVIRONMENT
    # Targets side by side keep all cores busy; the clients of one take turns.
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: FEDDG.memory(wildcards, STORE_MB) * attempt,
        runtime=growing(1440),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("feddg_train", "fedfactory.methods.feddg.client"),
        device=CONFIG.device,
        parameters=METHODS.values,
        clients=FEDDG.names,
        classes=FEDDG.classes,
    shell:
        "python $SCRIPTS/feddg_train.py --clients {params.clients} --stores {input.stores}"
        " --parameters {params.parameters:q}"
        " --classes {params.classes} --device {params.device} --code {params.code} --workers {threads}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method}"
        " --seed {wildcards.seed} --out {output} --log {log}"
