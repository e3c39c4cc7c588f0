"""What happens when things go wrong: `python -m benchmarks.faults`; docs/reliability.md shows it."""
