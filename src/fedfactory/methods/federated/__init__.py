"""What the rows of federated baselines share."""
