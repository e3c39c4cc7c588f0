"""Files of published weights: fetched, checked, or refused."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fedfactory.config.parameters import STRICT, Count, Digest
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import new_file

_TRIES, _PAUSE = 3, 5.0
_PART = 1 << 20

Opener = Callable[[str], IO[bytes]]


@dataclass(frozen=True)
class Weights:
    """One entry of config/weights.yaml.

    Attributes:
        file: its name below the project's folder ``weights``.
        url: where it comes from; None where its owner wants it fetched by hand.
        licence: its name.
        consent: whether the licence must be accepted by name before the file is fetched.
        sha256: digest of the file; None where nobody has measured it.
        bytes: its size; None as well.
        seen: what it was trained on, as far as that bears on the benchmark's test sets; the table prints it.
    """

    __pydantic_config__ = STRICT
    file: str
    url: str | None
    licence: str
    consent: bool
    sha256: Digest | None
    bytes: Count | None
    seen: str = ""


def require_consent(name: str, entry: Weights, accepted: Collection[str]) -> None:
    """Refuse weights whose licence has to be accepted, and is not: nothing is fetched, and no file of theirs is used.

    Args:
        name: of the entry.
        entry: the entry.
        accepted: names of the licences that the configuration accepts.

    Raises:
        FedFactoryError: the licence is not among them.
    """
    if entry.consent and entry.licence not in accepted:
        raise FedFactoryError(
            f"{name}: read its licence and accept it by name in the configuration before these weights are fetched or "
            f"used: accept_licences: ['{entry.licence}']"
        )


def fetch(name: str, entry: Weights, path: Path, progress: Progress, opener: Opener | None = None) -> None:
    """Download a file that is not there yet; it appears whole, and only if it is the right one.

    Args:
        name: of the entry.
        entry: the entry.
        path: of the file.
        progress: updated with bytes.
        opener: opens a URL; a test's.

    Raises:
        FedFactoryError: no URL, no connection after three tries, or another file.
    """
    if entry.url is None:
        raise FedFactoryError(f"{path} is missing, and its owner wants it fetched by hand; see config/weights.yaml")
    for left in reversed(range(_TRIES)):
        try:
            with new_file(path) as file:
                _download(entry, file, progress, opener or _open)
                if entry.sha256 is not None:
                    check(name, entry, file)
            return
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            if not left:
                raise FedFactoryError(
                    f"{entry.url} cannot be fetched ({error}); put the file at {path} by hand"
                ) from None
            time.sleep(_PAUSE)


def check(name: str, entry: Weights, path: Path) -> str:
    """Check size and digest of a file.

    Returns:
        Its digest.

    Raises:
        FedFactoryError: another file, a part of it, or one whose digest nobody has entered.
    """
    size = path.stat().st_size
    if entry.bytes is not None and size != entry.bytes:
        raise FedFactoryError(
            f"{path} has {size} bytes, and {name} {entry.bytes}: it is cut off or another file; remove it and get it "
            "again"
        )
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if entry.sha256 is None:
        raise FedFactoryError(
            f"config/weights.yaml: key '{name}.sha256' is null; if you trust where {path} comes from, enter {digest}"
        )
    if digest != entry.sha256:
        raise FedFactoryError(
            f"{path} has the SHA-256 {digest}, and {name} {entry.sha256}: it is another file; remove it and get it "
            "again"
        )
    return digest


def write_record(file: Path, name: str, entry: Weights, digest: str) -> None:
    """Write which weights are in use: name, licence and digest, as JSON."""
    content = {"weights": name, "sha256": digest, "licence": entry.licence}
    file.write_text(json.dumps(content, indent=1) + "\n")


def _download(entry: Weights, file: Path, progress: Progress, opener: Opener) -> None:
    done = 0
    assert entry.url is not None, "files without an address are fetched by hand"
    with closing(opener(entry.url)) as answer, file.open("wb") as target:
        # Where nobody has measured the file, the server's word must do.
        wanted = entry.bytes or int(getattr(answer, "headers", {}).get("Content-Length") or 0)
        while part := answer.read(_PART):
            target.write(part)
            done += len(part)
            progress.update(done, max(done, wanted), "bytes")
    if done < wanted:
        raise ConnectionError(f"the connection ended after {done} of {wanted} bytes")


def _open(url: str) -> IO[bytes]:
    if not url.startswith("https://"):
        raise FedFactoryError(f"{url}: only https is fetched")
    return urllib.request.urlopen(url, timeout=60)
