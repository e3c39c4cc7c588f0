"""Files of a node: Fed-BioMed deletes none and guards none against a kill."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from fedfactory.storage.files import new_file

_STATE = re.compile(r"optim_state_(\d+)_.+")
_BACKUP = "backup_of_"


def back_up_database(node: Path) -> None:
    """Copy the node's database, which Fed-BioMed rewrites in place at the end of a round.

    Called while a round trains: nobody writes into it then.
    """
    for database in (node / "var").glob("db_*.json"):
        with new_file(database.with_name(_BACKUP + database.name)) as copy:
            shutil.copyfile(database, copy)


def restore_database(node: Path) -> None:
    """Put the copy in place of a database that a kill cut off; it knows all states that a checkpoint can name."""
    for database in (node / "var").glob("db_*.json"):
        backup = database.with_name(_BACKUP + database.name)
        if backup.is_file() and not _whole(database):
            shutil.copyfile(backup, database)


def drop_waiting_tasks(node: Path) -> None:
    """Forget rounds that were asked for and not begun when the node was killed: the server asks again."""
    for queue in (node / "var").glob("queue_*"):
        shutil.rmtree(queue)


def prune_states(node: Path, experiment: str, round_number: int, checkpoint_every: int) -> None:
    """Remove states that no checkpoint of the server can name any more.

    In a round the server holds the last checkpoint and the one before. Both need the node's newest state of an
    earlier round.

    Args:
        node: folder of the node.
        experiment: Fed-BioMed's id of the training.
        round_number: the round that is being trained; its state is not written yet.
        checkpoint_every: rounds between two checkpoints.
    """
    oldest = (round_number // checkpoint_every - 1) * checkpoint_every
    files = (node / "var").glob(f"node_state_*/experiment_id_{experiment}/*")
    rounds = {file: int(found[1]) for file in files if (found := _STATE.fullmatch(file.name))}
    needed = max((number for number in rounds.values() if number < oldest), default=0)
    for file, number in rounds.items():
        if number < needed:
            file.unlink()


def _whole(database: Path) -> bool:
    try:
        return isinstance(json.loads(database.read_text()), dict)
    except ValueError:
        return False
