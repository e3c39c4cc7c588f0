"""What happens when things go wrong: `python -m benchmarks.faults --out docs/benchmarks`; docs/reliability.md shows it."""
