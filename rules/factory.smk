# The multimodal data factory (paper, section 3.1): keys at the clients, federated training, and pictures that prove it.
from fedfactory.factory.plan import FactoryPlan

FACTORY = checked(FactoryPlan, CONFIG)
factory_file = partial(LAYOUT.factory, "{setup}", "{seed}")


rule factory_key:
    """A client's CLIP key: the mean encoding of its training images, computed at the client."""
    input:
        client_file("data"),
    output:
        client_file("factory_key.json"),
    log:
        LAYOUT.log("factory_key", "{setup}", "{client}"),
    benchmark:
        LAYOUT.benchmark("factory_key", "{setup}", "{client}")
    # Seconds, for which the longest jobs wait.
    priority: 30
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("factory_key"),
        device=CONFIG.device,
        encoder=FACTORY.encoder_json(),
        size=lambda wildcards: FACTORY.parameters[wildcards.setup].network.image_size,
    shell:
        "python $SCRIPTS/factory_key.py --data {input} --encoder {params.encoder:q} --size {params.size}"
        " --device {params.device}"
        " --out {output} --log {log}"


rule factory_train:
    """Federated training of a setup's factory; the one job that several clients take part in, each with its own data."""
    input:
        lambda wildcards: FACTORY.inputs(wildcards.setup),
    output:
        directory(factory_file("model")),
    log:
        LAYOUT.log("factory_train", "{setup}", "{seed}"),
    benchmark:
        LAYOUT.benchmark("factory_train", "{setup}", "{seed}")
    # The longest jobs first.
    priority: 20
    conda:
        ENVIRONMENT
    threads: lambda wildcards: FACTORY.workers(wildcards.setup)
    resources:
        mem_mb=lambda wildcards, attempt: FACTORY.training_memory(wildcards.setup, STORE_MB) * attempt,
        runtime=lambda wildcards, attempt: 5760 * attempt,
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("factory_train"),
        device=CONFIG.device,
        parameters=lambda wildcards: FACTORY.json(wildcards.setup),
        sites=lambda wildcards: FACTORY.sites(wildcards.setup),
        encoder=FACTORY.encoder_json(),
    shell:
        "python $SCRIPTS/factory_train.py --setup {wildcards.setup} --seed {wildcards.seed} --sites {params.sites:q}"
        " --encoder {params.encoder:q} --parameters {params.parameters:q} --device {params.device}"
        " --code {params.code} --workers {threads} --out {output} --log {log}"


rule factory_quality:
    """Closeness and alignment of a factory at one client, measured on that client's own images."""
    input:
        factory=factory_file("model"),
        data=client_file("data"),
    output:
        client_file("factory_quality", "seed{seed}.csv"),
    log:
        LAYOUT.log("factory_quality", "{setup}", "{client}", "{seed}"),
    benchmark:
        LAYOUT.benchmark("factory_quality", "{setup}", "{client}", "{seed}")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: FACTORY.process_memory(wildcards.setup) * attempt,
        runtime=lambda wildcards, attempt: 600 * attempt,
    params:
        code=code_digest("factory_quality"),
        partner=lambda wildcards: FACTORY.partner(wildcards.setup, wildcards.client),
    shell:
        "python $SCRIPTS/factory_quality.py --factory {input.factory} --data {input.data} --client {wildcards.client}"
        " --partner {params.partner} --out {output} --log {log}"


rule factory_pictures:
    """Samples over the training beside real images, morphing between clients, quality and ledger of a factory."""
    input:
        factory=factory_file("model"),
        quality=lambda wildcards: FACTORY.quality_files(**wildcards).values(),
        previews=lambda wildcards: FACTORY.previews(wildcards.setup).values(),
    output:
        samples=report(
            factory_file("samples.png"),
            caption="../report/factory_samples.rst",
            category="Factory",
            subcategory="{setup}",
            labels={"picture": "Samples"},
        ),
        morphing=report(
            factory_file("morphing.png"),
            caption="../report/factory_morphing.rst",
            category="Factory",
            subcategory="{setup}",
            labels={"picture": "Morphing"},
        ),
        curves=report(
            factory_file("quality.png"),
            caption="../report/factory_quality.rst",
            category="Factory",
            subcategory="{setup}",
            labels={"picture": "Quality"},
        ),
        quality=report(
            factory_file("quality.csv"),
            caption="../report/factory_gates.rst",
            category="Factory",
            subcategory="{setup}",
            labels={"picture": "Gates"},
        ),
        text=factory_file("quality.md"),
        ledger=report(
            factory_file("ledger.csv"),
            caption="../report/factory_ledger.rst",
            category="Factory",
            subcategory="{setup}",
            labels={"picture": "Ledger"},
        ),
    log:
        LAYOUT.log("factory_pictures", "{setup}", "{seed}"),
    benchmark:
        LAYOUT.benchmark("factory_pictures", "{setup}", "{seed}")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_digest("factory_pictures"),
        labels=lambda wildcards: FACTORY.labels(wildcards.setup),
        quality=lambda wildcards: jobs.to_json(FACTORY.quality_files(**wildcards)),
        previews=lambda wildcards: jobs.to_json(FACTORY.previews(wildcards.setup)),
        partner=lambda wildcards: FACTORY.morphing_from(wildcards.setup),
        orientation=lambda wildcards: CONFIG.setups[wildcards.setup].orientation,
        folder=lambda wildcards, output: Path(output.samples).parent,
    shell:
        "python $SCRIPTS/factory_pictures.py --factory {input.factory} --quality {params.quality:q}"
        " --labels {params.labels:q} --previews {params.previews:q} --partner {params.partner}"
        " --orientation {params.orientation} --out {params.folder} --log {log}"
