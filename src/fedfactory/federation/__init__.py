"""Federated training: who trains when, what crosses a site's border, and how the answers become one model."""
