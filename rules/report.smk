# What people look at: slices, charts, and the page of the results.


rule slices:
    """A target's test cases with every method's contours, and the worst subject of each; where it releases slices."""
    input:
        data=client_file("data"),
        truth=client_file("truth"),
        predictions=partial(inputs.files_of_target, CONFIG, "predictions"),
        scores=partial(inputs.files_of_target, CONFIG, "scores.csv"),
    output:
        slices=client_file("slices.json"),
        worst=client_file("worst.npz"),
    log:
        LAYOUT.log("slices", "{setup}", "{client}"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=60,
    params:
        code=code_digest("slices"),
        parameters=parameters_from(specification.slices),
    shell:
        "python $SCRIPTS/slices.py --data {input.data} --truth {input.truth} --predictions {input.predictions}"
        " --scores {input.scores} --parameters {params.parameters:q} --out {output.slices} --worst {output.worst}"
        " --code {params.code} --log {log}"


rule failures:
    """The worst test subject of each cell: one row per target, one column per method."""
    input:
        panels=inputs.target_files(CONFIG, "worst.npz"),
    output:
        report(
            run_file("failures.png"),
            caption="../report/failures.rst",
            category="Results",
            labels={"picture": "Worst subject of each cell"},
        ),
    log:
        LAYOUT.log("failures"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("failures"),
        parameters=as_json(specification.failures(CONFIG)),
    shell:
        "python $SCRIPTS/failures.py --panels {input.panels} --parameters {params.parameters:q} --out {output}"
        " --code {params.code} --log {log}"


rule charts:
    """Subjects by cell, methods by targets, ranks, costs, exchanged bytes, training curves."""
    input:
        scores=inputs.cell_files(CONFIG, "scores.csv"),
        stories=inputs.shown_files(CONFIG, "cell.json"),
        # Where validation volumes choose a state; empty if they never do.
        choices=inputs.shown_files(CONFIG, "choice.csv", METHODS.chosen),
    output:
        **{
            name: report(
                file,
                caption="../report/charts.rst",
                category="Charts",
                labels={"picture": CHARTS[name]["alt"]},
            )
            for name, file in inputs.chart_files(CONFIG).items()
        },
    log:
        LAYOUT.log("charts"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("charts"),
        parameters=as_json(specification.charts(CONFIG, METHODS.chosen)),
    shell:
        "python $SCRIPTS/charts.py --scores {input.scores} --stories {input.stories} --choices {input.choices}"
        " --parameters {params.parameters:q} --box-plots {output.box_plots} --heat-map {output.heat_map}"
        " --ranks {output.ranks} --cost {output.cost} --exchange {output.exchange} --curves {output.curves}"
        " --code {params.code} --log {log}"


rule page:
    """The page of the results: one file that opens without a network, beside the pictures and slices that it shows."""
    input:
        scores=inputs.cell_files(CONFIG, "scores.csv"),
        stories=inputs.cell_files(CONFIG, "cell.json"),
        analysis=run_file(f"{CONFIG.table}_analysis"),
        strict=inputs.cell_files(CONFIG, "scores.csv", STRICT),
        # Not read, but shown: they lie beside the page.
        pictures=inputs.page_pictures(CONFIG),
        slices=inputs.page_slices(CONFIG),
    output:
        page=run_file("index.html"),
        # Scripts that hold what the sites sent as data.
        slices=inputs.page_scripts(CONFIG),
    log:
        LAYOUT.log("page"),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_digest("page"),
        read=content_digest(
            PAPER, *(f"src/fedfactory/evaluation/page/page.{kind}" for kind in ("html.j2", "css", "js"))
        ),
        paper=PAPER,
        parameters=as_json(specification.page(CONFIG, STRICT, cards(CONFIG, METHODS))),
    shell:
        "python $SCRIPTS/page.py --scores {input.scores} --stories {input.stories} --pictures {input.pictures}"
        " --strict {input.strict} --parameters {params.parameters:q} --analysis {input.analysis}"
        " --paper $SCRIPTS/../{params.paper} --slices {input.slices} --scripts {output.slices}"
        " --out {output.page} --code {params.code} --log {log}"
