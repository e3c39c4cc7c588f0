"""What happens when things go wrong: `python -m benchmarks.faults --out docs/benchmarks`, shown in docs/reliability.md."""
