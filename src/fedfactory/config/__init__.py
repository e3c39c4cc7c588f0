"""The configuration: models that check it, merging, and paths."""
