import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedfactory.orchestration.progress import Progress
from fedfactory.storage import checkpoints

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run whole workflows come first: one at the end would leave the other cores without work."""
    first = {item.path for item in items if "workflow" in item.keywords}
    items.sort(key=lambda item: item.path not in first)


def write_nifti(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return path


def ball_volume(shape: tuple[int, int, int] = (24, 22, 8), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A bright ellipsoid in noise and its mask; the first and last slice hold none of it."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    centre = rng.uniform(-0.1, 0.1, 3)[:, None, None, None]
    mask = (((grid - centre) / np.array([0.5, 0.6, 0.85])[:, None, None, None]) ** 2).sum(axis=0) < 1
    mask[..., 0] = mask[..., -1] = False
    image = 100 * mask + rng.normal(20, 4, shape)
    return image.astype(np.float32), mask.astype(np.uint8)


def real_head(root: Path) -> np.ndarray:
    """A site of one real MR image (nibabel's test data, oblique affine) and seven moved copies, head by threshold.

    Written in nnU-Net's raw layout; returns the affine of all images.
    """
    image = nibabel.load(Path(nibabel.__file__).parent / "tests/data/anatomical.nii")
    data = np.asarray(image.dataobj, dtype=np.float32)
    mask = (data > np.percentile(data, 60)).astype(np.uint8)
    for number in range(8):
        shift = (number % 3 - 1, number // 3 - 1, 0)
        moved, moved_mask = (np.roll(array, shift, axis=(0, 1, 2)) for array in (data, mask))
        write_nifti(root / "imagesTr" / f"head{number}_0000.nii.gz", moved, image.affine)
        write_nifti(root / "labelsTr" / f"head{number}.nii.gz", moved_mask, image.affine)
    return image.affine


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As the workflow's jobs compute: bytes may depend on the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def checkpoint_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a kill hits one in the making, or comes right after it."""
    monkeypatch.setattr(checkpoints, "_INTERVAL", 0.0)
    monkeypatch.setattr(checkpoints, "_SHARE", 0.0)


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., Path]:
    """A site in nnU-Net's raw layout: imagesTr/case_0000.nii.gz and labelsTr/case.nii.gz."""

    def make(subjects: int, affine: np.ndarray | None = None) -> Path:
        root = tmp_path / "site"
        for number in range(subjects):
            image, mask = ball_volume(seed=number)
            write_nifti(root / "imagesTr" / f"case{number:02d}_0000.nii.gz", image, affine)
            write_nifti(root / "labelsTr" / f"case{number:02d}.nii.gz", mask, affine)
        return root

    return make


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


class Killed(Exception):
    pass


class KillAt(Progress):
    """Ends a training as a kill would, after some steps."""

    def __init__(self, steps: int):
        super().__init__("killed")
        self._steps = steps

    def update(self, done, total, message=""):
        if done == self._steps:
            raise Killed


@pytest.fixture
def frozen_heap() -> Iterator[None]:
    """For many comparisons: statsmodels collects garbage in each, a third of a second where torch is loaded."""
    gc.freeze()
    yield
    gc.unfreeze()
