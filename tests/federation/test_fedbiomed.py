"""Fed-BioMed trains bit for bit what a loop in this process trains, whatever happens on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fedfactory.errors import FedFactoryError
from fedfactory.factory.client_data import load_client
from fedfactory.factory.encoders import SQUEEZENET, Key, read_key, write_key
from fedfactory.factory.fedbiomed import training as fedbiomed
from fedfactory.factory.fedbiomed.folder import announced, convert, describe
from fedfactory.factory.fedbiomed.server import check_announced
from fedfactory.factory.local_round import LocalState, local_round
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.plan import FactoryPlan
from fedfactory.factory.server import FactoryServer, initial_weights
from fedfactory.factory.training import FactoryTask
from fedfactory.federation.aggregation import uniform_mean
from fedfactory.federation.engines import simulated
from fedfactory.federation.engines.fedbiomed import node_watch
from fedfactory.federation.engines.fedbiomed.driver import node_folder
from fedfactory.federation.engines.fedbiomed.node_database import back_up_database, prune_states, restore_database
from fedfactory.federation.engines.fedbiomed.node_watch import find_clients, wait_for_approval
from fedfactory.federation.engines.fedbiomed.processes import environment
from fedfactory.federation.ledger import IN, OUT, read_ledger
from fedfactory.federation.sampling import sample_clients
from fedfactory.orchestration.progress import Progress
from tests.conftest import ROOT, wait_until
from tests.factory.test_plan import config
from tests.federation.conftest import CLIENTS, site_files

psutil = pytest.importorskip("psutil")
pytest.importorskip("fedbiomed")

# Draws (mid, far), (near, far), (near, mid): every client trains twice, one of them with a round in between.
SEED = 4
ENCODER = {"name": SQUEEZENET}
KEY = {"encoder": SQUEEZENET, "digest": "0" * 64, "values": [0.5, 0.25]}


def make_task(stores: Path, work: Path, **federation) -> FactoryTask:
    """The demo's model: two rounds that take seconds, so that they can be hit, and one of refinement."""
    parameters = FactoryPlan(config("demo")).parameters["mm"]
    federation = {
        "engine": "fedbiomed", "rounds": 2, "refinement_rounds": 1, "local_steps": 12, "refinement_steps": 2,
        "checkpoint_every": 1, "snapshots": 3, **federation,
    }  # fmt: skip
    parameters = replace(parameters, clients=CLIENTS, federation=replace(parameters.federation, **federation))
    return FactoryTask(
        parameters=parameters,
        encoder=ENCODER,
        sites=site_files(stores),
        seed=SEED,
        device="cpu",
        code="test",
        workers=2,
        work=work,
        logs=work / "logs",
    )


def written_out(task: FactoryTask) -> dict[str, torch.Tensor]:
    """The whole training as a loop that anyone can read."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    parameters = task.parameters
    sites = [
        load_client(client, Path(files["data"]), Path(files["factory_key.json"]), ENCODER, parameters, "cpu")
        for client, files in task.sites.items()
    ]
    model = FactoryModel(parameters.network)
    states = [LocalState(model, parameters.training) for _ in sites]
    weights = initial_weights(parameters, SEED)
    for number in range(parameters.federation.total_rounds):
        answers = []
        for k in sample_clients(SEED, number, len(CLIENTS), 2):
            model.load_state_dict(weights)
            local_round(model, states[k], sites[k], parameters, SEED, number)
            answers.append({name: value.clone() for name, value in model.state_dict().items()})
        weights = uniform_mean(answers)
    torch.set_num_threads(threads)
    return weights


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def train(task: FactoryTask) -> dict[str, torch.Tensor]:
    try:
        return fedbiomed.train(task, Progress("test")).weights
    finally:
        assert not processes_of(task.work), "a process outlived the training"


def processes_of(folder: Path) -> list:
    """Processes that name a folder in their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(str(folder) in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


class Accident(threading.Thread):
    """Sends a signal to a client's node in the middle of a round."""

    def __init__(self, work: Path, client: str, number: int, accident: signal.Signals):
        super().__init__(daemon=True)
        self.work, self.client, self.number, self.accident = work, client, number, accident
        self.happened = False
        self.start()

    def run(self) -> None:
        end = time.monotonic() + 180
        while time.monotonic() < end and not self.happened:
            if self.directions() == {IN}:
                (node,) = processes_of(node_folder(self.work, self.client))
                node.suspend()
                self.happened = self.directions() == {IN}
                node.send_signal(self.accident)
            time.sleep(0.005)

    def directions(self) -> set[str]:
        file = self.work / "sites" / self.client / "ledger.csv"
        rows = read_ledger(file) if file.exists() else []
        return {row["direction"] for row in rows if int(row["round"]) == self.number}


@pytest.mark.slow
@pytest.mark.fedbiomed
def test_equals_the_simulated_engine_and_the_training_written_out(keyed, tmp_path):
    task = make_task(keyed, tmp_path / "work")
    found = train(task)
    assert same(found, written_out(task))
    other = make_task(keyed, tmp_path / "simulated", engine="simulated")
    server = FactoryServer(other.parameters, SEED, other.work)
    specs = [other.client_spec(client) for client in CLIENTS]
    simulated.train(server, specs, "test", other.work, 2, Progress("test"))
    assert same(found, server.weights)
    for index, client in enumerate(CLIENTS):
        rows = read_ledger(task.work / "sites" / client / "ledger.csv")
        rounds = [number for number in range(3) if index in sample_clients(SEED, number, 3, 2)]
        assert [(int(row["round"]), row["direction"], row["field"]) for row in rows] == [
            (-1, OUT, "client"),
            (-1, OUT, "key"),
            *((number, way, "weights") for number in rounds for way in (IN, OUT)),
        ]
        key = read_key(Path(task.sites[client]["factory_key.json"]))
        told = fedbiomed.announced_keys(task.work)[client]
        assert torch.equal(told.values, key.values) and told.digest == key.digest
    assert sorted(file.name for file in (task.work / "snapshots").iterdir())[-1] == "round000003.pt"


@pytest.mark.slow
@pytest.mark.fedbiomed
def test_goes_on_bit_for_bit_after_a_hung_and_a_killed_node(keyed, tmp_path):
    task = make_task(keyed, tmp_path / "work", deadline=12)
    hang = Accident(task.work, "far", 0, signal.SIGSTOP)
    with pytest.raises(FedFactoryError, match=r"round 0 failed at .*client far: no answer within 12 s"):
        train(task)
    assert hang.happened

    task = make_task(keyed, tmp_path / "work")
    kill = Accident(task.work, "near", 1, signal.SIGKILL)
    with pytest.raises(FedFactoryError, match=r"node of client near ended .* start the job again"):
        train(task)
    assert kill.happened
    assert same(train(task), written_out(task))


@pytest.mark.slow
@pytest.mark.fedbiomed
def test_a_node_with_another_version_is_named(keyed, tmp_path):
    # What Python runs first in every process: the node of one site takes itself for another version.
    patch = tmp_path / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import sys\n"
        "if any(part.endswith('nodes/mid') for part in sys.orig_argv):\n"
        "    import fedfactory\n"
        "    fedfactory.__version__ = '0.0.9'\n"
    )
    task = make_task(keyed, tmp_path / "work")
    with pytest.MonkeyPatch.context() as context:
        context.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(patch), os.environ.get("PYTHONPATH")))))
        with pytest.raises(FedFactoryError, match=r"at client mid: the server runs fedfactory \S+, this client 0.0.9"):
            train(task)


@pytest.mark.slow
@pytest.mark.fedbiomed
def test_nothing_outlives_a_killed_job(keyed, tmp_path):
    work = tmp_path / "work"
    code = f"""
from pathlib import Path
from fedfactory.factory.fedbiomed import training
from fedfactory.orchestration.progress import Progress
from tests.federation.test_fedbiomed import make_task
training.train(make_task(Path({str(keyed)!r}), Path({str(work)!r})), Progress("test"))
"""
    job = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_until(lambda: len(processes_of(work / "fedbiomed")) == 4, 60)
    job.kill()
    job.wait()
    wait_until(lambda: not processes_of(work / "fedbiomed"), 60)


def test_the_missing_sites_are_named_at_the_deadline():
    def search(tags):
        return {"NODE_1": [{"name": "near", "description": json.dumps(KEY)}, {"name": "other", "description": ""}]}

    with pytest.raises(FedFactoryError, match=r"no answer within 0 s .* from the node of mid, far;"):
        find_clients(search, CLIENTS, 0, "key")
    assert find_clients(search, ("near",), 0, "key")["near"].announced == KEY


def test_a_node_that_is_connected_and_refuses_is_not_waited_for_longer(monkeypatch):
    """Fed-BioMed's search then never comes back."""
    monkeypatch.setattr(node_watch, "_GRACE_SECONDS", 0.1)
    with pytest.raises(FedFactoryError, match="a node is connected and does not answer .* another certificate"):
        find_clients(lambda tags: threading.Event().wait(60), CLIENTS, 0, "key")


def test_an_error_of_the_search_is_not_swallowed():
    def search(tags):
        raise ConnectionError("no route")

    with pytest.raises(ConnectionError, match="no route"):
        find_clients(search, CLIENTS, 0, "key")


def test_two_nodes_cannot_be_one_client():
    dataset = {"name": "near", "description": json.dumps(KEY)}
    with pytest.raises(FedFactoryError, match="two data sets are called near"):
        find_clients(lambda tags: {"NODE_1": [dataset], "NODE_2": [dataset]}, CLIENTS, 0, "key")


def test_keys_of_different_encoders_are_refused():
    with pytest.raises(FedFactoryError, match="near and mid were made by different weights"):
        check_announced({"near": KEY, "mid": {**KEY, "digest": "1" * 64}}, {"encoder": SQUEEZENET})
    with pytest.raises(FedFactoryError, match="key of near was made by squeezenet"):
        check_announced({"near": KEY}, {"encoder": "clip-vit-l-14"})
    with pytest.raises(FedFactoryError, match="the node of near announces no key"):
        check_announced({"near": {"encoder": SQUEEZENET}}, {"encoder": SQUEEZENET})


class Asked:
    """Stands for an experiment whose sites have a training plan to approve."""

    def __init__(self, **status):
        self.status, self.asked = status, 0

    def check_training_plan_status(self):
        self.asked += 1
        return {
            node: SimpleNamespace(approval_obligation=status != "Free", status=status)
            for node, status in self.status.items()
        }

    def training_plan_approve(self, description):
        self.status["n1"] = "Approved"


def test_a_training_waits_for_every_clients_approval():
    nodes = {"n1": "near", "n2": "mid"}
    waits = Asked(n1="Pending", n2="Free")
    wait_for_approval(waits, nodes, 60, "key")
    assert waits.asked == 2
    with pytest.raises(FedFactoryError, match=r"not approved within -1 s .* at near, mid;"):
        wait_for_approval(Asked(n1="Pending"), nodes, -1, "key")
    with pytest.raises(FedFactoryError, match="rejected at mid"):
        wait_for_approval(Asked(n1="Pending", n2="Rejected"), nodes, 60, "key")


def test_a_node_keeps_the_states_that_a_checkpoint_can_name(tmp_path):
    folder = tmp_path / "var" / "node_state_x" / "experiment_id_e"
    folder.mkdir(parents=True)
    for number in (1, 3, 6, 8):
        (folder / f"optim_state_{number}_node_state_{number}").touch()
    prune_states(tmp_path, "another", 12, 4)
    prune_states(tmp_path, "e", 9, 4)
    # Checkpoints before rounds 8 and 4; the one before round 4 needs the state of round 3.
    assert sorted(file.name[12] for file in folder.iterdir()) == ["3", "6", "8"]


def test_a_database_that_a_kill_cut_off_is_restored(tmp_path):
    database = tmp_path / "var" / "db_NODE.json"
    database.parent.mkdir()
    database.write_text(json.dumps({"Datasets": {}}))
    back_up_database(tmp_path)
    database.write_text('{"Datasets": {"1"')
    restore_database(tmp_path)
    assert json.loads(database.read_text()) == {"Datasets": {}}


def test_children_do_not_inherit_what_would_change_them(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://nowhere")
    monkeypatch.setenv("FBM_SERVER_PORT", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = environment({"FBM_SERVER_HOST": "localhost"})
    assert "https_proxy" not in found and "FBM_SERVER_PORT" not in found
    assert found["OMP_NUM_THREADS"] == "1" and found["FBM_SERVER_HOST"] == "localhost"


def test_a_nodes_folder_holds_no_label_and_no_count(tmp_path, stores):
    key = read_key(stores / "near" / "factory_key.json")
    description = describe("near", key, ENCODER, 3, tmp_path / "node", tmp_path / "records")
    convert(description, stores / "near" / "data", 32, tmp_path / "folder")
    assert sorted(file.name for file in (tmp_path / "folder").iterdir()) == [
        "client.json",
        "images.npy",
        "positions.npy",
        "subjects.npy",
    ]
    assert len(np.load(tmp_path / "folder/images.npy")) == 3 * 4, "in three copies, as described"
    assert announced(key).keys() == description.announced.keys() == {"encoder", "digest", "values"}


def test_the_simulated_engine_never_imports_fedbiomed():
    code = (
        "import sys, fedfactory.factory.training, fedfactory.federation.engines.fedbiomed.driver\n"
        "assert not any(name.split('.')[0] == 'fedbiomed' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.fedbiomed
def test_a_client_that_fails_tells_the_server_a_fixed_sentence(keyed, tmp_path):
    """On one machine the job adds what the client's own log says; the server's log does not hold it."""
    task = make_task(keyed, tmp_path / "work", refinement_rounds=1)
    for client in CLIENTS:
        file = keyed / client / "factory_key.json"
        key = read_key(file)
        write_key(file, Key(key.encoder, "0" * 64, key.images, key.values))
    told = r"its part failed \(FedFactoryError\).*client \w+: the key was made by .* 0{12}, but"
    with pytest.raises(FedFactoryError, match=told):
        train(task)
    rows = [row for client in CLIENTS for row in read_ledger(task.work / "sites" / client / "ledger.csv")]
    assert {row["field"] for row in rows} == {"client", "key", "failure"}
    assert "the key was made by" not in (task.logs / "researcher.log").read_text()
