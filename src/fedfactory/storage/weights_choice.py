"""The choice of a network by name and, where its weights are a file of the user's, of that file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fedfactory.errors import FedFactoryError

DIGEST = re.compile("[0-9a-f]{64}")
TINY = "procedural-tiny"
"""Name of weights that the workflow makes itself, by pre-training a small foundation model on procedural tasks."""
_KEYS = ("name", "checkpoint", "sha256")


def check_choice(
    values: Mapping[str, Any], key: str, kind: str, names: Sequence[str], from_file: str, refusal: str
) -> tuple[str, str | None, str | None]:
    """Check a section of the configuration with the keys ``name``, ``checkpoint`` and ``sha256``.

    Args:
        values: the section.
        key: where it is, for messages.
        kind: what is chosen, for messages.
        names: of the networks to choose from.
        from_file: the one whose weights are a file of the user's.
        refusal: why the others take no file, for messages.

    Returns:
        Name, file and digest; the last two may be None.

    Raises:
        FedFactoryError: an unknown network or key, a value of the wrong type, or a file for another network.
    """
    unknown = [name for name in values if name not in _KEYS]
    if unknown:
        raise FedFactoryError(f"key '{key}.{unknown[0]}' is unknown; known are {', '.join(_KEYS)}")
    name, checkpoint, sha256 = (values.get(part) for part in _KEYS)
    if not isinstance(name, str) or name not in names:
        raise FedFactoryError(f"key '{key}.name': {name!r} is no {kind}; known are {', '.join(names)}")
    if checkpoint is not None and (not isinstance(checkpoint, str) or not checkpoint):
        raise FedFactoryError(f"key '{key}.checkpoint': {checkpoint!r} is no path; give a file or null")
    if sha256 is not None and not (isinstance(sha256, str) and DIGEST.fullmatch(sha256)):
        raise FedFactoryError(f"key '{key}.sha256': {sha256!r} is not 64 lower-case hexadecimal digits")
    if name != from_file and (checkpoint or sha256):
        given = "checkpoint" if checkpoint else "sha256"
        raise FedFactoryError(f"key '{key}.{given}': {name} {refusal}; leave the key out")
    return name, checkpoint, sha256
