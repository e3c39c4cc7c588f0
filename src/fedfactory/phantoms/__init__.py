"""Procedural phantom sites: random anatomy, contrast by signal equations, files in the layouts of the releases."""

from pathlib import Path

from fedfactory.errors import FedFactoryError
from fedfactory.phantoms import layouts
from fedfactory.phantoms.scans import Subject
from fedfactory.phantoms.sites import SITES

__all__ = ["write_site"]

_MO_WRITERS = {
    "oasis": layouts.write_oasis,
    "swi": layouts.write_swi,
    "octa": layouts.write_octa,
    "ixi": layouts.write_ixi,
}


def write_site(
    setup: str, client: str, out: Path, *, seed: int, subjects: int, size: int = 64, slices: int = 10
) -> None:
    """Write the raw data of one phantom site in the layout of the release that it stands for.

    The same arguments give the same bytes. Subject k does not depend on ``subjects``.

    Args:
        setup: ``ms`` (cardiac cine), ``mm`` (heads) or ``mo`` (vessels).
        client: ``siemens``, ``philips``, ``ge``, ``canon``; ``ct``, ``pet``, ``pdw``, ``t2w``; ``oasis``, ``swi``,
            ``octa``, ``ixi``.
        out: folder to write below; created where missing.
        seed: seed of all random streams.
        subjects: number of subjects, at least 1.
        size: in-plane matrix, about; each site adds or drops a few voxels. At least 32.
        slices: slices of a volume, at least 6 (OCTA has none).

    Raises:
        FedFactoryError: the setup or client is unknown, or a number is too small.
    """
    known = "; ".join(f"{name}: {', '.join(sites)}" for name, sites in SITES.items())
    if setup not in SITES or client not in SITES[setup]:
        raise FedFactoryError(f"there is no phantom site {setup!r}/{client!r}; known are {known}")
    for name, value, least in (("subjects", subjects, 1), ("size", size, 32), ("slices", slices, 6)):
        if value < least:
            raise FedFactoryError(f"{name} is {value}, phantom sites need at least {least}")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    people = [Subject(seed, setup, client, k) for k in range(subjects)]
    if setup == "ms":
        layouts.write_mnms_table(out, [layouts.write_mnms(out, p, size, slices) for p in people])
        return
    write = layouts.write_synthstrip if setup == "mm" else _MO_WRITERS[client]
    for person in people:
        write(out, person, size, slices)
