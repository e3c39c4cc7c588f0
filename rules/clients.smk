# Preparation of each client's data, at the client, from its own raw files only.


rule prepare_client:
    """Crop, resample, normalise and slice one client's volumes; split them and choose M_t."""
    input:
        raw=partial(client_tasks.made_raw, CONFIG),
    output:
        data=directory(client_file("data")),
        truth=directory(client_file("truth")),
        preview=client_file("preview.npz"),
    log:
        LAYOUT.log("prepare_client", "{setup}", "{client}"),
    # Factories and source models wait for it, and take longest.
    priority: 30
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        code=lambda wildcards: code_digest("prepare_client", f"fedfactory.data.adapters.{CONFIG.adapter(**wildcards)}"),
        parameters=parameters_from(client_tasks.preparation),
        release=partial(client_tasks.release, CONFIG),
    shell:
        "python $SCRIPTS/prepare_client.py --raw {input.raw} --release {params.release:q}"
        " --parameters {params.parameters:q} --out {output.data}"
        " --truth {output.truth} --preview {output.preview} --code {params.code} --log {log}"


rule gallery:
    """Picture of all sites: a few training slices of each client with their labels."""
    input:
        previews=inputs.previews(CONFIG),
    output:
        report(
            run_file("gallery.png"),
            caption="../report/gallery.rst",
            category="Data",
            labels={"picture": "Gallery of sites"},
        ),
    log:
        LAYOUT.log("gallery"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_digest("gallery"),
        parameters=as_json(specification.gallery(CONFIG)),
    shell:
        "python $SCRIPTS/gallery.py --previews {input.previews} --parameters {params.parameters:q} --out {output}"
        " --code {params.code} --log {log}"
