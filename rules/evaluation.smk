# From predictions to scores, Table 1 and Figure 2 (paper, section 4.3).

FIGURE2, CELLS = jobs.figure2_spec(CONFIG), jobs.cells_spec(CONFIG)


rule score:
    """Metrics of one cell per case and class, in the space of the raw image, and the story of the cell."""
    input:
        data=client_file("data"),
        truth=client_file("truth"),
        predictions=lambda wildcards: jobs.predictions(CONFIG, **wildcards),
    output:
        scores=cell_file("scores.csv"),
        panel=cell_file("panel.npz"),
        story=cell_file("cell.json"),
    log:
        LAYOUT.log("score", "{setup}", "{client}", "{method}", "{seed}"),
    benchmark:
        LAYOUT.benchmark("score", "{setup}", "{client}", "{method}", "{seed}")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=60,
    params:
        code=code_digest("score"),
        orientation=lambda wildcards: CONFIG.setups[wildcards.setup].orientation,
        ruler=lambda wildcards: jobs.ruler_options(CONFIG, wildcards.setup, wildcards.client),
    shell:
        "python $SCRIPTS/score.py --setup {wildcards.setup} --target {wildcards.client} --method {wildcards.method}"
        " --seed {wildcards.seed} --orientation {params.orientation} {params.ruler} --data {input.data}"
        " --truth {input.truth} --predictions {input.predictions} --out {output.scores} --panel {output.panel}"
        " --story {output.story} --log {log}"


rule table1:
    """Table 1: mean and standard deviation over test subjects, methods by targets."""
    input:
        jobs.cell_files(CONFIG, "scores.csv"),
    output:
        csv=run_file(f"{CONFIG.table}.csv"),
        md=run_file(f"{CONFIG.table}.md"),
        tex=run_file(f"{CONFIG.table}.tex"),
        html=report(
            run_file(f"{CONFIG.table}.html"),
            caption="../report/table1.rst",
            category="Results",
            labels={"picture": "Table 1"},
        ),
    log:
        LAYOUT.log("table1"),
    benchmark:
        LAYOUT.benchmark("table1")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("table"),
        spec=jobs.table1_spec(CONFIG),
    shell:
        "python $SCRIPTS/table.py --spec {params.spec:q} --out {output.csv} --log {log}"


rule analysis:
    """What the table's figures are worth: intervals, paired tests, ranks, fairness over sites, and conclusions."""
    input:
        jobs.cell_files(CONFIG, "scores.csv"),
    output:
        directory(run_file(f"{CONFIG.table}_analysis")),
    log:
        LAYOUT.log("analysis"),
    benchmark:
        LAYOUT.benchmark("analysis")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=code_digest("analysis"),
        read=content_digest(PAPER),
        paper=PAPER,
        spec=jobs.table1_spec(CONFIG),
    shell:
        "python $SCRIPTS/analysis.py --spec {params.spec:q} --paper $SCRIPTS/../{params.paper} --out {output} --log {log}"


rule gap:
    """The gap between sites: a model of the source alone, tested on the source and on every target."""
    input:
        jobs.gap_files(CONFIG),
    output:
        csv=run_file("gap.csv"),
        md=run_file("gap.md"),
        tex=run_file("gap.tex"),
        html=report(
            run_file("gap.html"),
            caption="../report/gap.rst",
            category="Data",
            labels={"picture": "Gap between sites"},
        ),
    log:
        LAYOUT.log("gap"),
    benchmark:
        LAYOUT.benchmark("gap")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("table"),
        spec=jobs.gap_spec(CONFIG),
    shell:
        "python $SCRIPTS/table.py --spec {params.spec:q} --out {output.csv} --log {log}"


rule figure2:
    """Figure 2: one row per setup, one column per method, contours of truth and prediction."""
    input:
        [panel for row in FIGURE2["rows"] for panel in row["panels"]],
    output:
        png=report(
            run_file("figure2.png"),
            caption="../report/figure2.rst",
            category="Results",
            labels={"picture": "Figure 2"},
        ),
        pdf=run_file("figure2.pdf"),
    log:
        LAYOUT.log("figure2"),
    benchmark:
        LAYOUT.benchmark("figure2")
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("figure2"),
        spec=jobs.to_json(FIGURE2),
    shell:
        "python $SCRIPTS/figure2.py --spec {params.spec:q} --out {output.png} --log {log}"


use rule figure2 as cells with:
    # Figure 2 for all targets: how each cell fails, or does not.
    input:
        [panel for row in CELLS["rows"] for panel in row["panels"]],
    output:
        png=report(
            run_file("cells.png"),
            caption="../report/cells.rst",
            category="Results",
            labels={"picture": "Every cell"},
        ),
        pdf=run_file("cells.pdf"),
    log:
        LAYOUT.log("cells"),
    benchmark:
        LAYOUT.benchmark("cells")
    params:
        code=code_digest("figure2"),
        spec=jobs.to_json(CELLS),


rule unknown_cell:
    """Answer a misspelt cell with the list of known ones; never runs."""
    input:
        lambda wildcards: jobs.refuse_unknown_cell(CONFIG, wildcards.cell),
    output:
        "results/{cell}/scores.csv",
    log:
        "results/{cell}/unknown.log",
    wildcard_constraints:
        cell=f"(?!(?:{jobs.known_cells(CONFIG)})/scores).+",
    conda:
        ENVIRONMENT
    shell:
        "false > {log}"
