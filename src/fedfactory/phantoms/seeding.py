"""Random streams that depend on what is drawn for, and on nothing else."""

import hashlib

import numpy as np


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """Return the random stream of one purpose.

    The key is hashed with SHA-256 (Python's ``hash`` differs between processes) and seeds a PCG64 stream through
    ``numpy.random.SeedSequence``. A subject's key holds the setup, the client and the subject's index, but not the
    number of subjects: subject 3 of a site of 4 is subject 3 of a site of 400.

    Args:
        seed: the user's seed.
        *key: what the stream is for, e.g. ``"ms", "ge", 3, "anatomy"``.

    Returns:
        An independent generator; the same arguments give the same stream on every machine.
    """
    text = "\x1f".join([str(int(seed)), *map(str, key)])
    digest = hashlib.sha256(text.encode()).digest()
    entropy = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]
    return np.random.default_rng(np.random.SeedSequence(entropy))
