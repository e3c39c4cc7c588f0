"""The process of one client's node on this machine: creates the node where there is none, then is the node.

One process per node: Fed-BioMed's database is one object of a process, whatever node it was opened for.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from pathlib import Path

from fedfactory.federation.engines.fedbiomed.folder import TAG, read_description
from fedfactory.federation.engines.fedbiomed.node_database import drop_waiting_tasks, restore_database
from fedfactory.federation.lifetime import die_with_parent

# A node trains what its client approved and does nothing else.
_CLOSED = {
    "FBM_SECURITY_ALLOW_DEFAULT_TRAINING_PLANS": "False",
    "FBM_SECURITY_ALLOW_FEDERATED_ANALYTICS": "False",
    "FBM_SECURITY_ALLOW_PREPROC": "False",
    "FBM_SECURITY_FORCE_SECURE_AGGREGATION": "False",
    "FBM_SECURITY_SECURE_AGGREGATION": "False",
}


def settings(host: str, port: int, *, approval: bool) -> dict[str, str]:
    """Environment that a node is created with, and that one on this machine runs with.

    Args:
        host: of the server, exactly as in its certificate.
        port: of the server.
        approval: whether the client approves the training plan before anything runs.
    """
    return {
        **_CLOSED,
        "FBM_SECURITY_TRAINING_PLAN_APPROVAL": str(approval),
        "FBM_RESEARCHER_IP": host,
        "FBM_RESEARCHER_PORT": str(port),
    }


def prepare_node(node: Path, folder: Path) -> None:
    """Create a node and register its client's folder, where that is not done yet.

    The environment holds what :func:`settings` gives. Once per process.

    Args:
        node: folder of the node.
        folder: folder of the client.
    """
    from fedbiomed.common.constants import CONFIG_FOLDER_NAME
    from fedbiomed.node.config import node_component
    from fedbiomed.node.dataset_manager import DatasetManager

    description = read_description(folder)
    config = node_component.initiate(root=str(node), alias=description.client)
    manager = DatasetManager(str((node / CONFIG_FOLDER_NAME / config.get("default", "db")).resolve()))
    announced = json.dumps(description.announced)
    wanted = {"name": description.client, "path": str(folder), "description": announced}
    registered = manager.dataset_table.search_by_tags([TAG])
    if not any(wanted.items() <= entry.items() for entry in registered):
        # A data set of Fed-BioMed is found by its tags: a node has one.
        for entry in registered:
            manager.delete_dataset_by_id(entry["dataset_id"])
        manager.add_database(data_type="custom", tags=[TAG], **wanted)


def main() -> None:
    """Run a node until this process is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    restore_database(arguments.node)
    drop_waiting_tasks(arguments.node)
    prepare_node(arguments.node, arguments.folder)
    module = "fedbiomed.node.node_pm"
    sys.argv = [module, "--config", str(arguments.node), "--node-args", json.dumps({"gpu": arguments.gpu})]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
