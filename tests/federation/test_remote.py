"""Clients that run their own nodes, as hospitals do: prepared by a command, approved by hand."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fedfactory.federation.engines.fedbiomed.processes import free_port
from tests.adaptation.conftest import write_discs
from tests.baselines.test_federated_cells import content, run

pytest.importorskip("fedbiomed")

CLIENTS = ("first", "second")
PROGRAM = str(Path(sys.executable).with_name("fedbiomed"))


def pending(node: Path) -> str | None:
    """Id of a training plan that waits for its client's approval."""
    for database in (node / "var").glob("db_*.json"):
        try:
            tables = json.loads(database.read_text())
        except ValueError:  # While Fed-BioMed writes it.
            continue
        for table in tables.values():
            for entry in table.values():
                if entry.get("training_plan_status") == "Pending":
                    return str(entry["training_plan_id"])
    return None


def approve(node: Path, approved: list[Path], environment: dict[str, str]) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        if plan := pending(node):
            command = [PROGRAM, "node", "--path", str(node), "training-plan", "approve", "--id", plan]
            subprocess.run(command, check=True, env=environment, capture_output=True)
            approved.append(node)
            return
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.fedbiomed
def test_clients_that_run_their_own_nodes_approve_train_and_keep_their_losses(tmp_path, monkeypatch):
    stores = {name: str(write_discs(tmp_path / "stores" / name, seed)) for seed, name in enumerate(CLIENTS)}
    whole = content(run(stores, tmp_path / "simulated", "fedmedgan", rounds=2))
    port, approved, running, approving = free_port(), [], [], []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        for client, store in stores.items():
            node = tmp_path / "nodes" / client
            prepare = ["--method", "fedmedgan", "--client", client, "--data", store, "--node", str(node)]
            said = subprocess.run(
                [sys.executable, "-m", "fedfactory.methods.federated.join", *prepare, "--host", "localhost",
                 "--port", str(port)], check=True, env=environment, capture_output=True, text=True,
            ).stdout  # fmt: skip
            assert "methods/fedmedgan/shipped.py" in said and f"localhost:{port}" in said
            log = (tmp_path / f"{client}.log").open("w")
            running.append(subprocess.Popen([PROGRAM, "node", "--path", str(node), "start"], env=environment,
                                            stdout=log, stderr=log, start_new_session=True))  # fmt: skip
            approving.append(threading.Thread(target=approve, args=(node, approved, environment), daemon=True))
            approving[-1].start()
        monkeypatch.setenv("FBM_RESEARCHER_COMPONENT_ROOT", str(tmp_path / "researcher"))
        monkeypatch.setenv("FBM_SERVER_HOST", "localhost")
        monkeypatch.setenv("FBM_SERVER_PORT", str(port))
        away = dict.fromkeys(stores, "")
        model = run(away, tmp_path / "server", "fedmedgan", rounds=2, engine="fedbiomed", mode="remote", deadline=200)
    finally:
        for process in running:
            os.killpg(process.pid, 9)
    for thread in approving:
        thread.join(60)
    assert len(approved) == len(CLIENTS), "nothing was trained before the clients said so"
    found = content(model)
    assert found[Path("weights.pt")] == whole[Path("weights.pt")]
    for client in CLIENTS:
        ledger = Path("sites", client, "ledger.csv")
        (own,) = (tmp_path / "nodes" / client / "records").iterdir()
        assert found[ledger] == (own / "ledger.csv").read_bytes() == whole[ledger]
        losses = Path("sites", client, "losses.csv")
        assert (own / "losses.csv").read_bytes() == whole[losses] and found[losses].count(b"\n") == 1
