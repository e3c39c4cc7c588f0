"""A run of one's own from folders: whatever their layout, the run that is written can be planned."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedfactory.config.files import read_run
from fedfactory.config.run import Config, load_config
from fedfactory.data.adapters import survey_cases
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.specification import table1
from fedfactory.factory.plan import FactoryPlan
from fedfactory.methods.cells import Methods
from fedfactory.orchestration.cli import main
from fedfactory.orchestration.new_run import new_run
from tests.conftest import ROOT, ball_volume, write_nifti


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("Snakefile", "rules"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "config/setups").mkdir(parents=True)
    for name in ("base.yaml", "demo.yaml", "weights.yaml", "setups/ms.yaml", "setups/mm.yaml", "setups/mo.yaml"):
        (folder / "config" / name).symlink_to(ROOT / "config" / name)
    return folder


def nnunet(root: Path, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    write_nifti(root / f"imagesTr/case{number}_0000.nii.gz", image)
    write_nifti(root / f"labelsTr/case{number}.nii.gz", mask)


def beside(root: Path, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    write_nifti(root / f"p{number}.nii.gz", image)
    write_nifti(root / f"p{number}_seg.nii.gz", mask)


def patients(root: Path, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    write_nifti(root / f"patient{number}/t1.nii.gz", image)
    write_nifti(root / f"patient{number}/mask.nii.gz", mask)


def bids(root: Path, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    folder = root / f"sub-{number:02d}/anat"
    write_nifti(folder / f"sub-{number:02d}_T1w.nii.gz", image)
    write_nifti(folder / f"sub-{number:02d}_T1w_label.nii.gz", mask)


def table(root: Path, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    write_nifti(root / f"scans/{number}.nii.gz", image)
    write_nifti(root / f"drawn/{number}.nii.gz", mask)
    line = f"s{number},scans/{number}.nii.gz,drawn/{number}.nii.gz\n"
    with (root / "sites.csv").open("a") as file:
        file.write(line if number else f"subject,image,label\n{line}")


def pictures(root: Path, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    for folder, plane in (("photos", image[..., 4].clip(0, 255)), ("photos_gt", mask[..., 4] * 255)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(plane.T.astype(np.uint8)).save(root / folder / f"{number}.png")


LAYOUTS = (nnunet, beside, patients, bids, table, pictures)


def site(root: Path, layout, count: int = 8, scale: int = 1) -> Path:
    for number in range(count):
        image, mask = ball_volume(seed=number)
        layout(root, number, image, mask * scale)
    return root


def planned(project: Path, name: str) -> Config:
    file = project / f"config/{name}.yaml"
    config = load_config(read_run([file], project), [file], project)
    Methods(config, project)
    FactoryPlan(config)
    return config


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(layout, project: Path, tmp_path: Path):
    sites = {"here": site(tmp_path / "a", nnunet), "there": site(tmp_path / "b", layout, scale=1)}
    said = new_run("mine", sites, "here", project)
    assert "there: 8 images, 8 labelled" in said
    config = planned(project, "mine")
    assert config.setups["mine"].source == "here" and config.setups["mine"].targets == ("there",)
    assert "feddg" not in config.methods and "ours_paired" in config.methods
    assert config.left_out == {"feddg": "FedDG needs 3 sites with labels, and setup mine has 2"}
    assert table1(config)["caption"].endswith(" Left out: FedDG needs 3 sites with labels, and setup mine has 2.")
    for name, folder in sites.items():
        client = config.setups["mine"].clients[name]
        assert config.raw_folder("mine", name) == folder.resolve()
        found = survey_cases(client.adapter, folder, client.options, name)
        assert len({case.subject for case in found.cases}) == 8 and not found.problems
        assert client.label_values == {255 if layout is pictures and name == "there" else 1: 1}
    assert (project / "config/mine.png").stat().st_size > 5000


def test_a_site_without_labels_trains_only(project: Path, tmp_path: Path):
    sites = {name: site(tmp_path / name, nnunet) for name in ("a", "b", "c", "d")}
    for file in (tmp_path / "d/labelsTr").iterdir():
        file.unlink()
    (tmp_path / "d/labelsTr").rmdir()
    new_run("mine", sites, "a", project)
    config = planned(project, "mine")
    assert config.setups["mine"].targets == ("b", "c") and not config.setups["mine"].clients["d"].scored
    assert "feddg" in config.methods and not config.left_out, "three sites have labels"
    assert "Left out" not in table1(config)["caption"]


def test_large_pictures_are_tiled_and_thin_labels_ask_for_finer_slices(project: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    for name in "ab":
        for number in range(4):
            picture = rng.integers(0, 90, (300, 400), dtype=np.uint8)
            label = np.zeros((300, 400), np.uint8)
            label[100:180, 100:250] = 1
            for folder, plane in (("images", picture + 100 * label), ("labels", label)):
                (tmp_path / name / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(plane).save(tmp_path / name / folder / f"{number}.png")
    new_run("large", {name: tmp_path / name for name in "ab"}, "a", project)
    config = planned(project, "large")
    assert config.setups["large"].clients["a"].tiles == {"spacing_mm": 4.0, "count": 9}
    run = project / "config/large.yaml"
    run.write_text(run.read_text().replace("client_zoom: false", "client_zoom: true"))
    with pytest.raises(FedFactoryError, match=r"'factory\.setups\.large\.network\.client_zoom': .* set it to false"):
        planned(project, "large")
    for name in "cd":
        for number in range(4):
            image = rng.normal(50, 9, (128, 128, 3)).astype(np.float32)
            mask = np.zeros((128, 128, 3), np.uint8)
            mask[10:118, 20:110:9] = 1
            nnunet(tmp_path / name, number, image + 40 * mask, mask)
    new_run("thin", {name: tmp_path / name for name in "cd"}, "c", project)
    assert planned(project, "thin").preprocessing["image_size"] == 128
    assert "# Slices: at 128 pixels labels come back" in (project / "config/thin.yaml").read_text()


def test_what_does_not_fit_is_told(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good, few = site(tmp_path / "good", nnunet), site(tmp_path / "few", nnunet, count=2)
    other = site(tmp_path / "other", nnunet, scale=7)
    image, mask = ball_volume()
    mask[:3] = 2
    nnunet(other, 0, image, mask)
    (tmp_path / "empty").mkdir()
    for sites, source, message in (
        ({"a": good, "b": few}, "a", "site b: has 2 labelled images; 3 are needed"),
        ({"a": good, "b": other}, "a", "site b: its labels have the values 1, 2, 7, those of a 1"),
        ({"a": good, "b": tmp_path / "empty"}, "a", "site b: no image was found"),
        ({"a": good, "b": tmp_path / "none"}, "a", "none is no folder"),
        ({"a": good}, "a", "at least two sites"),
        ({"a": good, "b": good}, "c", "'c' is none"),
        ({"a": good, "B b": good}, "a", "'B b' is no valid name"),
    ):
        with pytest.raises(FedFactoryError, match=message):
            new_run("mine", sites, source, project)
        assert not list((project / "config").glob("mine*")), "nothing is half written"
    new_run("mine", {"a": good, "b": site(tmp_path / "c", nnunet)}, "a", project)
    with pytest.raises(FedFactoryError, match=r"mine.yaml is there; choose another name"):
        new_run("mine", {"a": good, "b": good}, "a", project)


def test_the_command(project: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(project)
    for name in "ab":
        site(tmp_path / name, beside)
    sites = [f"--site={name}={tmp_path / name}" for name in "ab"]
    assert main(["new-run", "mine", *sites, "--source", "a"]) == 0
    assert "snakemake --cores 2 --configfile config/mine.yaml" in capsys.readouterr().out
    assert main(["new-run", "other", sites[0], sites[0], "--source", "a"]) == 1
    assert "give each site once" in capsys.readouterr().err


def nested(folder: Path, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    write_nifti(folder / f"images/2020/p{number}.nii.gz", image)
    write_nifti(folder / f"labels/2020/p{number}.nii.gz", mask)


def two_masks(folder: Path, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    for kind, voxels in (("images", image), ("brain_mask", mask), ("lesion_seg", mask)):
        write_nifti(folder / f"{kind}/p{number}.nii.gz", voxels)


@pytest.mark.parametrize(
    ("layout", "message"),
    [(nested, "look like label maps, and no layout"), (two_masks, "looks like a label map as well as")],
)
def test_what_looks_like_a_label_is_never_passed_over(layout, message: str, project: Path, tmp_path: Path):
    sites = {"a": site(tmp_path / "a", nnunet), "b": site(tmp_path / "b", layout)}
    with pytest.raises(FedFactoryError, match=f"site b: .*{message}.*subject,image,label"):
        new_run("mine", sites, "a", project)


def test_a_table_is_taken_at_its_word(project: Path, tmp_path: Path):
    """It may leave out what its author left out; a typo is an error, not another layout."""
    sites = {"a": site(tmp_path / "a", nnunet), "b": site(tmp_path / "b", nnunet)}
    lines = [f"s{n},imagesTr/case{n}_0000.nii.gz,labelsTr/case{n}.nii.gz" for n in range(6)]
    table = tmp_path / "b/sites.csv"
    table.write_text("\n".join(["subject,image,label", *lines]))
    said = new_run("mine", sites, "a", project)
    assert "b: 6 images, 6 labelled" in said and any("b: 4 files are not read" in line for line in said)
    table.write_text("\n".join(["subject,image,label", *lines, "s9,imagesTr/typo.nii.gz,"]))
    with pytest.raises(FedFactoryError, match=r"sites.csv.*typo.nii.gz is missing"):
        new_run("other", sites, "a", project)


def test_no_image_is_at_two_sites(project: Path, tmp_path: Path):
    a = site(tmp_path / "a", nnunet)
    (tmp_path / "b/imagesTr").mkdir(parents=True)
    (tmp_path / "b/labelsTr").mkdir()
    for path in (tmp_path / "a").rglob("*.nii.gz"):
        (tmp_path / "b" / path.relative_to(a)).symlink_to(path)
    for other, message in (
        (tmp_path / "b", "is an image of site a as well"),
        (a, "lies in"),
        (a / "imagesTr", "lies in"),
    ):
        with pytest.raises(FedFactoryError, match=message):
            new_run("mine", {"a": a, "b": other}, "a", project)
