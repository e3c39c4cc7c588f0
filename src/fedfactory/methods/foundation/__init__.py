"""Foundation models: weights from a checked file or, without a download, pre-trained on procedural tasks."""
