"""What pictures are called on the page and in Snakemake's report: alternative texts and captions."""

CHARTS = {
    "box_plots": {
        "alt": "Box plots of Dice by method, a panel for each target",
        "caption": "Dice of every test subject (mean over seeds); a dot is a subject, a box the middle half.",
    },
    "heat_map": {"alt": "Mean Dice, methods by targets", "caption": "Mean Dice in percent, methods by targets."},
    "ranks": {
        "alt": "Mean rank of each method, a diagram for each setup",
        "caption": "Mean ranks within subjects; a bar joins neighbours of which no two differ (paired Wilcoxon "
        "tests, corrected by Holm).",
    },
    "cost": {
        "alt": "Mean Dice of each method against the time of its jobs",
        "caption": "What a point of Dice costs: time of all jobs behind a cell, those that it shares included.",
    },
    "exchange": {
        "alt": "Megabytes that each method sends across borders of sites",
        "caption": "What crosses borders of sites for one cell, by the ledgers of the sites.",
    },
    "curves": {
        "alt": "Validation Dice over the training, a panel for each target",
        "caption": "Validation Dice over the training, of methods that are validated while they train.",
    },
}
"""Charts of a table with their alternative text and caption."""
FIGURES = {
    "gallery.png": {
        "alt": "Training slices of every site with their labels",
        "caption": "Training slices of every site with their labels.",
    },
    "figure2.png": {
        "alt": "Truth and prediction of every method on one target of each setup",
        "caption": "The first test case of one target per setup (Figure 2 of the paper).",
    },
    "failures.png": {
        "alt": "The worst test subject of every cell, with truth and prediction",
        "caption": "The worst test subject of each cell with its Dice in percent, in the slice with most truth.",
    },
}
FACTORY = {
    "samples": (
        "samples of the data factory",
        "Real slices, then one z over the training, several z, and one z over slice positions; a row is a site.",
    ),
    "morphing": ("one latent on its way from site to site", "One z on its way from one site's look to another's."),
}
