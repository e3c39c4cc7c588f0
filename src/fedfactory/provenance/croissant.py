"""A setup's prepared data in the Croissant format of MLCommons, with its fields for responsible AI.

Files are those of the clients' stores in a run; what is said of them comes from the configuration and from
config/data.yaml. The description names no patient, and may be given away where the data may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedfactory.config.run import Config
from fedfactory.data.releases import ReleaseTable
from fedfactory.errors import FedFactoryError
from fedfactory.provenance.crate import PAPER
from fedfactory.provenance.record import NAME, file_digest, read_record

_TERMS = (
    *("citeAs", "column", "extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes"),
    *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "separator", "source", "subField", "transform"),
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_CONFORMS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
_CITE = (
    "Galati, Cortese, Prados, Lorenzi, Zuluaga: Federated Multi-Centric Image Segmentation with Uneven Label "
    "Distribution. MICCAI 2024."
)
# Of a client's store.
_FILES = {"index.csv": "text/csv", "images.npy": "application/x-npy", "labels.npy": "application/x-npy"}
_COLUMNS = {
    "subject": ("sc:Text", "the unit that splits keep together"),
    "case": ("sc:Text", "a volume of a subject"),
    "slice": ("sc:Integer", "number of the slice in its volume"),
    "position_bin": ("sc:Integer", "position of the slice in the organ; -1 outside"),
    "split": ("sc:Text", "train, validation or test"),
    "labelled": ("sc:Integer", "1 if the slice has labels"),
    "in_mt": ("sc:Integer", "1 if it is one of the target's few labelled slices M_t"),
}
_PHANTOM = {
    "rai:dataCollection": "Drawn by procedure: anatomies, contrasts, scanners and noise are those of docs/phantoms.md. "
    "No image of a person has any part in them.",
    "rai:dataAnnotationProtocol": "Labels are the anatomies that the images were drawn from.",
    "rai:dataLimitations": "Phantoms show how methods behave when contrast, noise and geometry change. They say "
    "nothing about patients.",
    "rai:dataBiases": "One family of shapes for each organ; noise and contrast were chosen so that the gap between "
    "sites resembles that of the paper.",
    "rai:personalSensitiveInformation": "None.",
    "rai:dataUseCases": "Comparison of methods of federated segmentation. Not for anything clinical.",
}
_REAL = {
    "rai:dataCollection": "By the owners of the releases that are named; prepared by the rule prepare_client "
    "(docs/data.md).",
    "rai:dataAnnotationProtocol": "As the releases say.",
    "rai:dataLimitations": "A part of each release; sites differ in more than the scanner. No result of it is ready "
    "for a clinic.",
    "rai:dataBiases": "Those of the releases: who was imaged, where, and by whom it was labelled.",
    "rai:personalSensitiveInformation": "Images of people, without names. Terms of the releases hold for every copy, "
    "prepared ones included.",
    "rai:dataUseCases": "Comparison of methods of federated segmentation. Not for anything clinical.",
}


def describe(config: Config, setup: str, table: ReleaseTable, root: Path) -> dict[str, Any]:
    """The description of a setup of a run whose stores are made.

    Args:
        config: the run.
        setup: its name.
        table: of the releases.
        root: folder of the project.

    Returns:
        JSON-LD.

    Raises:
        FedFactoryError: there is no such setup, or a client's store is not made yet.
    """
    if setup not in config.setups:
        raise FedFactoryError(f"{config.file}: there is no setup '{setup}'; known are {', '.join(config.setups)}")
    entry, parts, records, days = config.setups[setup], [], [], []
    releases = {} if config.phantom else {c.raw: table.releases.get(c.raw) for c in entry.clients.values()}
    for name, client in entry.clients.items():
        folder = root / config.layout.client(setup, name, "data")
        if not (folder / "index.csv").is_file():
            raise FedFactoryError(
                f"{folder}: the store is not made yet: snakemake --cores 2 {folder.relative_to(root)}"
            )
        days.append(str(read_record(folder / NAME)["finished"])[:10])
        parts += [_file(folder, file, kind, f"{name}/{file}") for file, kind in _FILES.items()]
        records.append(_record_set(name, client.label))
    known = [release for release in releases.values() if release is not None]
    licences = [release.licence for release in known] or ["https://spdx.org/licenses/Apache-2.0"]
    about = _PHANTOM if config.phantom else _REAL
    classes = ", ".join(entry.classes)
    sources = "; ".join(f"{release.title}, {release.version}, {release.access}" for release in known)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS,
        "name": f"fedfactory_{config.run}_{setup}",
        "description": f"{entry.title}: slices of {len(entry.clients)} sites, prepared for FedFactory. Classes: "
        f"{classes}. {'Phantoms.' if config.phantom else f'Releases: {sources}.'}",
        "url": PAPER,
        "citeAs": _CITE,
        "license": licences if len(licences) > 1 else licences[0],
        "version": "1.0.0",
        "datePublished": max(days),
        "distribution": parts,
        "recordSet": records,
        **about,
    }


def _file(folder: Path, name: str, kind: str, identifier: str) -> Mapping[str, Any]:
    file = folder / name
    return {
        "@type": "cr:FileObject",
        "@id": identifier,
        "name": identifier,
        "contentUrl": f"{folder.parent.name}/{folder.name}/{name}",
        "contentSize": f"{file.stat().st_size} B",
        "encodingFormat": kind,
        "sha256": file_digest(file),
    }


def _record_set(client: str, label: str) -> Mapping[str, Any]:
    name = f"slices_{client}"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Slices of {label}; line n is slice n of images.npy and labels.npy.",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column}",
                "name": f"{name}/{column}",
                "description": text,
                "dataType": kind,
                "source": {"fileObject": {"@id": f"{client}/index.csv"}, "extract": {"column": column}},
            }
            for column, (kind, text) in _COLUMNS.items()
        ],
    }
