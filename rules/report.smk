# What people look at: slices, charts, and the page of the results.

FAILURES, PAGE = jobs.failures_spec(CONFIG), jobs.page_spec(CONFIG)


rule slices:
    """A target's test cases with the contours of every method, and the worst subject of each; where it releases slices."""
    input:
        data=client_file("data"),
        truth=client_file("truth"),
        predictions=lambda wildcards: [
            f"{cell}/predictions" for cell in jobs.cells_of_target(CONFIG, **wildcards).values()
        ],
        scores=lambda wildcards: [f"{cell}/scores.csv" for cell in jobs.cells_of_target(CONFIG, **wildcards).values()],
    output:
        slices=client_file("slices.js"),
        worst=client_file("worst.npz"),
    log:
        LAYOUT.log("slices", "{setup}", "{client}"),
    benchmark:
        LAYOUT.benchmark("slices", "{setup}", "{client}")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=60,
    params:
        code=code_digest("slices"),
        orientation=lambda wildcards: CONFIG.setups[wildcards.setup].orientation,
        methods=lambda wildcards: jobs.to_json(jobs.cells_of_target(CONFIG, **wildcards)),
    shell:
        "python $SCRIPTS/slices.py --target {wildcards.setup}/{wildcards.client} --orientation {params.orientation}"
        " --data {input.data} --truth {input.truth} --methods {params.methods:q} --out {output.slices}"
        " --worst {output.worst} --log {log}"


rule failures:
    """The worst test subject of each cell: one row per target, one column per method."""
    input:
        [row["panels"] for row in FAILURES["rows"]],
    output:
        report(
            run_file("failures.png"),
            caption="../report/failures.rst",
            category="Results",
            labels={"picture": "Worst subject of each cell"},
        ),
    log:
        LAYOUT.log("failures"),
    benchmark:
        LAYOUT.benchmark("failures")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("failures"),
        spec=jobs.to_json(FAILURES),
    shell:
        "python $SCRIPTS/failures.py --spec {params.spec:q} --out {output} --log {log}"


rule charts:
    """Subjects by cell, methods by targets, ranks, costs, exchanged bytes, training curves."""
    input:
        jobs.cell_files(CONFIG, "scores.csv"),
        jobs.cell_files(CONFIG, "cell.json"),
    output:
        [
            report(
                run_file(f"charts/{name}.png"),
                caption="../report/charts.rst",
                category="Charts",
                labels={"picture": texts["alt"]},
            )
            for name, texts in jobs.CHARTS.items()
        ],
    log:
        LAYOUT.log("charts"),
    benchmark:
        LAYOUT.benchmark("charts")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("charts"),
        spec=jobs.table1_spec(CONFIG),
        out=lambda wildcards, output: str(Path(output[0]).parent),
    shell:
        "python $SCRIPTS/charts.py --spec {params.spec:q} --out {params.out} --log {log}"


rule page:
    """The page of the results: one file that opens without a network, beside the pictures and slices that it shows."""
    input:
        cells=jobs.cell_files(CONFIG, "scores.csv") + jobs.cell_files(CONFIG, "cell.json"),
        analysis=run_file(f"{CONFIG.table}_analysis"),
        shown=jobs.page_files(CONFIG),
    output:
        run_file("index.html"),
    log:
        LAYOUT.log("page"),
    benchmark:
        LAYOUT.benchmark("page")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("page"),
        read=content_digest(PAPER, *(f"src/fedfactory/evaluation/page/page.{kind}" for kind in ("html.j2", "css", "js"))),
        paper=PAPER,
        spec=jobs.to_json(PAGE),
    shell:
        "python $SCRIPTS/page.py --spec {params.spec:q} --analysis {input.analysis} --paper $SCRIPTS/../{params.paper}"
        " --out {output} --log {log}"
