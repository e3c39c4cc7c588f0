"""The published run: three training seeds on each of three sets of phantoms, made by parts, and merged.

    echo 'seeds: [0]' > seed0.yaml
    snakemake --cores 2 --configfile config/published/phantoms10.yaml seed0.yaml
    python -m benchmarks.published keep results/phantoms10 --out docs/benchmarks/published
    python -m benchmarks.published merge docs/benchmarks/published --out results/published

A part is kept as what `fedfactory merge` needs of it: scores, tables, stories and their records. Parts must be of the
same code and parameters, or they are refused.
"""

import argparse
import json
import lzma
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cells import ROOT
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.finished_run import argument_of
from fedfactory.evaluation.merge import write_merged
from fedfactory.provenance.record import NAME, read_record

_KEPT = ("scores.csv", "cell.json", "table1.csv", "table1_strict.csv")
_ENDING = ".tar.xz"


def main() -> None:
    """Keep a part, or merge all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("keep", "merge"):
        own = commands.add_parser(command)
        own.add_argument("folder", type=Path)
        own.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        if arguments.command == "keep":
            print(keep(arguments.folder, arguments.out))
        else:
            print("\n".join(merge_parts(arguments.folder, arguments.out)))
    except FedFactoryError as error:
        sys.exit(f"error: {error}")


def keep(run: Path, out: Path) -> Path:
    """Write what a merge needs of a run; the same run gives the same bytes.

    Args:
        run: ``results/<run>``, finished.
        out: folder of the archive, which is named by the run and its seeds.
    """
    record = read_record(run / f".table1.csv{NAME}")
    seeds = json.loads(argument_of(record, "--parameters"))["seeds"]
    name = f"{run.name}_seed{'_'.join(map(str, seeds))}"
    out.mkdir(parents=True, exist_ok=True)
    archive = out / f"{name}{_ENDING}"
    with lzma.open(archive, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as packed:
        for file in _kept(run):
            entry = tarfile.TarInfo(f"{name}/{file.relative_to(run)}")
            entry.size = file.stat().st_size
            with file.open("rb") as content:
                packed.addfile(entry, content)
    return archive


def _kept(run: Path) -> Iterator[Path]:
    for name in _KEPT:
        for file in sorted(run.rglob(name)):
            yield file
            yield file.with_name(f".{name}{NAME}")


def merge_parts(parts: Path, out: Path) -> list[str]:
    """Merge all parts of a folder; what `fedfactory merge` writes, and what it returns."""
    with tempfile.TemporaryDirectory() as folder:
        archives = sorted(parts.glob(f"*{_ENDING}"))
        for archive in archives:
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        runs = [Path(folder) / archive.name.removesuffix(_ENDING) for archive in archives]
        return write_merged(runs, ROOT, out)


if __name__ == "__main__":
    main()
