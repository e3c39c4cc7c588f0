# The multimodal data factory (paper, section 3.1): keys at the clients, federated training, and pictures that prove it.
from fedfactory.factory.plan import FactoryPlan

FACTORY = checked(FactoryPlan, CONFIG)
factory_file = partial(LAYOUT.factory, "{setup}", "{seed}")


rule factory_key:
    """A client's CLIP key: the mean encoding of its training images, computed at the client."""
    input:
        data=client_file("data"),
    output:
        client_file("factory_key.json"),
    log:
        LAYOUT.log("factory_key", "{setup}", "{client}"),
    # Seconds, for which the longest jobs wait.
    priority: 30
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("factory_key"),
        device=CONFIG.device,
        parameters=FACTORY.key_json,
    shell:
        "python $SCRIPTS/factory_key.py --data {input.data} --parameters {params.parameters:q} --device {params.device}"
        " --out {output} --code {params.code} --log {log}"


rule factory_train:
    """Federated training of a setup's factory: a job that several clients take part in, each with its own data."""
    input:
        # None where sites are remote.
        stores=FACTORY.stores,
        client_keys=FACTORY.client_keys,
    output:
        directory(factory_file("model")),
    log:
        LAYOUT.log("factory_train", "{setup}", "{seed}"),
    # The longest jobs first.
    priority: 20
    conda:
        ENVIRONMENT
    threads: FACTORY.workers
    resources:
        mem_mb=growing(partial(FACTORY.training_memory, STORE_MB)),
        runtime=growing(5760),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("factory_train"),
        device=CONFIG.device,
        parameters=FACTORY.training_json,
    shell:
        "python $SCRIPTS/factory_train.py --stores {input.stores} --keys {input.client_keys}"
        " --parameters {params.parameters:q}"
        " --setup {wildcards.setup} --seed {wildcards.seed} --device {params.device} --code {params.code}"
        " --workers {threads} --out {output} --log {log}"


rule factory_quality:
    """Closeness and alignment of a factory at one client, measured on that client's own images."""
    input:
        factory=factory_file("model"),
        data=client_file("data"),
    output:
        client_file("factory_quality", "seed{seed}.csv"),
    log:
        LAYOUT.log("factory_quality", "{setup}", "{client}", "{seed}"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(FACTORY.process_memory),
        runtime=growing(600),
    params:
        code=code_digest("factory_quality"),
        parameters=FACTORY.quality_json,
    shell:
        "python $SCRIPTS/factory_quality.py --factory {input.factory} --data {input.data}"
        " --parameters {params.parameters:q} --out {output} --code {params.code} --log {log}"


rule factory_privacy:
    """Whether a factory repeats a client's training slices, measured at that client (privacy: true)."""
    input:
        factory=factory_file("model"),
        data=client_file("data"),
    output:
        table=client_file("factory_privacy", "seed{seed}.csv"),
        # The closest pairs show training slices.
        closest=[client_file("factory_privacy", "seed{seed}.png")] if CONFIG.pictures else [],
    log:
        LAYOUT.log("factory_privacy", "{setup}", "{client}", "{seed}"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(FACTORY.process_memory),
        runtime=growing(600),
    params:
        code=code_digest("factory_privacy"),
        parameters=FACTORY.privacy_json,
    shell:
        "python $SCRIPTS/factory_privacy.py --factory {input.factory} --data {input.data}"
        " --parameters {params.parameters:q} --closest {output.closest} --out {output.table} --code {params.code}"
        " --log {log}"


rule privacy:
    """What the clients of a factory measured of their privacy, as one table."""
    input:
        measured=FACTORY.privacy_files,
    output:
        table=report(
            factory_file("privacy.csv"),
            caption="../report/privacy.rst",
            category="Factory",
            subcategory="{setup}",
            labels={"picture": "Privacy"},
        ),
        text=factory_file("privacy.md"),
    log:
        LAYOUT.log("privacy", "{setup}", "{seed}"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_digest("privacy"),
        parameters=FACTORY.labels_json,
    shell:
        "python $SCRIPTS/privacy.py --measured {input.measured} --parameters {params.parameters:q}"
        " --text {output.text} --out {output.table} --code {params.code} --log {log}"


rule factory_pictures:
    """Samples over the training beside real images, morphing between clients, quality and ledger of a factory."""
    input:
        factory=factory_file("model"),
        measured=FACTORY.quality_files,
        # None where clients release no pictures.
        previews=FACTORY.previews,
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
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_digest("factory_pictures"),
        parameters=FACTORY.pictures_json,
    shell:
        "python $SCRIPTS/factory_pictures.py --factory {input.factory} --measured {input.measured}"
        " --previews {input.previews} --parameters {params.parameters:q} --out {output.samples}"
        " --morphing {output.morphing} --curves {output.curves} --quality {output.quality} --text {output.text}"
        " --ledger {output.ledger} --code {params.code} --log {log}"
