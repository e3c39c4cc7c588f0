"""The simulated engine: the same weights however it runs, also after a kill."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from fedfactory.errors import FedFactoryError
from fedfactory.factory.local import LocalState, local_round
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.site_data import load_site
from fedfactory.federation import simulated
from fedfactory.federation.ledger import read_ledger
from fedfactory.federation.server import Server
from fedfactory.progress import Progress
from tests.federation.conftest import CLIENTS, small_parameters

pytestmark = pytest.mark.slow


def run(parameters, tasks, work: Path, workers: int = 2, progress=None) -> Server:
    return simulated.train(parameters, tasks, 7, "test", work, workers, progress or Progress("test"))


def in_this_process(parameters, tasks, folder: Path) -> Server:
    """The training written out: what every engine must reproduce."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    server = Server(parameters, 7, folder)
    model = FactoryModel(parameters.network)
    sites = [load_site(t.client, Path(t.data), Path(t.key), t.encoder, parameters, "cpu") for t in tasks]
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


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_equals_the_training_written_out_and_any_number_of_workers(site_tasks, tmp_path):
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
    def update(self, done, total, message=""):
        if done == 2:
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


def test_a_killed_client_ends_the_job_with_a_sentence_and_loses_nothing(site_tasks, tmp_path):
    parameters = small_parameters(rounds=3)
    whole = run(parameters, site_tasks(parameters, tmp_path / "whole"), tmp_path / "whole")
    tasks = site_tasks(parameters, tmp_path / "cut")
    with pytest.raises(FedFactoryError, match=r"the process of client \w+ ended \(exit code -9\)"):
        run(parameters, tasks, tmp_path / "cut", progress=_KillOne("cut"))
    assert same(whole.weights, run(parameters, tasks, tmp_path / "cut").weights)


def test_bad_data_at_a_client_is_named(site_tasks, stores, tmp_path):
    import numpy as np

    images = np.load(stores / "mid/data/images.npy")
    np.save(stores / "mid/data/images.npy", images * 2)
    parameters = small_parameters()
    with pytest.raises(FedFactoryError, match=r"client mid: .*images leave \[-1, 1\]"):
        run(parameters, site_tasks(parameters, tmp_path / "w"), tmp_path / "w")
    assert not multiprocessing.active_children()


def test_the_aggregator_opens_no_store(site_tasks, stores, tmp_path):
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
    from fedfactory.federation.checkpoints import Checkpoints

    first = Checkpoints(tmp_path, "code 1")
    for number in (1, 2, 3):
        first.save(number, {"round": number})
    assert Checkpoints(tmp_path, "code 1").rounds() == [2, 3]
    assert Checkpoints(tmp_path, "code 1").load(3) == {"round": 3}
    assert Checkpoints(tmp_path, "code 2").rounds() == []
