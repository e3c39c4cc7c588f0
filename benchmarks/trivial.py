"""Every row of a finished run beside a predictor that looks at no image.

    python -m benchmarks.trivial results/demo --out docs/benchmarks

The trivial predictor marks, in every slice of every test volume, the mean of the masks of M_t: the pixels that a class
has in half of the slices or more, or, where no pixel reaches the half, those that it has most often; the likelier class
wins. It is scored as every method is, in raw geometry. The last column counts the targets where a row is
better.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import tables
from benchmarks.cells import CONFIG, ROOT, Values, cell, rows
from fedfactory.config.run import Config, load_config, read_yaml
from fedfactory.data.store import ClientView
from fedfactory.evaluation import specification
from fedfactory.evaluation.metrics import Ruler
from fedfactory.evaluation.scores import score_cell
from fedfactory.evaluation.subjects import LABELS
from fedfactory.methods.contract import Segmenter, predict_cases
from fedfactory.orchestration.labels import Labels
from fedfactory.orchestration.progress import Progress

NAME = "trivial"


def trivial(view: ClientView) -> Segmenter:
    """The mean mask of M_t, whatever the image."""
    labels = view.few_shot().labels
    shares = np.stack([(labels == value).mean(0) for value in range(1, len(view.classes) + 1)])
    # A class that no pixel has in half of the slices is marked where it is most often.
    limits = np.minimum(0.5, shares.max((1, 2)))[:, None, None]
    likely = np.where(shares >= np.maximum(limits, 1e-9), shares, 0)
    mask = np.where(likely.max(0) > 0, likely.argmax(0) + 1, 0).astype(np.uint8)
    return lambda images: np.broadcast_to(mask, images.shape).copy()


def scored(config: Config, client: Path, target: tuple[str, str], folder: Path) -> list[float] | None:
    """Dice of the trivial predictor at a target, in percent."""
    view = ClientView(client / "data", Labels(few_shot=None))
    predict_cases(view, trivial(view), folder / "predictions", Progress(NAME))
    subjects = {row.case: row.subject for row in view.rows if row.split == "test" and row.labelled}
    p = specification.score(config, {"setup": target[0], "client": target[1], "method": NAME, "seed": "0"})
    ruler, out = Ruler(p["tolerance"], p["planar"]), folder / "seed0" / "scores.csv"
    out.parent.mkdir()
    counts = dict(zip(LABELS, view.labels.count(view.rows), strict=True))
    truth, predicted = client / "truth", folder / "predictions"
    score_cell(p["cell"] | counts, view.classes, subjects, truth, predicted, ruler, p["orientation"], out)
    return cell(folder, [0], agreement=False)


def main() -> None:
    """Write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    arguments = parser.parse_args()
    config = load_config(read_yaml(CONFIG, CONFIG.name), [CONFIG], ROOT)
    targets = [(name, target) for name, setup in config.setups.items() for target in setup.targets]
    found: dict[str, dict[tuple[str, str], Values]] = {NAME: {}}
    for key in targets:
        with tempfile.TemporaryDirectory() as folder:
            found[NAME][key] = scored(config, arguments.run.joinpath(*key), key, Path(folder))
    for method in config.methods:
        found[method] = {key: cell(arguments.run.joinpath(*key, method), [0], agreement=False) for key in targets}
    lines = rows(found, ranked=False)
    for line in lines:
        cells = found[line["row"]]
        better = [cells[key][0] > found[NAME][key][0] for key in targets if cells[key] is not None]
        line["above trivial"] = "" if line["row"] == NAME else f"{sum(better)} of {len(better)}"
    tables.write(lines, arguments.out, NAME)


if __name__ == "__main__":
    main()
