"""A run's seal: digests of all its results and records, signed with somebody's own SSH key by ``ssh-keygen -Y``.

Records say what jobs did, and whoever can write files can write records. A seal says that none of them has changed
since somebody signed for it::

    .seal.json        digest of every result and every record, by name below the run's folder
    .seal.json.sig    its signature
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fedfactory.errors import FedFactoryError
from fedfactory.provenance.record import change, file_digest, results_of
from fedfactory.storage.files import new_file, parse_json

SEAL, SIGNATURE = ".seal.json", ".seal.json.sig"
_NAMESPACE = "fedfactory"
_ANYBODY = "whoever"


def seal(folder: Path, key: Path) -> int:
    """Sign for a run's folder as it is.

    Args:
        folder: of the run.
        key: private key, or the public half of one that an agent holds.

    Returns:
        Number of files.

    Raises:
        FedFactoryError: there is no key, or it cannot sign.
    """
    if not key.is_file():
        raise FedFactoryError(f"{key}: is no file with an SSH key; make one with: ssh-keygen -t ed25519")
    files = _digests(folder)
    (folder / SIGNATURE).unlink(missing_ok=True)
    with new_file(folder / SEAL) as path:
        path.write_text(json.dumps({"files": files}, indent=1) + "\n")
    _ssh_keygen("sign", "-f", str(key), "-n", _NAMESPACE, str(folder / SEAL))
    return len(files)


def broken(folder: Path) -> list[str]:
    """Sentences about what has changed since a folder was sealed; none if nothing has, or if it has no seal."""
    if not is_sealed(folder):
        return []
    sealed, found = _read(folder / SEAL), _digests(folder)
    return [
        f"{name}: {what} since the run was sealed"
        for name in sorted(sealed.keys() | found.keys())
        if (what := change(sealed.get(name), found.get(name)))
    ]


def is_sealed(folder: Path) -> bool:
    """Whether a run's folder has a seal, whoever made it."""
    return (folder / SEAL).exists() or (folder / SIGNATURE).exists()


def signer(folder: Path, signers: Path) -> str:
    """Who sealed a run's folder.

    Args:
        folder: of the run.
        signers: a public key, or a file of allowed signers (``man ssh-keygen``).

    Returns:
        The signer's name there; of a public key the file's.

    Raises:
        FedFactoryError: nobody, or somebody else.
    """
    if not ((folder / SEAL).is_file() and (folder / SIGNATURE).is_file()):
        raise FedFactoryError(f"{folder}: is unsealed; whoever made it seals it with: fedfactory seal {folder}")
    try:
        text = signers.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise FedFactoryError(f"{signers}: is no file of public keys ({error})") from None
    with tempfile.TemporaryDirectory() as temporary:
        allowed = Path(temporary) / "signers"
        # A public key begins with its kind, a line of allowed signers with names.
        alone = text.startswith(("ssh-", "ecdsa-", "sk-"))
        allowed.write_text(f"{_ANYBODY} {text}" if alone else text)
        seals = ["-s", str(folder / SIGNATURE), "-f", str(allowed)]
        try:
            found = _ssh_keygen("find-principals", *seals).split("\n")[0].split(",")[0]
            content = (folder / SEAL).read_bytes()
            _ssh_keygen("verify", *seals, "-I", found, "-n", _NAMESPACE, content=content)
        except FedFactoryError as error:
            raise FedFactoryError(f"{folder}: is not sealed by a key of {signers} ({error})") from None
    return signers.name if alone else found


def _read(file: Path) -> Mapping[str, str]:
    try:
        files = parse_json(file.read_text())["files"]
        if not all(isinstance(text, str) for pair in files.items() for text in pair):
            raise TypeError("digests are texts")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FedFactoryError(f"{file}: is no seal of a run ({error}); have it sealed again") from None
    return files


def _digests(folder: Path) -> dict[str, str]:
    """Of results and records."""
    return {file.relative_to(folder).as_posix(): file_digest(file) for file in results_of(folder, records=True)}


def _ssh_keygen(action: str, *arguments: str, content: bytes | None = None) -> str:
    try:
        done = subprocess.run(
            ["ssh-keygen", "-Y", action, *arguments],
            input=content,
            stdin=subprocess.DEVNULL if content is None else None,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise FedFactoryError("ssh-keygen is not installed: it signs and checks seals (OpenSSH 8.2 or later)") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().split("\n")[-1]
        raise FedFactoryError(f"ssh-keygen: {said or 'it failed'}")
    return done.stdout.decode(errors="replace").strip()
