"""What the jobs of tables, pictures and the page are told, and the files that they get in the same order."""

import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from fedfactory.config.run import Config, load_config, read_yaml
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation import inputs, specification
from fedfactory.evaluation.table_cells import Study
from tests.conftest import ROOT
from tests.page.conftest import write_scores

STRICT = ["nnunet", "ours_strict"]


@pytest.fixture(scope="module", params=["demo", "test"])
def config(request: pytest.FixtureRequest) -> Config:
    file = ROOT / f"config/{request.param}.yaml"
    return replace(load_config(read_yaml(file, file.name), [file], ROOT), seeds=(0, 1, 2))


def test_no_specification_names_a_path(config: Config):
    cell = {"setup": "mo", "client": "octa", "method": "ours", "seed": "0"}
    told = [getattr(specification, name)(config) for name in ("table1", "gap", "gallery", "figure2", "failures")]
    told += [specification.strict(config, STRICT), specification.page(config, STRICT, ())]
    told += [specification.score(config, cell), specification.slices(config, cell), specification.charts(config, ())]
    assert not [text for text in map(json.dumps, told) if f"results/{config.run}" in text or ".png" in text]


def test_files_come_in_the_order_of_what_they_are_about(config: Config):
    for spec, files in (
        (specification.table1(config), inputs.cell_files(config, "scores.csv")),
        (specification.strict(config, STRICT), inputs.cell_files(config, "scores.csv", STRICT)),
        (specification.gap(config), inputs.gap_files(config, "scores.csv")),
    ):
        cells = [PurePosixPath(file).parts[2:6] for file in files]
        assert cells == [
            (column["setup"], column["target"], row["method"], f"seed{seed}")
            for column in spec["columns"]
            for row in spec["rows"]
            for seed in spec["seeds"]
        ]
    grid, panels = specification.cells(config), inputs.cells_panels(config)
    assert len(panels) == len(grid["rows"]) * len(grid["columns"])
    assert len(inputs.previews(config)) == sum(len(row["clients"]) for row in specification.gallery(config))


def test_each_picture_of_the_page_has_its_own_text(config: Config):
    texts = [picture for section in specification.galleries(config) for picture in section["pictures"]]
    shown = inputs.page_pictures(config)
    assert len(texts) == len(shown)
    for text, file in zip(texts, shown, strict=True):
        path = PurePosixPath(file)
        if "factory" in path.parts:
            assert text["alt"].startswith(config.setups[path.parts[2]].label)
            assert ("on its way" in text["alt"]) == (path.stem == "morphing")
        assert ("rank" in text["alt"].lower()) == (path.stem == "ranks")
        assert ("worst" in text["alt"]) == (path.stem == "failures")


def test_a_table_wants_a_file_of_each_cell_and_seed(tmp_path):
    column = {"setup": "mo", "setup_label": "MO", "federated": True}
    spec = {
        "seeds": [0, 1],
        "columns": [{**column, "target": name, "label": name} for name in ("swi", "octa")],
        "rows": [{"method": "ours", "label": "Ours", "centralised": False}],
    }
    files = [tmp_path / target / f"seed{seed}/scores.csv" for target in ("swi", "octa") for seed in (0, 1)]
    for number, file in enumerate(files):
        write_scores(file, 0.2 * number, seed=0)
    study = Study.read(spec, files)
    levels = [seed["subject<0>"].figures["dice"] for seeds in study.cells.values() for seed in seeds]
    assert levels == sorted(levels) and len(set(levels)) == 4, "column by column, in it seed by seed"
    with pytest.raises(FedFactoryError, match="--scores: 3 files for 2 cells with 2 seeds each"):
        Study.read(spec, files[:3])
