"""What one end of a border writes down: ledger and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedfactory.federation.ledger import ANNOUNCEMENT, OUT, Ledger, read_ledger
from fedfactory.federation.loss_table import LOSSES, keep_rows
from fedfactory.federation.message import CLIENT, Allowlist


def open_records(
    folder: Path, allowlist: Allowlist, announcement: Mapping[str, Any], loss_columns: Sequence[str], round_number: int
) -> Ledger:
    """Open the records of a client before a round; what they hold of this round and later ones is dropped.

    The first entry is what crosses when the client is registered.

    Args:
        folder: made where missing.
        allowlist: of the federation.
        announcement: at least the client's name.
        loss_columns: names of the losses of a round.
        round_number: counted from 0.

    Raises:
        FedFactoryError: something in the announcement that may not cross.
    """
    ledger = Ledger(folder, allowlist, until_round=round_number or ANNOUNCEMENT)
    if not read_ledger(ledger.file):
        ledger.record(ANNOUNCEMENT, announcement[CLIENT], OUT, announcement)
    keep_rows(folder / LOSSES, loss_columns, round_number)
    return ledger
