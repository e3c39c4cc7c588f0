# FedAvg of the clients of a setup: with all their labels a bound, or with those of the source alone. One model serves
# all targets.
FEDAVG = METHODS.cells["fedavg"]


rule fedavg_train:
    """Federated training for a setup; all its clients take part, each with its own data in its own process."""
    input:
        stores=FEDAVG.stores,
    output:
        directory(cell_file("model")),
    log:
        LAYOUT.log("fedavg_train", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        client=SOURCES,
        method=any_of(FEDAVG.entries),
    conda:
        ENVIRONMENT
    # Setups side by side keep all cores busy; the clients of one take turns.
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: FEDAVG.memory(wildcards, STORE_MB) * attempt,
        runtime=growing(1440),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("fedavg_train", "fedfactory.methods.fedavg.client"),
        device=CONFIG.device,
        parameters=METHODS.values,
        clients=FEDAVG.names,
        classes=FEDAVG.classes,
    shell:
        "python $SCRIPTS/fedavg_train.py --clients {params.clients} --stores {input.stores}"
        " --parameters {params.parameters:q}"
        " --classes {params.classes} --device {params.device} --code {params.code} --workers {threads}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method}"
        " --seed {wildcards.seed} --out {output} --log {log}"
