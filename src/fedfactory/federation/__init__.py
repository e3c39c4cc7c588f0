"""Federated training: who trains when, what crosses a client's border, and how the answers become one model."""
