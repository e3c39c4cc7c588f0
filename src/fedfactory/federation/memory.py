"""How much memory a federation on one machine needs, for the rules."""


def federated_memory(clients: int, size: int) -> int:
    """Memory in MB: every client holds its images, and a network's feature maps, in a process of its own.

    Measured at 64 pixels: less than 1 GB for three clients and the aggregator. The rest is an estimate: some thousand
    slices of ``size`` pixels in float32, three times, and the maps of a batch.
    """
    return 1000 + clients * round(1000 + 10000 * (size / 512) ** 2)
