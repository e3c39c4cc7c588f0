"""Seeds that belong to a cell of the table, never to a process."""

import hashlib


def derive_seed(*parts: str | int) -> int:
    """Derive a seed from what identifies a piece of work.

    Args:
        parts: for instance ``("train", setup, client, method, seed)``. Their order matters.

    Returns:
        An integer in [0, 2**31), the same on every machine, for every number of cores and in any order of jobs.
        It fits ``random.seed``, ``numpy.random.default_rng`` and ``torch.manual_seed``.
    """
    # "/" cannot occur in a name of the configuration, so ("a", "b") and ("a/b",) cannot meet.
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
