"""Names under which the rules of methods find :mod:`fedfactory.orchestration.wildcards`."""

from fedfactory.orchestration.wildcards import any_of, method_parameters, refuse_unknown_cell

__all__ = ["any_of", "method_parameters", "refuse_unknown_cell"]
