# FedMed-GAN: a federated CycleGAN between the source and each target translates the target's images to the source's
# look, and the source's nnU-Net segments them. Translated images cross between both while it trains: the row carries
# a mark.
FEDMEDGAN = METHODS.cells["fedmedgan"]


rule fedmedgan_train:
    """Federated training of source and target; each has its own data in its own process."""
    input:
        stores=FEDMEDGAN.stores,
    output:
        directory(cell_file("model")),
    log:
        LAYOUT.log("fedmedgan_train", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(FEDMEDGAN.entries),
    conda:
        ENVIRONMENT
    # Targets side by side keep all cores busy; the clients of one take turns.
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: FEDMEDGAN.memory(wildcards, STORE_MB) * attempt,
        runtime=growing(1440),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("fedmedgan_train", "fedfactory.methods.fedmedgan.client"),
        device=CONFIG.device,
        parameters=METHODS.values,
        clients=FEDMEDGAN.names,
        size=FEDMEDGAN.size,
    shell:
        "python $SCRIPTS/fedmedgan_train.py --clients {params.clients} --stores {input.stores}"
        " --parameters {params.parameters:q}"
        " --size {params.size} --device {params.device} --code {params.code} --workers {threads}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method}"
        " --seed {wildcards.seed} --out {output} --log {log}"


use rule predict as fedmedgan_predict with:
    # Translate the target's test volumes, and segment them as the source would; and a picture of that.
    output:
        predictions=directory(cell_file("predictions")),
        also=released(
            cell_file("translation.png"),
            caption="../../report/translation.rst",
            category="FedMed-GAN",
            subcategory="{setup}",
            labels={"picture": "Translations, {client}, {method}"},
        ),
    log:
        LAYOUT.log("fedmedgan_predict", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(FEDMEDGAN.entries),
