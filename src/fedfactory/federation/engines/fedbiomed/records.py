"""What one end of a border writes down: ledger and losses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedfactory.factory.local_round import LOSS_COLUMNS
from fedfactory.federation.ledger import ANNOUNCEMENT, OUT, Ledger, read_ledger
from fedfactory.federation.loss_table import LOSSES, keep_rows
from fedfactory.federation.message import Allowlist

if TYPE_CHECKING:
    from torch import Tensor


def open_records(folder: Path, allowlist: Allowlist, client: str, key: Tensor, round_number: int) -> Ledger:
    """Open the records of a client before a round; what they hold of this round and later ones is dropped.

    The first entry is what crosses when the client is registered: its name and its key.

    Args:
        folder: made where missing.
        allowlist: of the federation.
        client: name of the client.
        key: its key, (key_size,) float32.
        round_number: counted from 0.

    Raises:
        FedFactoryError: the name or the key is not one that may cross.
    """
    ledger = Ledger(folder, allowlist, until_round=round_number or ANNOUNCEMENT)
    if not read_ledger(ledger.file):
        ledger.record(ANNOUNCEMENT, client, OUT, {"client": client, "key": key})
    keep_rows(folder / LOSSES, LOSS_COLUMNS, round_number)
    return ledger
