"""Sphinx, for `make docs`: the pages of this folder as a site."""

project = "FedFactory"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "FedFactory"
myst_heading_anchors = 3
# Tables of benchmarks/ are linked from their README.
suppress_warnings = ["toc.not_included"]
