"""BBBC038 (setup NUC): nuclei of the 2018 Data Science Bowl, ``stage1_train/<id>/images/<id>.png`` and ``masks/*.png``.

Caicedo et al., Nature Methods 2019. Masks hold one nucleus each and are read as their union. The release mixes
microscopes: ``sites.csv`` (image, site) in its folder says which picture is whose; docs/real.md has ours. Pixels are
half a micrometre wide (nominal: the files do not say it).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import Problem, RawCase, Union
from fedfactory.data.tables import read_table
from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import inside

_PIXEL_MM = 0.0005
_TABLE, _COLUMNS = "sites.csv", ("image", "site")


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem | Path]:
    """List the pictures of one ``site``; ``channel`` says what is read of their colours."""
    values = read_options(options, {"site": str, "channel": "grey"}, where)
    table = root / _TABLE
    if not lies_there(table):
        raise FedFactoryError(
            f"{where}: {table} is missing, which says what picture is of what site; docs/real.md says how to get it"
        )
    yield table
    rows = read_table(table, _COLUMNS)
    if values["site"] not in (sites := sorted({row.values["site"] for row in rows})):
        raise FedFactoryError(f"{where}: {table} has no site '{values['site']}'; it has {', '.join(sites)}")
    for row in rows:
        if row.values["site"] != values["site"]:
            continue
        name = row.values["image"]
        folder = inside(root, f"stage1_train/{name}", f"{row.place}, column 'image'")
        image, masks = folder / "images" / f"{name}.png", matching(folder, "masks/*.png")
        if not lies_there(image) or not masks:
            yield Problem(f"{row.place}: {image if masks else folder / 'masks'} is missing; add it or remove the line")
            continue
        yield RawCase(
            subject=name,
            name=name,
            image=ImageFile(image, channel=values["channel"], pixel_mm=_PIXEL_MM),
            label=Union(tuple(ImageFile(mask, pixel_mm=_PIXEL_MM) for mask in masks)),
        )
