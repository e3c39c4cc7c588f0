"""The page of the results: one file that opens from a disk, without a network."""
