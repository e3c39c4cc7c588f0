"""Small phantom sites, written once for all tests of this folder."""

from pathlib import Path

import pytest

from fedfactory.phantoms import write_site

SMALL = {"size": 56, "slices": 8}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory):
    """Return a function that writes a small site (seed 1, six subjects) on first use and gives its folder."""
    written: dict[tuple[str, str], Path] = {}

    def get(setup: str, client: str) -> Path:
        if (setup, client) not in written:
            out = tmp_path_factory.mktemp(client) / "site"
            write_site(setup, client, out, seed=1, subjects=6, **SMALL)
            written[setup, client] = out
        return written[setup, client]

    return get
