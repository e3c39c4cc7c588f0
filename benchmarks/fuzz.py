"""A thousand malformed files: `python -m benchmarks.fuzz --out docs/benchmarks`.

Files of every format that is read, of tables as well, with bits of their headers flipped, cut, doubled, or filled with
nonsense, by a seed. Each is opened in a process of its own, with 1 GB of memory more than its libraries take and ten
seconds. It ends in a sentence that names the file, or in an image: another one than was written only where nothing in
the file tells. A traceback, a crash, more memory or more time is a fault, and the command then ends with 1.
"""

import argparse
import csv
import gzip
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK
from PIL import Image

from benchmarks import tables
from fedfactory.data.formats import ImageFile, kept_locale
from fedfactory.data.formats.bitmap import is_coloured
from fedfactory.data.formats.dicom import is_series
from fedfactory.data.raw import RawCase, read_case
from fedfactory.data.tables import read_table
from fedfactory.errors import FedFactoryError

SECONDS, BYTES = 10, 1 << 30
_VOXELS = np.random.default_rng(0).integers(0, 900, (24, 20, 6)).astype(np.int16)
_OUTCOMES = ("the image", "a sentence", "another image")
_FAULTS = ("traceback", "crash", "too long", "too much memory", "a sentence without the file")


def main() -> None:
    """Write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(Path(folder), arguments.files, arguments.seed)
    lines = [{"kind": kind, "files": sum(own.values()), **{name: own[name] for name in (*_OUTCOMES, *_FAULTS)}}
             for kind, own in sorted(found.items())]  # fmt: skip
    if arguments.out:
        tables.write(lines, arguments.out, "fuzz")
    else:
        csv.DictWriter(sys.stdout, lines[0]).writerows(lines)
    sys.exit(any(line[fault] for line in lines for fault in _FAULTS))


def fuzz(folder: Path, count: int, seed: int) -> dict[str, Counter[str]]:
    """Outcomes of so many files, by kind."""
    rng, found = random.Random(seed), defaultdict(Counter)
    originals = {path: path.read_bytes() for path in written(folder / "whole")}
    whole = {path: _read(path) for path in originals}
    for number in range(count):
        path = rng.choice(sorted(originals))
        damaged = folder / f"{number:04d}{path.name}"
        damaged.write_bytes(rng.choice(DAMAGES)(originals[path], rng))
        what = outcome(damaged, whole[path])
        found[path.name.partition(".")[2]][what] += 1
        if what in _FAULTS:
            print(f"{path.name}, file {number} of seed {seed}: {what}", file=sys.stderr)
        else:
            damaged.unlink()
    return found


def written(folder: Path) -> list[Path]:
    """A file of every kind."""
    folder.mkdir()
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(_VOXELS.T))
    for ending in ("nii", "nii.gz", "nrrd", "mha"):
        SimpleITK.WriteImage(image, str(folder / f"a.{ending}"), ending == "mha")
    slice_ = image[:, :, 0]
    for tag, value in (
        ("0008|0060", "CT"),
        ("0020|0032", "0\\0\\0"),
        ("0020|0037", "1\\0\\0\\0\\1\\0"),
        ("0018|0050", "2"),
    ):
        slice_.SetMetaData(tag, value)
    with kept_locale():
        SimpleITK.WriteImage(slice_, str(folder / "a.dcm"))
    plane = (_VOXELS[..., 0] // 4).astype(np.uint8)
    for ending in ("png", "tif", "jpg", "bmp"):
        Image.fromarray(plane).save(folder / f"a.{ending}")
    (folder / "a.csv").write_text("subject,image,label\n" + "".join(f"s{n},i{n}.nii,l{n}.nii\n" for n in range(20)))
    return sorted(folder.iterdir())


def _flip(raw: bytes, rng: random.Random) -> bytes:
    out = bytearray(raw)
    for _ in range(rng.choice((1, 2, 8, 32))):
        out[rng.randrange(min(len(out), rng.choice((352, len(out)))))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _overwrite(raw: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(min(len(raw), 352)), rng.choice((1, 2, 4, 8))
    filler = rng.choice((b"\x00", b"\xff", b"\x7f", rng.randbytes(1)))
    return raw[:start] + filler * length + raw[start + length :]


def _cut(raw: bytes, rng: random.Random) -> bytes:
    return raw[: rng.randrange(len(raw))]


def _double(raw: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(raw))
    return raw[:start] + raw[start : start + 64] * rng.choice((2, 50)) + raw[start:]


def _nonsense(raw: bytes, rng: random.Random) -> bytes:
    return raw[: rng.choice((0, 4, 16, 348))] + rng.randbytes(rng.choice((0, 10, 5000)))


def _inside(raw: bytes, rng: random.Random) -> bytes:
    """Damage what is compressed, and compress it again: the checksum then agrees."""
    if raw[:2] != b"\x1f\x8b":
        return _flip(raw, rng)
    return gzip.compress(rng.choice((_flip, _overwrite, _cut))(gzip.decompress(raw), rng))


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_flip, _overwrite, _cut, _double, _nonsense, _inside)


def outcome(path: Path, whole: list[object]) -> str:
    """What opening a file ends in, in a process of its own, beside what the whole file holds."""
    child = os.fork()
    if child == 0:
        os._exit(_open(path, whole))
    end = time.monotonic() + 2 * SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.002)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "too long"
    if os.WIFSIGNALED(status):
        return "too long" if os.WTERMSIG(status) == signal.SIGALRM else "crash"
    return (*_OUTCOMES, *_FAULTS)[os.WEXITSTATUS(status)]


def _open(path: Path, whole: list[object]) -> int:
    names = (*_OUTCOMES, *_FAULTS)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    try:
        return names.index("the image" if _read(path) == whole else "another image")
    except FedFactoryError as error:
        return names.index("a sentence" if path.name in str(error) else "a sentence without the file")
    except MemoryError:
        return names.index("too much memory")
    except BaseException:
        return names.index("traceback")


def _read(path: Path) -> list[object]:
    """What a file holds, as plain values."""
    if path.suffix == ".csv":
        return [row.values for row in read_table(path, ("subject", "image"), ("subject", "image", "label"))]
    is_series(path.parent)
    if path.suffix in (".png", ".tif", ".jpg", ".bmp"):
        is_coloured(path)
    volume = read_case(RawCase("s", "s", ImageFile(path, pixel_mm=1.0)), {})
    return [volume.image.tolist(), volume.affine.tolist()]


if __name__ == "__main__":
    main()
