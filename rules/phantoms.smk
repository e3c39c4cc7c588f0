# The embedded data: procedural sites, written as the real files of their releases (docs/phantoms.md).


rule phantom_site:
    """Write one phantom site in the raw layout of its release."""
    output:
        directory(client_file("raw")),
    log:
        LAYOUT.log("phantom_site", "{setup}", "{client}"),
    priority: 30
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_digest("phantom_site"),
        parameters=parameters_from(client_tasks.phantom_site),
    shell:
        "python $SCRIPTS/phantom_site.py --parameters {params.parameters:q} --out {output}"
        " --code {params.code} --log {log}"
