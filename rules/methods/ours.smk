# Ours (paper, section 3.2): source branch, synthetic source set, and adaptation of each target on its own. A method
# with `base` uses the source branch of that method.
OURS = METHODS.cells["ours"]
ADAPTED = any_of(OURS.parameters)
WITH_BRANCH = any_of(OURS.sources)


rule source_branch:
    """Train encoder and segmentation branch at the source, with the factory frozen."""
    input:
        factory=factory_file("model"),
        data=client_file("data"),
    output:
        directory(cell_file("branch")),
    log:
        LAYOUT.log("source_branch", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        client=SOURCES,
        method=WITH_BRANCH,
    # All adaptations of the setup wait for it.
    priority: 10
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(OURS.memory_mb),
        runtime=growing(1440),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("source_branch"),
        device=CONFIG.device,
        seed_name=OURS.seed_name,
        parameters=OURS.source_json,
    shell:
        "python $SCRIPTS/source_branch.py --factory {input.factory} --data {input.data} --client {wildcards.client}"
        " --parameters {params.parameters:q} --device {params.device} --code {params.code}"
        " --cell {wildcards.setup}/{wildcards.client}/{params.seed_name}"
        " --seed {wildcards.seed} --out {output} --log {log}"


rule source_privacy:
    """What branch and synthetic set give away of the source's slices, measured at the source (privacy: true)."""
    input:
        factory=factory_file("model"),
        branch=cell_file("branch"),
        synthetic=cell_file("synthetic"),
        data=client_file("data"),
    output:
        report(
            cell_file("privacy.csv"),
            caption="../../report/privacy.rst",
            category="Adaptation",
            subcategory="{setup}",
            labels={"picture": "Privacy of the source, {method}"},
        ),
    log:
        LAYOUT.log("source_privacy", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        client=SOURCES,
        method=WITH_BRANCH,
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(OURS.memory_mb),
        runtime=growing(600),
    params:
        code=code_digest("source_privacy"),
        encoder=json.dumps(dict(CONFIG.factory["encoder"])) if CONFIG.factory else "{}",
    shell:
        "python $SCRIPTS/source_privacy.py --factory {input.factory} --branch {input.branch}"
        " --synthetic {input.synthetic} --data {input.data} --client {wildcards.client}"
        " --encoder {params.encoder:q} --out {output} --code {params.code} --log {log}"


rule synthetic_source:
    """Sample volumes of the source from the factory, label them by the source branch, and filter."""
    input:
        factory=factory_file("model"),
        branch=cell_file("branch"),
    output:
        found=directory(cell_file("synthetic")),
        picture=report(
            cell_file("synthetic.png"),
            caption="../../report/synthetic.rst",
            category="Adaptation",
            subcategory="{setup}",
            labels={"picture": "Synthetic source, {method}"},
        ),
    log:
        LAYOUT.log("synthetic_source", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        client=SOURCES,
        method=WITH_BRANCH,
    priority: 10
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(OURS.memory_mb),
        runtime=growing(120),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("synthetic_source"),
        device=CONFIG.device,
        seed_name=OURS.seed_name,
        parameters=OURS.synthetic_json,
        size=CONFIG.preprocessing["image_size"],
        orientation=lambda wildcards: CONFIG.setups[wildcards.setup].orientation,
    shell:
        "python $SCRIPTS/synthetic_source.py --factory {input.factory} --branch {input.branch} --size {params.size}"
        " --parameters {params.parameters:q}"
        " --device {params.device} --orientation {params.orientation}"
        " --cell {wildcards.setup}/{wildcards.client}/{params.seed_name} --seed {wildcards.seed}"
        " --picture {output.picture} --out {output.found} --code {params.code} --log {log}"


rule factory_look:
    """Learn, at a client outside the federation, how the frozen factory renders its images."""
    input:
        factory=factory_file("model"),
        data=client_file("data"),
        key=client_file("factory_key.json"),
    output:
        directory(cell_file("look")),
    log:
        LAYOUT.log("factory_look", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=WITH_BRANCH,
    priority: 5
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(OURS.memory_mb),
        runtime=growing(240),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("factory_look"),
        device=CONFIG.device,
        seed_name=OURS.seed_name,
        parameters=OURS.look_json,
    shell:
        "python $SCRIPTS/factory_look.py --factory {input.factory} --data {input.data}"
        " --key {input.key} --parameters {params.parameters:q} --device {params.device}"
        " --cell {wildcards.setup}/{wildcards.client}/{params.seed_name}"
        " --seed {wildcards.seed} --out {output} --code {params.code} --log {log}"


rule adapt:
    """Adapt one target, at that target: from what the source shares and the target's own data."""
    input:
        factory=factory_file("model"),
        branch=lambda wildcards: OURS.shared(wildcards, "branch"),
        synthetic=lambda wildcards: OURS.shared(wildcards, "synthetic"),
        data=client_file("data"),
        look=OURS.look,
        # Empty unless the method is declared centralised.
        centralised=OURS.centralised,
    output:
        directory(cell_file("model")),
    log:
        LAYOUT.log("adapt", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=ADAPTED,
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(OURS.memory_mb),
        runtime=growing(2880),
        gpu=GPU_PER_TRAINING,
    params:
        code=code_digest("adapt"),
        device=CONFIG.device,
        seed_name=OURS.seed_name,
        parameters=OURS.target_json,
        labels=METHODS.labels_json,
    shell:
        "python $SCRIPTS/adapt.py --factory {input.factory} --branch {input.branch} --synthetic {input.synthetic}"
        " --data {input.data} --labels {params.labels:q} --client {wildcards.client} --look {input.look}"
        " --centralised {input.centralised} --parameters {params.parameters:q} --device {params.device}"
        " --code {params.code}"
        " --cell {wildcards.setup}/{wildcards.client}/{params.seed_name}"
        " --seed {wildcards.seed} --out {output} --log {log}"


use rule predict as adapt_predict with:
    # And draw what the adaptation does to a few of the target's slices.
    output:
        predictions=directory(cell_file("predictions")),
        also=[
            released(
                cell_file("adaptation.png"),
                caption="../../report/adaptation.rst",
                category="Adaptation",
                subcategory="{setup}",
                labels={"picture": "Slices, {client}, {method}"},
            ),
            report(
                cell_file("curves.png"),
                caption="../../report/adaptation_curves.rst",
                category="Adaptation",
                subcategory="{setup}",
                labels={"picture": "Curves, {client}, {method}"},
            ),
            cell_file("agreement.csv"),
        ],
    log:
        LAYOUT.log("adapt_predict", "{setup}", "{client}", "{method}", "{seed}"),
    wildcard_constraints:
        method=any_of(METHODS.predicted(OURS.parameters)),
