"""Tables as spreadsheets write them, and what is wrong with others."""

from pathlib import Path

import pytest

from fedfactory.data.tables import column_names, read_table
from fedfactory.errors import FedFactoryError

ROWS = [["subject", "image", "label"], ["1", "a.nii", "b.nii"], ["2", "c.nii", ""]]
VALUES = [{"subject": "1", "image": "a.nii", "label": "b.nii"}, {"subject": "2", "image": "c.nii", "label": ""}]


def write(file: Path, rows: list[list[str]], separator: str = ",", end: str = "\n", encoding: str = "utf-8") -> Path:
    file.write_bytes((end.join(separator.join(row) for row in rows) + end).encode(encoding))
    return file


def read(file: Path) -> list[dict[str, str]]:
    return [row.values for row in read_table(file, ("subject", "image"), ("subject", "image", "label"))]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"end": "\r\n", "encoding": "utf-8-sig"},
        {"separator": ";"},
        {"separator": "\t"},
        {"encoding": "utf-16"},
        {"separator": " , "},
    ],
)
def test_a_table_is_the_same_however_it_was_saved(how: dict, tmp_path: Path):
    assert read(write(tmp_path / "t.csv", ROWS, **how)) == VALUES


@pytest.mark.parametrize(
    "rows",
    [
        [["Subject", "IMAGE", "label"], *ROWS[1:]],
        [[""], *ROWS, ["", "", ""], [""]],
        [*ROWS[:2], ["2", "c.nii"]],
        [ROWS[0], ["1", "a.nii", "b.nii", "", ""], ROWS[2]],
    ],
)
def test_what_a_spreadsheet_adds_or_leaves_away_says_nothing(rows: list[list[str]], tmp_path: Path):
    assert read(write(tmp_path / "t.csv", rows)) == VALUES


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path):
    (tmp_path / "t.csv").write_text('subject,image\n\n\n"Doe,\nJane",a.nii\n3,b.nii\n')
    places = [row.place for row in read_table(tmp_path / "t.csv", ("subject", "image"))]
    assert [place.rpartition("line ")[2] for place in places] == ["5", "6"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"subject,image\nM\xfcller,x.nii\n", "line 2: cannot be read as a table"),
        (b"subject,image\n1\n", "line 2: has 1 values, and there are 2 columns"),
        (b"subject,image\n1,a.nii,extra\n", "line 2: has 3 values"),
        (b"subject,picture\n1,a.nii\n", "unknown column 'picture'; known are subject, image, label"),
        (b"subject,label\n1,a.nii\n", "has no column 'image'"),
        (b"subject,image,image\n1,a.nii,b.nii\n", "the column 'image' occurs twice"),
        (b"subject,image\n", "at least one row"),
        (b"", "at least one row"),
        (b"\x00\x01\x02", "unknown column"),
    ],
)
def test_another_table_ends_in_a_sentence(text: bytes, message: str, tmp_path: Path):
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(FedFactoryError, match=message) as error:
        read(tmp_path / "t.csv")
    assert "t.csv" in str(error.value)


def test_a_table_that_is_not_there(tmp_path: Path):
    with pytest.raises(FedFactoryError, match=r"none.csv: cannot be read"):
        read(tmp_path / "none.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("head", ["subject,image", '"Subject";"image"', " subject\timage "])
def test_names_of_columns_are_known_before_the_table_is_read(head: str, encoding: str, tmp_path: Path):
    (tmp_path / "t.csv").write_text(f"\n{head}\na,b\n", encoding=encoding)
    assert column_names(tmp_path / "t.csv") == {"subject", "image"}
