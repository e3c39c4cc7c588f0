"""The command ``fedfactory``: what a run holds, and checks of a method and of raw data before any job runs."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fedfactory.config.files import read_run, read_yaml
from fedfactory.config.run import load_config
from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import new_file

_NEW_RUN = "look at folders of images, and write a setup and a run of them"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of the command line; 0 if all is well, 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="fedfactory", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _command(commands, "methods", _methods, "list the methods of a configuration")
    check = _command(
        commands, "check-method", _check, "run a method on a tiny target, and say what violates the contract"
    )
    check.add_argument("method", help="name of the method")
    check.add_argument("--keep", type=Path, help="folder for the run; removed afterwards if not given")
    data = _command(commands, "check-data", _data, "say what a setup's raw data hold, and what is missing", None)
    data.add_argument("setup", help="name of the setup, for instance ms")
    data.add_argument("--voxels", action="store_true", help="read every voxel, not the headers only")
    card = _command(commands, "croissant", _croissant, "describe a setup's prepared data in the Croissant format")
    card.add_argument("setup", help="name of the setup, for instance ms")
    card.add_argument("--out", type=Path, required=True, help="JSON-LD file")
    plan = _command(commands, "plan", _plan, "say what is left of a run: jobs, hours, memory and disk of each stage")
    plan.add_argument("--measured", type=Path, help="folder of a run whose jobs' times are taken (default: its own)")
    plan.add_argument("--gpus", type=int, default=1, help="GPUs that work side by side (default 1)")
    audit = _command(
        commands, "audit", _audit, "say which jobs read a client's private data, and what they leave elsewhere"
    )
    audit.add_argument("client", help="setup and client, for instance ms/ge")
    explain = _anywhere(commands, "explain", _explain, "tell the story of a cell, and the command that makes it again")
    explain.add_argument(
        "scores", type=Path, help="the cell: results/<run>/<setup>/<target>/<method>/seed<n>/scores.csv"
    )
    check = _anywhere(commands, "verify", _verify, "hash a folder of results again, and say what is not as it was made")
    check.add_argument("folder", type=Path, help="folder of a run, here or anywhere: results/<run>")
    check.add_argument("--partial", action="store_true", help="raw data and other parts were left out on purpose")
    check.add_argument("--signed-by", type=Path, help="public key, or file of allowed signers, of who sealed it")
    state = _anywhere(commands, "status", _status, "say what of a run is done, what is made now, and what failed")
    state.add_argument("folder", type=Path, help="folder of a run, here or anywhere: results/<run>")
    sealing = _anywhere(commands, "seal", _seal, "sign for a folder of results with your own SSH key")
    sealing.add_argument("folder", type=Path, help="folder of a run, here or anywhere: results/<run>")
    sealing.add_argument("--key", type=Path, required=True, help="private key, or the public half of one of an agent")
    sealing.add_argument("--partial", action="store_true", help="raw data and other parts were left out on purpose")
    crate = _anywhere(commands, "crate", _crate, "describe a run as an RO-Crate, from the records of its jobs")
    crate.add_argument("folder", type=Path, help="folder of a run, here or anywhere: results/<run>")
    crate.add_argument("--licence", default=None, help="address of the licence that you give (default Apache-2.0's)")
    bundle = _anywhere(commands, "export", _export, "write the trained model of a cell as a MONAI bundle")
    bundle.add_argument(
        "cell", type=Path, help="results/<run>/<setup>/<target>/<method>/seed<n>, in the project's folder"
    )
    bundle.add_argument("--out", type=Path, required=True, help="folder of the bundle; must not be there")
    same = _anywhere(
        commands, "compare", _compare, "say whether two runs, or a published cell and a run, have the same bytes"
    )
    same.add_argument("first", type=Path, help="results/<run> or a folder in it, or the cell.json of a cell")
    same.add_argument("second", type=Path, help="the same of another run; beside a cell.json the folder of the run")
    merged = _command(commands, "merge", _merge, "make one table of several runs: other seeds, phantoms, or rows")
    merged.add_argument("runs", nargs="+", type=Path, help="folders of finished runs: results/<run>")
    merged.add_argument("--out", type=Path, required=True, help="folder of the merged table; must not be there")
    masks = _command(
        commands, "masks", _masks, "write a cell's predictions in the formats of its images, DICOM as a segmentation"
    )
    masks.add_argument("cell", type=Path, help="results/<run>/<setup>/<target>/<method>/seed<n>")
    masks.add_argument("--out", type=Path, required=True, help="folder of the masks; must not be there")
    new = commands.add_parser("new-run", help=_NEW_RUN, description=_NEW_RUN)
    new.set_defaults(work=_new_run, anywhere=False)
    new.add_argument("name", help="of the run and its setup: lower-case letters, digits and _")
    new.add_argument(
        "--site", action="append", required=True, metavar="NAME=FOLDER", help="a site and its images; give several"
    )
    new.add_argument("--source", required=True, help="the site whose labels train")
    _anywhere(commands, "settings", _settings, "print the environment under which bits do not depend on the processor")
    _command(commands, "preflight", _preflight, "say whether this machine has what jobs with a GPU need")
    parsed = parser.parse_args(arguments)
    # Names of files may hold bytes of another encoding than the terminal's.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return parsed.work(parsed) if parsed.anywhere else parsed.work(_project(), parsed)
    except FedFactoryError as error:
        print(f"fedfactory: error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read on, `head` say, has seen enough; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"fedfactory: error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 1


def _command(
    commands: Any, name: str, work: Callable[..., int], help_: str, configuration: str | None = "config/demo.yaml"
) -> argparse.ArgumentParser:
    """A command about a run; without a configuration of its own it looks for one."""
    # Snakemake's --config is something else: no option is cut short.
    command = commands.add_parser(name, help=help_, description=help_, allow_abbrev=False)
    command.set_defaults(work=work, anywhere=False)
    command.add_argument(
        "--configfile",
        nargs="+",
        type=Path,
        default=[Path(configuration)] if configuration else None,
        help=f"as for snakemake (default {configuration or 'the run in config/ that has the setup'})",
    )
    return command


def _anywhere(commands: Any, name: str, work: Callable[..., int], help_: str) -> argparse.ArgumentParser:
    """A command about files that may lie anywhere: it needs neither project nor configuration."""
    command = commands.add_parser(name, help=help_, description=help_)
    command.set_defaults(work=work, anywhere=True)
    return command


def _methods(project: Path, arguments: argparse.Namespace) -> int:
    from fedfactory.methods.cells import Methods
    from fedfactory.orchestration.declared import methods

    config = load_config(read_run(arguments.configfile, project), arguments.configfile, project)
    every = Methods(config, project)
    rows: list[tuple[str, ...]] = [("name", "label", "rules", "labels", "centralised", "own extension")]
    for m in config.methods.values():
        flags = ("yes" if flag else "" for flag in (m.centralised, m.extension))
        rows.append(
            (
                m.name,
                m.label,
                m.rules,
                "; ".join(every.labels_in_words(m.name)),
                *flags,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    for name in dict.fromkeys(m.rules for m in config.methods.values()):
        print(f"\n{name}: {methods()[name].title}")
        for rule in methods()[name].rules:
            print(f"    {rule.name} reads data: {rule.reads.value}; lets out: {rule.lets_out or 'nothing'}")
    return 0


def _check(project: Path, arguments: argparse.Namespace) -> int:
    from fedfactory.orchestration.check_method import check_method, prepare

    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        found = check_method(prepare(project, read_run(arguments.configfile, project), arguments.method, folder))
    for sentence in found:
        print(f"{arguments.method}: {sentence}")
    if not found:
        print(f"{arguments.method}: nothing violates the contract")
    return 1 if found else 0


def _data(project: Path, arguments: argparse.Namespace) -> int:
    from fedfactory.data.releases import read_checksums, read_releases
    from fedfactory.data.survey import changed_files, report, survey

    files = arguments.configfile or [_run_on_files(project, arguments.setup)]
    config = load_config(read_run(files, project), files, project)
    if config.phantom:
        raise FedFactoryError(f"{config.file}: key 'data.source': the workflow makes phantoms itself; nothing to check")
    if arguments.setup not in config.setups:
        known = ", ".join(config.setups)
        raise FedFactoryError(f"{config.file}: there is no setup '{arguments.setup}'; known are {known}")
    setup, table = config.setups[arguments.setup], read_releases(project)
    surveys = survey(config, table, setup.name, voxels=arguments.voxels)
    print(report(f"{setup.label}: {setup.title} ({config.file})", surveys))
    changed = []
    for folder in dict.fromkeys(client.raw for client in setup.clients.values()):
        release = table.releases.get(folder)
        if release is not None:
            print(f"\n{release.title}\n  version: {release.version}\n  licence: {release.licence}")
            print(f"  ask for it at: {release.access}\n  copies: {release.copies}")
            checksums = read_checksums(project, folder, release)
            changed += changed_files(Path(config.data["root"]) / folder, checksums)
    for sentence in changed:
        print(sentence)
    return 1 if changed or any(found.problems for found in surveys) else 0


def _run_on_files(project: Path, setup: str) -> Path:
    """The configuration of a run on real data that has a setup.

    Raises:
        FedFactoryError: there is none, or more than one.
    """
    found, known = [], set()
    for file in sorted((project / "config").glob("*.yaml")):
        try:
            values = read_run([file], project)
            names = {read_yaml(project / entry, entry).get("name") for entry in values["setups"]}
            if values["data"]["source"] == "files":
                known |= names
                found += [file.relative_to(project)] if setup in names else []
        except (FedFactoryError, KeyError, TypeError, AttributeError):
            # No run of its own, or one that another command complains of.
            continue
    if len(found) != 1:
        which = (
            f"several runs have it: {', '.join(map(str, found))}"
            if found
            else f"no run on files has it; known are {', '.join(sorted(known))}"
        )
        raise FedFactoryError(f"setup '{setup}': {which}; say which one is meant with --configfile")
    return found[0]


def _croissant(project: Path, arguments: argparse.Namespace) -> int:
    from fedfactory.data.releases import read_releases
    from fedfactory.provenance.croissant import describe

    config = load_config(read_run(arguments.configfile, project), arguments.configfile, project)
    found = describe(config, arguments.setup, read_releases(project), project)
    with new_file(arguments.out) as path:
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{arguments.out}: {len(found['distribution'])} files")
    return 0


def _plan(project: Path, arguments: argparse.Namespace) -> int:
    from fedfactory.data.releases import read_releases
    from fedfactory.orchestration.audit import planned
    from fedfactory.orchestration.costs import Costs
    from fedfactory.orchestration.plan import make_plan, report

    config = load_config(read_run(arguments.configfile, project), arguments.configfile, project)
    if arguments.gpus < 1:
        raise FedFactoryError(f"--gpus is {arguments.gpus}; it must be at least 1")
    if arguments.measured and not arguments.measured.is_dir():
        raise FedFactoryError(f"--measured: {arguments.measured} is no folder of a run; give results/<run>")
    costs = Costs.read(project, arguments.measured or Path(config.layout.root), config)
    plan = make_plan(planned(project, arguments.configfile), config, costs, read_releases(project))
    size = f"{len(config.methods)} methods, {sum(len(s.targets) for s in config.setups.values())} targets"
    title = f"Run '{config.run}' ({config.file}): {size}, seeds {', '.join(map(str, config.seeds))}"
    print(report(title, plan, arguments.gpus))
    return 0


def _preflight(project: Path, arguments: argparse.Namespace) -> int:
    from fedfactory.orchestration.preflight import preflight

    config = load_config(read_run(arguments.configfile, project), arguments.configfile, project)
    lines, ready = preflight(project, config)
    print("\n".join(lines))
    return 0 if ready else 1


def _audit(project: Path, arguments: argparse.Namespace) -> int:
    from fedfactory.orchestration.audit import planned, uses, violations
    from fedfactory.orchestration.declared import rule

    config = load_config(read_run(arguments.configfile, project), arguments.configfile, project)
    setup, _, client = arguments.client.partition("/")
    if setup not in config.setups or client not in config.setups[setup].clients:
        known = ", ".join(f"{entry.name}/{name}" for entry in config.setups.values() for name in entry.clients)
        raise FedFactoryError(f"{config.file}: there is no client '{arguments.client}'; known are {known}")
    jobs = planned(project, arguments.configfile, "--forceall")
    print(f"Jobs that read private data of {arguments.client}; all others read none of it.\n")
    for use in uses(jobs, config.run, setup, client):
        declared = rule(use.rule)
        how = " (federation: a process of the client's own opens them)" if declared.reads.federated else ""
        print(f"{use.rule}: {use.jobs} jobs read {', '.join(use.reads) or 'its raw files'}{how}")
        if declared.lets_out:
            print(f"    lets out: {declared.lets_out}")
        for name in use.leaves:
            print(f"    leaves the client's folder: {name}")
    if config.pictures:
        print("\npictures: true releases the slices in preview.npz and panel.npz for galleries and figures.")
    if config.slices:
        print("\nslices: true releases the test cases, with truth, in slices.json and worst.npz for the page.")
    centralised = [method.name for method in config.methods.values() if method.centralised]
    found = violations(jobs, config.run, centralised, {entry.name: entry.source for entry in config.setups.values()})
    print("\n" + ("\n".join(found) or f"All {len(jobs)} jobs keep the rules of data governance (docs/design.md)."))
    return 1 if found else 0


def _explain(arguments: argparse.Namespace) -> int:
    from fedfactory.provenance.explain import tell
    from fedfactory.provenance.story import read_story

    print("\n".join(tell(read_story(arguments.scores))))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from fedfactory.orchestration.progress import Progress
    from fedfactory.provenance.seal import broken, is_sealed, signer
    from fedfactory.provenance.verify import report, verify

    verdict = verify(arguments.folder, Progress(f"verify {arguments.folder}"))
    changed = broken(arguments.folder)
    print("\n".join([*changed, *report(verdict)]))
    if arguments.signed_by:
        print(f"sealed by {signer(arguments.folder, arguments.signed_by)}")
    else:
        print("sealed; --signed-by KEY says whose seal it must be" if is_sealed(arguments.folder) else "unsealed")
    return 0 if verdict.sound(arguments.partial) and not changed else 1


def _seal(arguments: argparse.Namespace) -> int:
    from fedfactory.orchestration.progress import Progress
    from fedfactory.provenance.seal import seal
    from fedfactory.provenance.verify import report, verify

    verdict = verify(arguments.folder, Progress(f"verify {arguments.folder}"))
    if not verdict.sound(arguments.partial):
        print("\n".join(report(verdict)))
        raise FedFactoryError(f"{arguments.folder}: is not sealed, for it is not as its jobs made it")
    print(f"sealed {seal(arguments.folder, arguments.key)} files of {arguments.folder}")
    return 0


def _crate(arguments: argparse.Namespace) -> int:
    from fedfactory.provenance.crate import CRATE, LICENCE, write_crate

    count = write_crate(arguments.folder, arguments.licence or LICENCE)
    print(f"{arguments.folder / CRATE}: {count} jobs")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from fedfactory.orchestration.export import write_bundle

    about = write_bundle(arguments.cell, arguments.out)
    print(f"{arguments.out}: {about.cell}; segment an image with it:")
    command = f"python -m monai.bundle run --config_file {arguments.out}/configs/inference.json"
    print(f"  {command} --bundle_root {arguments.out} --image IMAGE --output MASK.nii.gz")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from fedfactory.orchestration.status import report, status

    found = status(arguments.folder)
    print(report(arguments.folder, found))
    return 1 if found.failed else 0


def _compare(arguments: argparse.Namespace) -> int:
    from fedfactory.provenance.compare import compare

    found = compare(arguments.first, arguments.second)
    print("\n".join(found.report()))
    return 0 if found.equal else 1


def _merge(project: Path, arguments: argparse.Namespace) -> int:
    from fedfactory.evaluation.merge import write_merged

    print("\n".join(write_merged(arguments.runs, project, arguments.out)))
    return 0


def _masks(project: Path, arguments: argparse.Namespace) -> int:
    from fedfactory.orchestration.masks import write_masks

    config = load_config(read_run(arguments.configfile, project), arguments.configfile, project)
    written = write_masks(config, arguments.cell, arguments.out)
    print(
        f"wrote {len(written)} masks to {arguments.out}, the first {written[0].name}" if written else "nothing to write"
    )
    return 0


def _new_run(project: Path, arguments: argparse.Namespace) -> int:
    from fedfactory.orchestration.new_run import new_run

    sites = dict(text.partition("=")[::2] for text in arguments.site)
    if len(sites) < len(arguments.site) or not all(sites.values()):
        raise FedFactoryError("give each site once, as --site NAME=FOLDER")
    folders = {name: Path(folder) for name, folder in sites.items()}
    print("\n".join(new_run(arguments.name, folders, arguments.source, project)))
    return 0


def _settings(arguments: argparse.Namespace) -> int:
    from fedfactory.orchestration.portable import SETTINGS

    print("\n".join(f"{name}={value}" for name, value in SETTINGS.items()))
    return 0


def _project() -> Path:
    project = Path.cwd()
    if not (project / "Snakefile").is_file():
        raise FedFactoryError(f"{project} holds no Snakefile; call fedfactory in the project's folder")
    return project


if __name__ == "__main__":
    sys.exit(main())
