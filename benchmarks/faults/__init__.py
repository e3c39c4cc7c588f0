"""What happens when things go wrong: `python -m benchmarks.faults --out docs`, which writes docs/reliability.md's table."""
