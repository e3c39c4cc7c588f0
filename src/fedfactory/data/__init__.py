"""From the raw files of a site to the slices that every method sees, and back."""
