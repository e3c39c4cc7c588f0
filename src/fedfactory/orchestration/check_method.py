"""Check a method against the contract, on a tiny target that is made for it.

The method runs twice by the workflow's own rules, on phantom sites. The second time all that it may not see of the
target is different: the truth of the test volumes, and labels beyond those that it declares. Its predictions
must be the same bytes, which shows at once that it is deterministic. Cells of the strict protocol are made once more
without labels of validation volumes. What it reads of other clients is seen in the plan of its jobs.
"""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import yaml

from fedfactory.config.parameters import LIKE
from fedfactory.config.run import Config, load_config
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.methods.cells import Methods
from fedfactory.orchestration.audit import planned, violations
from fedfactory.orchestration.declared import methods as declared_methods
from fedfactory.orchestration.labels import Labels
from fedfactory.provenance.record import NAME
from fedfactory.storage.weights_table import FOLDER as WEIGHTS

_DATA = {"source": "phantom", "seed": 0, "subjects": 8, "size": 64, "slices": 6}
_SPLIT = {"validation": 1, "test": 2}
_LINES = 12
# What no method makes.
_OF_THE_CLIENT = ("data", "truth", "preview.npz", "factory_key.json")


@dataclass(frozen=True)
class Check:
    """A method in a folder of its own.

    Attributes:
        project: folder of the Snakefile.
        folder: where it runs.
        method: its name.
        setup: the setup that it runs on.
        target: the client that it segments.
        config: the checked configuration.
        file: of that configuration.
    """

    project: Path
    folder: Path
    method: str
    setup: str
    target: str
    config: Config
    file: Path

    def cell(self, row: str) -> Path:
        """The folder of a cell, by its row's name in paths."""
        return self.folder / self.config.layout.cell(self.setup, self.target, row, self.config.seeds[0])

    @property
    def store(self) -> Path:
        """The target's store."""
        return self.folder / self.config.layout.client(self.setup, self.target, "data")

    def snakemake(self, *arguments: str) -> None:
        """Run the workflow.

        Raises:
            FedFactoryError: it fails.
        """
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", str(self.project / "Snakefile")]
        command += ["--directory", str(self.folder), "--configfile", str(self.file), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if result.returncode:
            tail = "\n".join((result.stdout + result.stderr).splitlines()[-_LINES:])
            raise FedFactoryError(f"method '{self.method}' does not run:\n{tail}")

    def predict(self, row: str) -> dict[str, bytes]:
        """Make the predictions of a cell, and read them."""
        folder = self.cell(row) / "predictions"
        self.snakemake("--rerun-triggers", "mtime", "--", str(folder.relative_to(self.folder)))
        return {file.name: file.read_bytes() for file in sorted(folder.glob("[!.]*"))}


def prepare(project: Path, values: Mapping[str, Any], method: str, folder: Path) -> Check:
    """Make a configuration of the method, and of those that it builds on, on tiny data.

    Args:
        project: folder of the Snakefile.
        values: the configuration that has the method.
        method: its name.
        folder: where to run; made where missing.

    Raises:
        FedFactoryError: there is no such method (which there are), or the configuration is wrong.
    """
    methods = values.get("methods", {})
    if method not in methods:
        raise FedFactoryError(f"there is no method '{method}'; known are {', '.join(methods)}")
    needed = with_bases(methods, method) | with_bases(methods, values["gap_method"])
    tiny = copy.deepcopy(dict(values)) | {
        "run": "check",
        "seeds": [0],
        "device": "cpu",
        "data": _DATA,
        "split": _SPLIT,
        "methods": {name: entry for name, entry in methods.items() if name in needed},
        "pictures": True,
        "scale": None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FedFactoryError(f"{folder} is not empty, and what lies there would be taken as it is; give a new folder")
    # Published weights lie in the project's folder, and jobs look for them where they run.
    if (project / WEIGHTS).is_dir() and not (folder / WEIGHTS).exists():
        (folder / WEIGHTS).symlink_to(project / WEIGHTS)
    file = folder / "check.yaml"
    file.write_text(yaml.safe_dump(tiny, sort_keys=False))
    config = load_config(tiny, [file], project)
    setup = next(iter(config.setups.values()))
    return Check(project, folder, method, setup.name, setup.targets[0], config, file)


def check_method(check: Check) -> list[str]:
    """Run the method again and again, and say what violates the contract; an empty list if nothing does."""
    method = check.config.methods[check.method]
    jobs = planned(check.project, [check.file], "--forceall", folder=check.folder, targets=[str(_scores(check))])
    sources = {name: setup.source for name, setup in check.config.setups.items()}
    found = violations(jobs, check.config.run, [check.method] if method.centralised else [], sources)
    # The row of the strict protocol comes last: it may see less than the other.
    declared = Methods(check.config, check.project).labels[check.method][check.setup]
    rows = {check.method: declared}
    rows |= {name: declared.without_validation() for name, row in check.config.strict.items() if row == check.method}
    first = {name: check.predict(name) for name in rows}
    found += _geometry(check)
    for name, labels in rows.items():
        _hide(check, labels)
        _forget(check, rows)
        second = check.predict(name)
        different = [case for case in first[name] if second.get(case) != first[name][case]]
        if different:
            found.append(
                f"{name}: the predictions of {', '.join(different)} are others in a second run, in which nothing that "
                "the method may see had changed: it is not deterministic, or it sees labels that its method does not "
                "declare"
            )
    return found


def with_bases(methods: Mapping[str, Any], method: str) -> set[str]:
    """A method and all that its parameters name, by the parameters that its declaration gives."""
    needed, waiting = set(), [method]
    while waiting:
        name = waiting.pop()
        if name in needed or name not in methods:
            continue
        needed.add(name)
        parameters = methods[name].get("parameters", {})
        declared = declared_methods().get(methods[name].get("rules"))
        refers = (LIKE, *(declared.refers if declared else ()))
        waiting += [parameters[key] for key in refers if key in parameters]
    return needed


def _scores(check: Check) -> Path:
    return (check.cell(check.method) / "scores.csv").relative_to(check.folder)


def _geometry(check: Check) -> list[str]:
    """What is wrong with the predictions' files."""
    view, found = ClientView(check.store), []
    folder = check.cell(check.method) / "predictions"
    for volume in view.test_volumes():
        file = folder / f"{volume.name}.nii.gz"
        if not file.is_file():
            found.append(f"there is no prediction of test volume {volume.name}")
            continue
        mask, geometry = nibabel.load(file), view.geometry(volume.name)
        wanted = geometry.to_raw(np.zeros(volume.images.shape, np.uint8)).shape
        if mask.shape != wanted or not np.allclose(mask.affine, geometry.affine):
            found.append(f"the prediction of {volume.name} does not lie in the geometry of the raw image")
        labels = np.unique(np.asarray(mask.dataobj))
        if labels.max() > len(view.classes):
            found.append(f"the prediction of {volume.name} has the label {labels.max()}, which is no class")
    return found


def _hide(check: Check, declared: Labels) -> None:
    """Change what the method may not see: labels of the target that it does not declare, truth, and raw data."""
    view = ClientView(check.store)
    labels = np.load(check.store / "labels.npy", allow_pickle=False)
    labels[~declared.seen(view.rows)] = 0
    np.save(check.store / "labels.npy", labels)
    raw, truth = (
        check.folder / check.config.layout.client(check.setup, check.target, name) for name in ("raw", "truth")
    )
    shutil.rmtree(raw, ignore_errors=True)
    for file in truth.rglob("*.nii.gz"):
        image = nibabel.load(file)
        nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), file)
    # No job wrote them like this: jobs would read nothing that their records do not know.
    for folder in (check.store, truth):
        (folder / NAME).unlink(missing_ok=True)


def _forget(check: Check, rows: Mapping[str, Labels]) -> None:
    """Remove all that the method made: models, predictions, and what its other rules left at the target."""
    layout, clients = check.config.layout, check.config.setups[check.setup].clients
    folders = [layout.client(check.setup, name, row) for name in clients for row in rows]
    target = check.folder / layout.client(check.setup, check.target, "data")
    others = {*check.config.methods, *check.config.strict} - rows.keys()
    kept = {*_OF_THE_CLIENT, *others}
    left = [path for path in target.parent.iterdir() if path.name not in kept and not path.name.startswith(".")]
    for path in (*(check.folder / folder for folder in (*folders, layout.foundation(check.method))), *left):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
