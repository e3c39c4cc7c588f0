"""The faults: each breaks something on purpose in a sandbox, and says what happened and what was lost."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import yaml

from benchmarks.faults.remote import Federation
from benchmarks.faults.sandbox import CELL, RUN, Sandbox, sentence
from benchmarks.faults.surroundings import half_server, small_disk
from fedfactory.federation.ledger import IN, OUT, read_ledger

FACTORY = f"{RUN}/mo/factory/seed0"
SOURCE = f"{RUN}/mo/oasis"
# Root passes every permission: for faults of permission that right is given up.
HUMBLE = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner", "--")


@dataclass(frozen=True)
class Outcome:
    """What a fault did.

    Attributes:
        happened: the sentence that the user saw, or what was observed.
        lost: what had to be done again.
    """

    happened: str
    lost: str


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: of the fault.
        made: how it was made.
        work: makes it.
    """

    name: str
    made: str
    work: Callable[[Sandbox], Outcome]


FAULTS: list[Fault] = []
NO_HIT = Outcome("**nothing: the fault did not hit**", "nothing")


def fault(name: str, made: str) -> Callable[[Callable[[Sandbox], Outcome]], Callable[[Sandbox], Outcome]]:
    """Add a function to the list."""

    def add(work: Callable[[Sandbox], Outcome]) -> Callable[[Sandbox], Outcome]:
        FAULTS.append(Fault(name, made, work))
        return work

    return add


def failed(box: Sandbox, status: int, said: str) -> str:
    """What a command said when the fault hit it."""
    if not status:
        return NO_HIT.happened
    return sentence(said).replace(f"{box.folder}/", "").replace(str(box.folder), "the project")


def recovered(status: int, said: str, lost: str) -> str:
    """What was lost, if the same command got to its end without the fault."""
    return f"**not recovered**: {sentence(said)}" if status else lost


def again(box: Sandbox, *targets: str, lost: str) -> str:
    """Run once more without the fault; what comes out must be the bytes of the run that nobody disturbed."""
    status, said = box.run(*targets)
    whole = status or box.equals_whole()
    return recovered(status, said, lost if whole else f"**other bytes** than without the fault; {lost}")


# Rule, what it makes, and what a kill costs.
STAGES = (
    ("prepare_client", f"{CELL}/data", "the job"),
    ("nnunet_plan", f"{SOURCE}/nnunet_plan", "the job"),
    ("nnunet_train", f"{SOURCE}/nnunet/seed0/model", "epochs since the last checkpoint"),
    ("nnunet_finetune", f"{CELL}/nnunet_tl/seed0/model", "epochs since the last checkpoint"),
    ("predict", f"{CELL}/nnunet/seed0/predictions", "the job"),
    ("factory_train", f"{FACTORY}/model", "rounds since the last checkpoint"),
    ("factory_quality", f"{CELL}/factory_quality/seed0.csv", "the job"),
    ("feddg_train", f"{CELL}/feddg/seed0/model", "rounds since the last checkpoint"),
    ("fedmedgan_train", f"{CELL}/fedmedgan/seed0/model", "rounds since the last checkpoint"),
    ("source_branch", f"{SOURCE}/ours/seed0/branch", "steps since the last checkpoint"),
    ("synthetic_source", f"{SOURCE}/ours/seed0/synthetic", "the job"),
    ("adapt", f"{CELL}/ours/seed0/model", "steps since the last checkpoint"),
    ("adapt_predict", f"{CELL}/ours/seed0/predictions", "the job"),
    ("sam_pretrain", f"{RUN}/foundation/sam", "steps since the last checkpoint"),
    ("sam_tune", f"{CELL}/sam/seed0/model", "steps since the last checkpoint"),
    ("universeg_predict", f"{CELL}/universeg/seed0/predictions", "the job"),
    ("score", f"{CELL}/nnunet/seed0/scores.csv", "the job"),
)
# Seconds after its start; the longest one that is not too late for the tiny run's jobs is taken.
MOMENTS = (4.0, 2.0, 1.0, 0.5, 0.2, 0.05, 0.0)


def _killed(rule: str, output: str, lost: str) -> Callable[[Sandbox], Outcome]:
    def work(box: Sandbox) -> Outcome:
        for moment in MOMENTS:
            box.forget(output)
            process = box.start(output)
            box.kill(f"{rule}.py", "--log", after=moment)
            if status := process.wait():
                return Outcome(failed(box, status, box.said()), again(box, output, lost=lost))
        return NO_HIT

    return work


for _rule, _output, _lost in STAGES:
    FAULTS.append(Fault(f"job of {_rule} killed", "SIGKILL while it works", _killed(_rule, _output, _lost)))


@fault("a client's process killed in a round", "SIGKILL to one of the factory's three clients after a checkpoint")
def _client_killed(box: Sandbox) -> Outcome:
    box.forget(f"{FACTORY}/model")
    process = box.start(f"{FACTORY}/model")
    box.wait(lambda: list(box.folder.glob(f"{FACTORY}/.model.work/*/round000001-*.pt")))
    # The clients are the youngest of the processes that are forked from the one with the libraries.
    os.kill(box.processes("warm/server.py")[-1], signal.SIGKILL)
    happened = failed(box, process.wait(), box.said())
    return Outcome(happened, again(box, f"{FACTORY}/model", lost="rounds since the last checkpoint"))


@fault("power cut", "SIGKILL to Snakemake and all its jobs at once, then --unlock")
def _power_cut(box: Sandbox) -> Outcome:
    box.forget(f"{FACTORY}/model", f"{SOURCE}/nnunet/seed0/model")
    process = box.start(f"{FACTORY}/model", f"{SOURCE}/nnunet/seed0/model")
    box.wait(lambda: list(box.folder.glob(f"{FACTORY}/.model.work/*/round000001-*.pt")))
    box.end(process)
    targets = (f"{FACTORY}/model", f"{SOURCE}/nnunet/seed0/model")
    lost = "jobs without checkpoints, and rounds since the last one"
    return Outcome("nothing was said; half-made files have temporary names", again(box, *targets, lost=lost))


@fault("time limit of a cluster", "SIGTERM to the job of the adaptation")
def _time_limit(box: Sandbox) -> Outcome:
    box.forget(f"{CELL}/ours/seed0/model")
    process = box.start(f"{CELL}/ours/seed0/model")
    (*_, job) = box.wait(lambda: box.processes("adapt.py", "--log"))
    time.sleep(1.5)
    os.kill(job, signal.SIGTERM)
    happened = failed(box, process.wait(), box.said())
    return Outcome(happened, again(box, f"{CELL}/ours/seed0/model", lost="steps since the last checkpoint"))


@fault("damaged checkpoint", "one bit of the aggregator's newest checkpoint flipped after a kill")
def _damaged_checkpoint(box: Sandbox) -> Outcome:
    newest = _killed_factory(box)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    lost = again(box, f"{FACTORY}/model", lost="one checkpoint interval more")
    log = (box.folder / RUN / "logs/factory_train/mo/0.log").read_text()
    line = next(line for line in log.splitlines() if "is damaged" in line)
    return Outcome(line.split(": ", 1)[1].replace(f"{box.folder}/", ""), lost)


@fault(
    "something else in a checkpoint", "the newest checkpoint replaced by a pickle that runs a command, digest included"
)
def _pickle_in_checkpoint(box: Sandbox) -> Outcome:
    newest = _killed_factory(box)
    marker = box.folder / "executed"
    content = pickle.dumps(_Command(f"touch {marker}"))
    newest.unlink()
    newest.with_name(f"{newest.stem.split('-')[0]}-{sha256(content).hexdigest()[:16]}.pt").write_bytes(content)
    happened = failed(box, *box.run(f"{FACTORY}/model"))
    if marker.exists():
        return Outcome("**the command ran**", "everything")
    box.forget(f"{FACTORY}/.model.work")
    return Outcome(happened, again(box, f"{FACTORY}/model", lost="the training, once the folder was removed"))


@fault("full disk while a checkpoint is written", "the factory's folder on a file system of 400 kB")
def _full_disk_checkpoint(box: Sandbox) -> Outcome:
    box.forget(FACTORY)
    with small_disk(box.folder / FACTORY, "400k") as grow:
        happened = failed(box, *box.run(f"{FACTORY}/model"))
        grow("500m")
        lost = again(box, f"{FACTORY}/model", lost="rounds since the last checkpoint")
    return Outcome(happened, lost)


@fault("full disk while a client is prepared", "the client's folder on a file system of 200 kB")
def _full_disk_prepare(box: Sandbox) -> Outcome:
    raw = box.folder / CELL / "raw"
    kept = box.folder / "raw"
    shutil.move(raw, kept)
    box.forget(CELL)
    with small_disk(box.folder / CELL, "200k") as grow:
        raw.symlink_to(kept)
        happened = failed(box, *box.run("--rerun-triggers", "mtime", "--", f"{CELL}/data"))
        half = [path.name for path in (box.folder / CELL).iterdir() if path.name != "raw"]
        grow("100m")
        lost = again(box, "--rerun-triggers", "mtime", "--", f"{CELL}/data", lost="the job")
    return Outcome(happened + (f" (left: {', '.join(half)})" if half else ""), lost)


@fault("results read-only", "the cell's folder without write permission")
def _read_only(box: Sandbox) -> Outcome:
    box.forget(f"{CELL}/ours/seed0/model")
    (box.folder / CELL / "ours/seed0").chmod(0o555)
    happened = failed(box, *box.run(f"{CELL}/ours/seed0/model", prefix=HUMBLE))
    (box.folder / CELL / "ours/seed0").chmod(0o755)
    return Outcome(happened, again(box, f"{CELL}/ours/seed0/model", lost="nothing"))


def _raw_image(box: Sandbox) -> Path:
    return sorted((box.folder / RUN / "ms/siemens/raw").rglob("*_sa.nii.gz"))[0]


def _bad_image(box: Sandbox, spoil: Callable[[Path], None], prefix: tuple[str, ...] = ()) -> Outcome:
    data = f"{RUN}/ms/siemens/data"
    image = _raw_image(box)
    content, mode = image.read_bytes(), image.stat().st_mode
    box.forget(data, f"{RUN}/ms/siemens/truth", f"{RUN}/ms/siemens/preview.npz")
    spoil(image)
    happened = failed(box, *box.run("--rerun-triggers", "mtime", "--", data, prefix=prefix))
    half = (box.folder / data).exists()
    image.chmod(mode)
    image.write_bytes(content)
    lost = again(
        box, "--rerun-triggers", "mtime", "--", data, lost="nothing" if not half else "**half a store was left**"
    )
    return Outcome(happened, lost)


@fault("damaged image", "one byte of a compressed NIfTI file changed")
def _damaged_image(box: Sandbox) -> Outcome:
    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)

    return _bad_image(box, spoil)


@fault("half-copied release", "a NIfTI file cut in the middle")
def _half_copied(box: Sandbox) -> Outcome:
    return _bad_image(box, lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]))


@fault("image without permission", "a NIfTI file that the user may not read")
def _no_permission(box: Sandbox) -> Outcome:
    return _bad_image(box, lambda path: path.chmod(0), HUMBLE)


@fault("release without a file", "the label of a subject removed")
def _missing_label(box: Sandbox) -> Outcome:
    truth = sorted((box.folder / RUN / "ms/siemens/raw").rglob("Labeled/*/*_sa_gt.nii.gz"))[0]
    content = truth.read_bytes()
    data = f"{RUN}/ms/siemens/data"
    box.forget(data, f"{RUN}/ms/siemens/truth", f"{RUN}/ms/siemens/preview.npz")
    truth.unlink()
    happened = failed(box, *box.run("--rerun-triggers", "mtime", "--", data))
    truth.write_bytes(content)
    lost = again(box, "--rerun-triggers", "mtime", "--", data, lost="nothing")
    return Outcome(happened, lost)


@fault("out of memory", "an adaptation with batches of a million images, in 8 GB of address space")
def _out_of_memory(box: Sandbox) -> Outcome:
    target = f"{CELL}/ours/seed0/model"
    box.forget(target)
    large = {"methods": {"ours": {"parameters": {"target": {"batch": {"source": 1_000_000}}}}}}
    happened = failed(box, *_configured(box, large, target, prefix=("prlimit", "--as=8000000000", "--")))
    return Outcome(happened, again(box, target, lost="nothing, or steps since the last checkpoint"))


@fault("two runs in one folder", "a second Snakemake while the first one works")
def _two_runs(box: Sandbox) -> Outcome:
    box.forget(f"{SOURCE}/nnunet/seed0/model")
    process = box.start(f"{SOURCE}/nnunet/seed0/model")
    box.wait(lambda: box.processes("nnunet_train.py"))
    happened = failed(box, *box.run(f"{SOURCE}/nnunet/seed0/model"))
    process.wait()
    return Outcome(happened, "nothing" if box.equals_whole() else "**other bytes**")


@fault("clock jump", "files dated a year ahead, as after a clock that was wrong")
def _clock_jump(box: Sandbox) -> Outcome:
    ahead = time.time() + 365 * 86400
    for path in (box.folder / RUN / "mo").rglob("raw/**/*"):
        os.utime(path, (ahead, ahead))
    target = f"{CELL}/nnunet/seed0/scores.csv"
    happened = failed(box, *box.run(target))
    for path in (box.folder / RUN / "mo").rglob("raw/**/*"):
        os.utime(path)
    return Outcome(happened, again(box, target, lost="time: what lies below is made again, with the same bytes"))


@fault("interrupted download", "a server that ends every answer in the middle")
def _interrupted_download(box: Sandbox) -> Outcome:
    with half_server(box.folder) as address:
        box.settings = {"SSL_CERT_FILE": str(box.folder / "localhost.pem")}
        return _weights(box, {"url": f"{address}/model.pt", "sha256": sha256(b"x" * 1000).hexdigest(), "bytes": 1000})


@fault("malicious archive", "weights whose archive has a member that climbs out of its folder, digest entered")
def _malicious_archive(box: Sandbox) -> Outcome:
    file = box.folder / "weights/model.pt"
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../climbed", "x")
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    outcome = _weights(box, {"url": None, "sha256": sha256(file.read_bytes()).hexdigest(), "bytes": None})
    climbed = [path for path in (box.folder.parent, box.folder) if (path / "climbed").exists()]
    return Outcome("**a file climbed out**", "") if climbed else outcome


@fault("weights that run code", "weights that are a pickle with a command, digest entered")
def _pickle_weights(box: Sandbox) -> Outcome:
    marker = box.folder / "executed"
    file = box.folder / "weights/model.pt"
    file.parent.mkdir()
    file.write_bytes(pickle.dumps(_Command(f"touch {marker}")))
    outcome = _weights(box, {"url": None, "sha256": sha256(file.read_bytes()).hexdigest(), "bytes": None})
    return Outcome("**the command ran**", "") if marker.exists() else outcome


@fault("a path out of the project in the configuration", "run: ../../elsewhere, and a setup's file outside")
def _hostile_path(box: Sandbox) -> Outcome:
    first = failed(box, *_configured(box, {"run": "../../elsewhere"}))
    second = failed(box, *_configured(box, {"setups": ["../outside.yaml"]}))
    return Outcome(f"{first} / {second}", "nothing")


@fault("a command in the configuration", "a method's label with $(touch executed), and a Python object in YAML")
def _hostile_value(box: Sandbox) -> Outcome:
    label = "$(touch executed)'; touch executed; '"
    status, _ = _configured(box, {"methods": {"nnunet": {"label": label}}}, f"{RUN}/table1.csv")
    own = box.folder / "config/own.yaml"
    own.write_text("run: !!python/object/apply:os.system ['touch executed']\n")
    _, second = box.run("--configfile", "config/test.yaml", "config/own.yaml", "--dry-run")
    if (box.folder / "executed").exists():
        return Outcome("**the command ran**", "everything")
    first = "the label is printed as it stands" if status == 0 else "the label is refused"
    return Outcome(f"{first} / {sentence(second)}", "nothing")


SITE_RECORDS = f"{FACTORY}/.model.work/sites"


def _at(number: int, *directions: str) -> Callable[[Sandbox], str | None]:
    """A site whose border was crossed in these directions in a round, and in no other."""

    def seen(box: Sandbox) -> str | None:
        for file in box.folder.glob(f"{SITE_RECORDS}/*/ledger.csv"):
            if {row["direction"] for row in read_ledger(file) if int(row["round"]) == number} == set(directions):
                return file.parent.name
        return None

    return seen


def _running(box: Sandbox) -> str | None:
    """A site whose node has started, and was asked for nothing."""
    return "octa" if box.processes("nodes/octa") else None


# Rounds that last long enough to be hit.
LONG = {"engine": "fedbiomed", "local_steps": 40, "refinement_steps": 40}
# Rounds 0 to 2 train the factory, round 3 refines it.
PHASES = {
    "before the first round": _running,
    "while it trains": _at(0, IN),
    "after its answer": _at(0, IN, OUT),
    "in the refinement": _at(3, IN),
}


def _federated(
    box: Sandbox, seen: Callable[[Sandbox], str | None], accident: Callable[[str], None], **changes: int
) -> Outcome:
    """Do something to a federation of nodes on loopback once a moment has come, and run it again."""
    target = f"{FACTORY}/model"
    box.forget(target)
    arguments = (*box.configured({"factory": {"federation": LONG | changes}}), "--", target)
    process = box.start(*arguments)
    accident(box.wait(lambda: seen(box)))
    status = process.wait()
    if not status:
        return Outcome("nothing: the round took as much longer", "nothing")
    happened = failed(box, status, box.said())
    return Outcome(happened, recovered(*box.run(*arguments), lost="rounds since the last checkpoint"))


def _node_killed(seen: Callable[[Sandbox], str | None]) -> Callable[[Sandbox], Outcome]:
    def work(box: Sandbox) -> Outcome:
        return _federated(box, seen, lambda site: os.kill(box.processes(f"nodes/{site}")[0], signal.SIGKILL))

    return work


for _phase, _seen in PHASES.items():
    FAULTS.append(Fault(f"node of Fed-BioMed lost {_phase}", "SIGKILL to one site's node", _node_killed(_seen)))


@fault("site that comes back late", "SIGSTOP to one site's node while it trains, SIGCONT ten seconds later")
def _late(box: Sandbox) -> Outcome:
    def accident(site: str) -> None:
        (node, *_) = box.processes(f"nodes/{site}")
        os.kill(node, signal.SIGSTOP)
        time.sleep(10)
        os.kill(node, signal.SIGCONT)

    return _federated(box, _at(0, IN), accident)


@fault(
    "site that comes back too late", "SIGSTOP to one site's node while it trains, for longer than the deadline of 20 s"
)
def _too_late(box: Sandbox) -> Outcome:
    return _federated(
        box, _at(0, IN), lambda site: os.kill(box.processes(f"nodes/{site}")[0], signal.SIGSTOP), deadline=20
    )


@fault("aggregator of Fed-BioMed killed", "SIGKILL to the researcher while a site trains")
def _researcher_killed(box: Sandbox) -> Outcome:
    def accident(site: str) -> None:
        os.kill(box.processes("fedbiomed.researcher")[0], signal.SIGKILL)

    return _federated(box, _at(1, IN), accident)


@fault("certificate mismatch", "nodes of sites keep running while the coordinator's certificate is made anew")
def _certificate(box: Sandbox) -> Outcome:
    target = f"{FACTORY}/model"
    box.forget(target)
    with Federation(box, target, deadline=40) as federation:
        process = federation.start()
        federation.approve()
        box.wait(lambda: list(box.folder.glob(f"{FACTORY}/.model.work/fedbiomed/round000001-*.pt")))
        box.end(process)
        federation.new_certificate()
        happened = failed(box, *federation.run())
        federation.stop_nodes()
        federation.start_nodes()
        lost = recovered(*federation.run(), lost="rounds since the last checkpoint, once the nodes were restarted")
    return Outcome(happened, lost)


class _Command:
    """A pickle that runs a command when it is read carelessly."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def _killed_factory(box: Sandbox) -> Path:
    """A factory's training, killed after two checkpoints; returns the aggregator's newest."""
    box.forget(f"{FACTORY}/model")
    process = box.start(f"{FACTORY}/model")
    states = f"{FACTORY}/.model.work/server/round*.pt"
    box.wait(lambda: len(list(box.folder.glob(states))) == 2)
    box.end(process)
    return sorted(box.folder.glob(states))[-1]


def _weights(box: Sandbox, entry: dict[str, object]) -> Outcome:
    """Ask for UniverSeg with published weights that an entry describes."""
    table = box.folder / "config/weights.yaml"
    values = yaml.safe_load(table.read_text())
    values["universeg-v1"] |= {"file": "model.pt", "consent": False, **entry}
    table.write_text(yaml.safe_dump(values))
    parameters = {"weights": "universeg-v1", "image_size": 128, "features": None, "pretraining": None}
    box.forget(f"{CELL}/universeg")
    methods = {"methods": {"universeg": {"parameters": parameters}}}
    happened = failed(box, *_configured(box, methods, f"{CELL}/universeg/seed0/predictions"))
    left = sorted(path.name for path in (box.folder / "weights").glob("*")) if entry["url"] else []
    return Outcome(happened + (f" (left: {', '.join(left)})" if left else ""), "nothing")


def _configured(
    box: Sandbox, values: dict[str, object], target: str = "", prefix: tuple[str, ...] = ()
) -> tuple[int, str]:
    goal = ("--", target) if target else ("--dry-run",)
    return box.run(*box.configured(values), *goal, prefix=prefix)
