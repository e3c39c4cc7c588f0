"""What a run will take before it starts: jobs, hours, memory and disk, from a dry run and from what was measured."""
