"""Measurements, and what they share; each script is called by its path, the faults as a module."""
