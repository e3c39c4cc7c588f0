# Preparation of each client's data, at the client, from its own raw files only.


rule prepare_client:
    """Crop, resample, normalise and slice one client's volumes; split them and choose M_t."""
    input:
        lambda wildcards: jobs.phantom_raw(CONFIG, **wildcards),
    output:
        data=directory(client_file("data")),
        truth=directory(client_file("truth")),
        preview=client_file("preview.npz"),
    log:
        LAYOUT.log("prepare_client", "{setup}", "{client}"),
    benchmark:
        LAYOUT.benchmark("prepare_client", "{setup}", "{client}")
    # Factories and source models wait for it, and take longest.
    priority: 30
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        code=lambda wildcards: code_digest("prepare_client", f"fedfactory.data.adapters.{CONFIG.adapter(**wildcards)}"),
        adapter=lambda wildcards: CONFIG.adapter(**wildcards),
        options=lambda wildcards: jobs.adapter_options(CONFIG, **wildcards),
        task=lambda wildcards: jobs.client_task(CONFIG, **wildcards),
        # A real release is named, not made: Snakemake need not find it to plan a run.
        raw=lambda wildcards: CONFIG.raw_folder(**wildcards).as_posix(),
    shell:
        "python $SCRIPTS/prepare_client.py --adapter {params.adapter:q} --options {params.options:q}"
        " --task {params.task:q} --raw {params.raw:q} --out {output.data} --truth {output.truth}"
        " --preview {output.preview} --log {log}"


GALLERY = jobs.gallery_spec(CONFIG)


rule gallery:
    """Picture of all sites: a few training slices of each client with their labels."""
    input:
        [client["preview"] for row in GALLERY for client in row["clients"]],
    output:
        report(
            run_file("gallery.png"),
            caption="../report/gallery.rst",
            category="Data",
            labels={"picture": "Gallery of sites"},
        ),
    log:
        LAYOUT.log("gallery"),
    benchmark:
        LAYOUT.benchmark("gallery")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_digest("gallery"),
        spec=jobs.to_json(GALLERY),
    shell:
        "python $SCRIPTS/gallery.py --spec {params.spec:q} --out {output} --log {log}"
