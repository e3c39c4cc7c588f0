# FedMed-GAN: a federated CycleGAN between the source and each target translates the target's images to the source's look,
# and the source's nnU-Net segments them. Translated images cross between both while it trains: the row carries a mark.
from fedfactory.methods.fedmedgan.cells import FedMedGanCells

FEDMEDGAN = checked(FedMedGanCells, CONFIG)


rule fedmedgan_train:
    """Federated training of source and target; each has its own data in its own process."""
    input:
        FEDMEDGAN.inputs,
    output:
        directory(cell_file("model")),
    log:
        LAYOUT.log("fedmedgan_train", "{setup}", "{client}", "{method}", "{seed}"),
    benchmark:
        LAYOUT.benchmark("fedmedgan_train", "{setup}", "{client}", "{method}", "{seed}")
    wildcard_constraints:
        method=jobs.any_of(FEDMEDGAN.parameters),
    conda:
        ENVIRONMENT
    # Targets side by side keep all cores busy; the clients of one take turns.
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: FEDMEDGAN.memory(wildcards, STORE_MB) * attempt,
        runtime=lambda wildcards, attempt: 1440 * attempt,
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("fedmedgan_train", "fedfactory.methods.fedmedgan.client"),
        device=CONFIG.device,
        parameters=method_parameters,
        stores=FEDMEDGAN.stores,
        size=FEDMEDGAN.size,
    shell:
        "python $SCRIPTS/fedmedgan_train.py --stores {params.stores:q} --parameters {params.parameters:q}"
        " --size {params.size} --device {params.device} --code {params.code} --workers {threads}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method} --seed {wildcards.seed} --out {output} --log {log}"


rule fedmedgan_predict:
    """Translate the target's test volumes, and segment them as the source would."""
    input:
        model=cell_file("model"),
        source_model=FEDMEDGAN.source_model,
        data=client_file("data"),
    output:
        predictions=directory(cell_file("predictions")),
        picture=released(
            cell_file("translation.png"),
            caption="../report/translation.rst",
            category="FedMed-GAN",
            subcategory="{setup}",
            labels={"picture": "Translations, {client}, {method}"},
        ),
    log:
        LAYOUT.log("fedmedgan_predict", "{setup}", "{client}", "{method}", "{seed}"),
    benchmark:
        LAYOUT.benchmark("fedmedgan_predict", "{setup}", "{client}", "{method}", "{seed}")
    wildcard_constraints:
        method=jobs.any_of(FEDMEDGAN.parameters),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("fedmedgan_predict"),
        device=CONFIG.device,
        mirroring=FEDMEDGAN.mirroring,
        orientation=lambda wildcards: CONFIG.setups[wildcards.setup].orientation,
    shell:
        "python $SCRIPTS/fedmedgan_predict.py --model {input.model} --source-model {input.source_model}"
        " {params.mirroring} --data {input.data} --device {params.device}"
        " --cell {wildcards.setup}/{wildcards.client}/{wildcards.method} --orientation {params.orientation}"
        " --picture {output.picture} --out {output.predictions} --log {log}"
