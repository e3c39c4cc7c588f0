# From predictions to scores, Table 1 and Figure 2 (paper, section 4.3).
# Rows of the table of the strict protocol, by their names in paths.
STRICT = METHODS.strict()


rule score:
    """Metrics of one cell per case and class, in the space of the raw image, and the story of the cell."""
    input:
        data=client_file("data"),
        truth=client_file("truth"),
        predictions=partial(predictions, CONFIG),
    output:
        scores=cell_file("scores.csv"),
        panel=cell_file("panel.npz"),
        story=cell_file("cell.json"),
    log:
        LAYOUT.log("score", "{setup}", "{client}", "{method}", "{seed}"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=60,
    params:
        # The story of a cell, one of its results, is made of records.
        code=code_digest("score", "fedfactory.provenance.record", "fedfactory.provenance.story"),
        parameters=parameters_from(specification.score),
        labels=METHODS.labels_of,
    shell:
        "python $SCRIPTS/score.py --data {input.data} --truth {input.truth} --predictions {input.predictions}"
        " --parameters {params.parameters:q} --labels {params.labels:q} --out {output.scores} --panel {output.panel}"
        " --story {output.story} --code {params.code} --log {log}"


rule table1:
    """Table 1: mean and standard deviation over test subjects, methods by targets."""
    input:
        scores=inputs.cell_files(CONFIG, "scores.csv"),
        stories=inputs.cell_files(CONFIG, "cell.json"),
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
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("table"),
        parameters=as_json(specification.table1(CONFIG)),
    shell:
        "python $SCRIPTS/table.py --scores {input.scores} --stories {input.stories} --parameters {params.parameters:q}"
        " --out {output.csv} --md {output.md} --tex {output.tex} --html {output.html} --code {params.code} --log {log}"


use rule table1 as strict with:
    # The same where no labelled validation volume of the target has a part in anything.
    input:
        scores=inputs.cell_files(CONFIG, "scores.csv", STRICT),
        stories=inputs.cell_files(CONFIG, "cell.json", STRICT),
    output:
        csv=run_file(f"{CONFIG.table}_strict.csv"),
        md=run_file(f"{CONFIG.table}_strict.md"),
        tex=run_file(f"{CONFIG.table}_strict.tex"),
        html=report(
            run_file(f"{CONFIG.table}_strict.html"),
            caption="../report/strict.rst",
            category="Results",
            labels={"picture": "Table 1, strict protocol"},
        ),
    log:
        LAYOUT.log("strict"),
    params:
        code=code_digest("table"),
        parameters=as_json(specification.strict(CONFIG, STRICT)),


rule analysis:
    """What the table's figures are worth: intervals, paired tests, ranks, fairness over sites, and conclusions."""
    input:
        scores=inputs.cell_files(CONFIG, "scores.csv"),
    output:
        directory(run_file(f"{CONFIG.table}_analysis")),
    log:
        LAYOUT.log("analysis"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=code_digest("analysis"),
        read=content_digest(PAPER, PAPER_SUBJECTS),
        paper=PAPER,
        subjects=PAPER_SUBJECTS,
        parameters=as_json(specification.table1(CONFIG)),
    shell:
        "python $SCRIPTS/analysis.py --scores {input.scores} --parameters {params.parameters:q}"
        " --paper $SCRIPTS/../{params.paper}"
        " --paper-subjects $SCRIPTS/../{params.subjects} --out {output} --code {params.code} --log {log}"


use rule analysis as strict_analysis with:
    input:
        scores=inputs.cell_files(CONFIG, "scores.csv", STRICT),
    output:
        directory(run_file(f"{CONFIG.table}_strict_analysis")),
    log:
        LAYOUT.log("strict_analysis"),
    params:
        code=code_digest("analysis"),
        read=content_digest(PAPER, PAPER_SUBJECTS),
        paper=PAPER,
        subjects=PAPER_SUBJECTS,
        parameters=as_json(specification.strict(CONFIG, STRICT)),


use rule table1 as gap with:
    # The gap between sites: a model of the source alone, tested on the source and on every target.
    input:
        scores=inputs.gap_files(CONFIG, "scores.csv"),
        stories=inputs.gap_files(CONFIG, "cell.json"),
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
    params:
        code=code_digest("table"),
        parameters=as_json(specification.gap(CONFIG)),


rule figure2:
    """Figure 2: one row per setup, one column per method, contours of truth and prediction."""
    input:
        panels=inputs.figure2_panels(CONFIG),
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
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("figure2"),
        parameters=as_json(specification.figure2(CONFIG)),
    shell:
        "python $SCRIPTS/figure2.py --panels {input.panels} --parameters {params.parameters:q}"
        " --out {output.png} --pdf {output.pdf} --code {params.code} --log {log}"


use rule figure2 as cells with:
    # Figure 2 for all targets: how each cell fails, or does not.
    input:
        panels=inputs.cells_panels(CONFIG),
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
    params:
        code=code_digest("figure2"),
        parameters=as_json(specification.cells(CONFIG)),


rule unknown_cell:
    """Answer a misspelt cell with the list of known ones; never runs."""
    input:
        lambda wildcards: refuse_unknown_cell(CONFIG, wildcards.cell),
    output:
        "results/{cell}/scores.csv",
    log:
        "results/{cell}/unknown.log",
    wildcard_constraints:
        cell=f"(?!(?:{known_cells(CONFIG)})/scores).+",
    conda:
        ENVIRONMENT
    shell:
        "false > {log}"
