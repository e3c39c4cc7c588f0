"""Golden digests of the run of config/test.yaml: what every processor must compute, to the last bit.

The run trains every kind of network of the project for a few steps: factory (R1 and refinement included), source
branch, adaptation, rendering, nnU-Net and its fine-tuning, FedDG, FedMed-GAN, SAM, UniverSeg; the image encoder's keys
and LPIPS are part of it. ``tests/golden.csv`` holds a digest of every file of arrays that its jobs leave, in the
order of the jobs, and the first digits of the digest of each array in it.

    python -m benchmarks.golden results/test            # compare; exits with 1 and names the first array that differs
    python -m benchmarks.golden results/test --write    # after a change that must change numbers
"""

import argparse
import csv
import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.replay import FinishedJob, finished_jobs
from fedfactory.provenance.record import file_digest, machine

FILE = Path(__file__).parents[1] / "tests" / "golden.csv"
_COLUMNS = ("script", "file", "sha256", "arrays")
_DIGITS, _FEW = 16, 4
# Pictures, tables and texts follow from these.
_KINDS = (".pt", ".pth", ".npy", "factory_key.json", "scores.csv")


def golden(run: Path) -> list[dict[str, str]]:
    """Rows of the digests of a run, ``results/<run>``, in the order in which its jobs come to be possible."""
    jobs = sorted(finished_jobs(run), key=lambda job: (job.behind, job.name))
    return [_row(job.script, name, run) for job in jobs for name in _files(job)]


def first_difference(run: Path, wanted: list[dict[str, str]]) -> str | None:
    """A sentence on the first array of a run that is not golden; None if all are."""
    found = {row["file"]: row for row in golden(run)}
    wrong = [row for row in wanted if found.get(row["file"], {}).get("sha256") != row["sha256"]]
    more = sorted(found.keys() - {row["file"] for row in wanted})
    if not wrong and not more:
        return None
    capabilities = {job.capability for job in finished_jobs(run) if job.capability}
    where = f"on {machine()['processor']} (torch: {', '.join(sorted(capabilities))})"
    if not wrong:
        return f"{where} the run has files that are not golden: {', '.join(more)}"
    first = wrong[0]
    array = _first_array(first, found.get(first["file"]), run)
    return (
        f"{where} {len(wrong)} of {len(wanted)} files differ; the first is {first['file']}{array}, made by "
        f"{first['script']}"
    )


def _first_array(wanted: Mapping[str, str], found: Mapping[str, str] | None, run: Path) -> str:
    """Where a file differs first, in words."""
    if found is None:
        return ", which is missing"
    names = [name for name, _ in _arrays(run.parents[1] / wanted["file"])]
    pairs = zip(names, wanted["arrays"].split(), found["arrays"].split(), strict=False)
    return next((f", array {name}" for name, one, other in pairs if one != other), "")


def _row(script: str, name: str, run: Path) -> dict[str, str]:
    arrays = dict(_arrays(run.parents[1] / name))
    joint = hashlib.sha256("".join(f"{array} {digest}\n" for array, digest in arrays.items()).encode())
    few = " ".join(digest[:_FEW] for digest in arrays.values()) if len(arrays) > 1 else ""
    return {"script": script, "file": name, "sha256": joint.hexdigest()[:_DIGITS], "arrays": few}


def read() -> list[dict[str, str]]:
    """The committed digests."""
    with FILE.open(newline="") as file:
        return list(csv.DictReader(file))


def write(rows: list[dict[str, str]]) -> None:
    """Commit other digests."""
    with FILE.open("w", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _files(job: FinishedJob) -> Iterator[str]:
    for made, files in sorted(job.outputs.items()):
        for part in sorted(files):
            name = made if part == "." else f"{made}/{part}"
            if name.endswith(_KINDS):
                yield name


def _arrays(file: Path) -> Iterator[tuple[str, str]]:
    """Name and digest of every array of a file; the file itself where it is none of arrays."""
    if file.suffix in (".pt", ".pth"):
        yield from _digests(torch.load(file, map_location="cpu", weights_only=True), "")
    else:
        yield "", file_digest(file)[:_DIGITS]


def _digests(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _digests(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _digests(item, f"{name}[{number}]")
    else:
        array = value.detach().contiguous().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        content = f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes()
        yield name, hashlib.sha256(content).hexdigest()[:_DIGITS]


def main() -> None:
    """Compare a run with the golden digests, or write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="results/test of a finished run")
    parser.add_argument("--write", action="store_true", help="write tests/golden.csv anew")
    arguments = parser.parse_args()
    if arguments.write:
        write(golden(arguments.run))
    elif difference := first_difference(arguments.run, read()):
        sys.exit(difference)
    print(f"{FILE}: {len(read())} files are the same")


if __name__ == "__main__":
    main()
