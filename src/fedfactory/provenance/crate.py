"""A run as an RO-Crate (https://w3id.org/ro/crate/), from the records of its jobs: what was made, from what, when.

The description lies beside the results, which stay where they are: a folder with it can be published as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fedfactory import __version__
from fedfactory.errors import FedFactoryError
from fedfactory.provenance.record import NAME, read_record
from fedfactory.provenance.story import below_run
from fedfactory.storage.files import files_below, new_file

if TYPE_CHECKING:
    from rocrate.model.entity import Entity
    from rocrate.rocrate import ROCrate

CRATE = "ro-crate-metadata.json"
PAPER = "https://papers.miccai.org/miccai-2024/318-Paper0368.html"
LICENCE = "https://spdx.org/licenses/Apache-2.0"
_FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".tex": "application/x-tex",
}


def write_crate(folder: Path, licence: str = LICENCE) -> int:
    """Write :data:`CRATE` into a run's folder.

    Args:
        folder: of the run.
        licence: address of the licence under which the results are given away.

    Returns:
        Number of jobs that it describes.

    Raises:
        FedFactoryError: nothing there has a record, or a record cannot be read.
    """
    from rocrate.rocrate import ROCrate

    records = [read_record(file) for file in files_below(folder) if file.name.endswith(NAME)]
    if not records:
        raise FedFactoryError(f"{folder}: nothing in it has a record of a job; give the folder of a run, results/<run>")
    crate = ROCrate()
    crate.name = f"FedFactory, run {folder.name}"
    crate.description = (
        "Results of FedFactory, the benchmark of federated multi-centric image segmentation with uneven label "
        f"distribution: {len(records)} jobs of a Snakemake workflow, with what each was made from."
    )
    crate.license = crate.add(_contextual(crate, licence, "CreativeWork", name=licence.rpartition("/")[2]))
    # The day on which the last of it was made: the same records give the same bytes.
    crate.datePublished = max(record["finished"] for record in records)
    made: dict[str, Entity] = {}
    for record in sorted(records, key=lambda record: str(record["made"])):
        name = below_run(record["made"])
        if (folder / name).exists():
            made[name] = _result(crate, folder, name, record)
    programs: dict[str, Entity] = {}
    for number, record in enumerate(sorted(records, key=lambda record: str(record["started"]))):
        commit = str(record["commit"])
        if commit not in programs:
            about = {"name": "FedFactory", "url": PAPER, "version": __version__, "softwareVersion": f"commit {commit}"}
            programs[commit] = crate.add(
                _contextual(crate, f"#fedfactory-{commit[:12]}", "SoftwareApplication", **about)
            )
        name, given = below_run(record["made"]), [below_run(entry) for entry in record["inputs"]]
        if name in made:
            crate.add_action(
                programs[commit],
                identifier=f"#job-{number}",
                object=[made[entry] for entry in given if entry in made],
                result=[made[name]],
                properties={"name": record["job"], "startTime": record["started"], "endTime": record["finished"]},
            )
    with new_file(folder / CRATE) as path:
        path.write_text(json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(records)


def _result(crate: ROCrate, folder: Path, name: str, record: Mapping[str, Any]) -> Entity:
    about = {"name": name, "sha256": record["sha256"], "dateModified": record["finished"]}
    if (folder / name).is_dir():
        return crate.add_directory(dest_path=name, properties=about)
    kind = _FORMATS.get(PurePosixPath(name).suffix, "application/octet-stream")
    size = str((folder / name).stat().st_size)
    return crate.add_file(dest_path=name, properties={**about, "encodingFormat": kind, "contentSize": size})


def _contextual(crate: ROCrate, identifier: str, kind: str, **about: str) -> Entity:
    from rocrate.model.contextentity import ContextEntity

    return ContextEntity(crate, identifier, properties={"@type": kind, **about})
