"""Files that are whole or absent: tensors, checkpoints, tables, published weights."""
