"""FedFactory: a benchmark of federated segmentation with uneven label distribution.

The package holds the science; the Snakemake workflow beside it holds the order of the steps.
"""

from fedfactory.orchestration import sources

__version__ = "0.2.0"

sources.install()
