"""Which clients train in a round."""

import numpy as np


def sample_clients(seed: int, round_number: int, clients: int, number: int) -> list[int]:
    """Draw the clients of a round, uniformly and without replacement.

    Args:
        seed: of the training.
        round_number: counted from 0.
        clients: number of federated clients K.
        number: how many take part.

    Returns:
        Indices in [0, clients), ascending: the same for both engines, and for a round that is run again.
    """
    stream = np.random.default_rng(np.random.SeedSequence([seed, round_number]))
    return sorted(int(k) for k in stream.choice(clients, size=number, replace=False))
