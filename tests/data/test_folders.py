"""Folders of others: links, leftovers, permissions, names."""

import os
from pathlib import Path

import pytest

from fedfactory.data.folders import lies_there, matching, safe_name, twins, visible_files
from fedfactory.errors import FedFactoryError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def found(root: Path, pattern: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in matching(root, pattern)]


def test_patterns_follow_links_and_pass_over_what_is_hidden(tmp_path: Path):
    root, disk = tmp_path / "root", tmp_path / "disk"
    touch(root, "a/x.nii.gz", "a/._x.nii.gz", ".cache/x.nii.gz", "b/y.txt", "x.nii.gz")
    touch(disk, "c/x.nii.gz", "d/e/x.nii.gz")
    (root / "linked").symlink_to(disk)
    assert found(root, "**/*.nii.gz") == [
        "a/x.nii.gz",
        "linked/c/x.nii.gz",
        "linked/d/e/x.nii.gz",
        "x.nii.gz",
    ]
    assert found(root, "*/x.nii.gz") == ["a/x.nii.gz"] and found(root, "*.nii.gz") == ["x.nii.gz"]
    assert found(root, "linked/*/x.nii.gz") == ["linked/c/x.nii.gz"] and found(root, "none/*") == []
    assert len(visible_files(root)) == 5


def test_a_circle_of_links_ends_and_a_folder_that_is_linked_twice_counts_once(tmp_path: Path):
    touch(tmp_path, "a/x.nii")
    (tmp_path / "a/back").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "a")
    assert len(found(tmp_path, "**/x.nii")) == 1 and len(visible_files(tmp_path)) == 1


def test_a_broken_link_is_an_error_where_a_folder_is_searched(tmp_path: Path):
    touch(tmp_path, "a/x.nii")
    (tmp_path / "Testing").symlink_to("../gone")
    for look in (lambda: matching(tmp_path, "**/*.nii"), lambda: visible_files(tmp_path)):
        with pytest.raises(FedFactoryError, match=r"Testing: is a link to ../gone, which is missing"):
            look()
    assert lies_there(tmp_path / "Testing") and not lies_there(tmp_path / "none")


@pytest.mark.parametrize(
    "names",
    [
        ["case01", "case_01", "case-01"],
        ["p+1", "p-1", "p 1", "p.1"],
        ["José", "Jösé", "Müller", "Möller"],
        ["张三", "李四", "王五"],
        ["1." * 150 + str(number) for number in range(3)],
        [os.fsdecode(b"case\xd5"), os.fsdecode(b"case\xc5")],
        ["", "-", "--"],
        ["a\n", "a"],
    ],
)
def test_names_stay_apart(names: list[str]):
    safe = [safe_name(name) for name in names]
    assert len(set(safe)) == len(names)
    assert all(name.isascii() and len(name) <= 100 and set(name) <= _LETTERS for name in safe), safe
    assert [safe_name(name) for name in names] == safe


_LETTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_plain_names_stay_as_they_are():
    assert [safe_name(name) for name in ("case01", "A0_b-C")] == ["case01", "A0_b-C"]


def test_files_with_the_same_bytes_are_found(tmp_path: Path):
    for name, content in (("a", "x" * 9), ("b", "y" * 9), ("c", "x" * 9), ("d", "x" * 8), ("e", ""), ("f", "")):
        (tmp_path / name).write_text(content)
    assert twins(sorted(tmp_path.iterdir())) == [(tmp_path / "c", tmp_path / "a")]
