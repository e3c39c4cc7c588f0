"""UniverSeg's split cross convolution beside the concatenated one.

`python -m benchmarks.universeg --out docs/benchmarks`. The published model's size at 128 pixels, one target with
support sets of several sizes, random weights, the same for both. They take turns; the least of the repetitions counts,
since whatever else the machine does only ever adds.
"""

import argparse
import time
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from benchmarks.tables import write_beside_other_processors
from fedfactory.methods.universeg.network import IMAGE_SIZE, CrossBlock, UniverSeg

TOLERANCE = 1e-3


def concatenated(
    block: CrossBlock, target: Tensor, support: Tensor, support_is_read: bool
) -> tuple[Tensor, Tensor | None]:
    """A block as it is usually written: target and support example side by side in the channels, S times."""
    both = torch.cat(
        [target[:, None].expand(-1, support.shape[1], -1, -1, -1), support.expand(len(target), *[-1] * 4)], 2
    )
    crossed = block.cross.cross_conv(both.flatten(0, 1)).unflatten(0, both.shape[:2])
    found = block.support(crossed.flatten(0, 1)).unflatten(0, crossed.shape[:2])
    return block.target(crossed.mean(1)), found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--support", type=int, nargs="+", default=[3, 16, 64])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    network, rows = UniverSeg().eval(), []
    for count in arguments.support:
        images = torch.rand(count + 1, 1, IMAGE_SIZE, IMAGE_SIZE)
        inputs = images[:1], images[1:], (images[1:] > 0.5).float()
        seconds: dict[str, list[float]] = {"split": [], "concatenated": []}
        for _ in range(arguments.repetitions):
            results = {}
            for name, forward in (("split", CrossBlock.forward), ("concatenated", concatenated)):
                with torch.no_grad(), mock.patch.object(CrossBlock, "forward", forward):
                    start = time.perf_counter()
                    results[name] = network(*inputs)
                    seconds[name].append(time.perf_counter() - start)
        difference = (results["split"] - results["concatenated"]).abs().max().item()
        scale = results["concatenated"].abs().max().item()
        if difference > TOLERANCE * scale:
            raise SystemExit(f"S = {count}: outputs differ by {difference:.1e} of {scale:.1e}")
        split, other = (min(values) for values in seconds.values())
        rows.append({"support": count, "concatenated s": other, "split s": split, "ratio": other / split})
        rows[-1]["relative difference"] = difference / scale
    write_beside_other_processors(rows, arguments.out, "universeg_speed")


if __name__ == "__main__":
    main()
