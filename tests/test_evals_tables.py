"""Rows out of files of every kind, as they are written."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.errors import DataError
from formosa.evals import tables
from formosa.evals.tables import find_files, read_table, revision_of

ROWS = [
    {"question": "最高的山？", "A": "雪山", "B": "玉山", "answer": "B"},
    {"question": "1 + 1\n= ?", "A": "2", "B": 'a "quoted", one', "answer": "A"},
]


def write(path: Path, rows: list[dict[str, Any]], encoding: str = "utf-8") -> Path:
    """A file of the kind that the name says."""
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(
                file, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t"
            )
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding)
    elif path.suffix == ".jsonl":
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text(lines, encoding)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", tables.SUFFIXES)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    table = read_table(write(tmp_path / f"t{suffix}", ROWS))
    assert [dict(row.values) for row in table.rows] == ROWS


@pytest.mark.parametrize(
    ("name", "lines"), [("t.csv", [2, 3]), ("t.jsonl", [1, 2]), ("t.json", [1, 2])]
)
def test_a_row_knows_its_line(tmp_path: Path, name: str, lines: list[int]) -> None:
    assert [row.line for row in read_table(write(tmp_path / name, ROWS)).rows] == lines


def test_the_line_of_a_row_after_a_cell_with_line_breaks(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", [ROWS[1], ROWS[0]]))
    assert [row.line for row in table.rows] == [2, 4]


def test_text_stays_as_it_is_written(tmp_path: Path) -> None:
    """pandas makes `None` and `NA` into nan, and 1.0 in a column of numbers into a number."""
    path = tmp_path / "t.csv"
    path.write_text("question,A,B,answer\nNA,None,1.0,A\n007,null, x ,B\n", "utf-8")
    assert [list(row.values.values()) for row in read_table(path).rows] == [
        ["NA", "None", "1.0", "A"],
        ["007", "null", " x ", "B"],
    ]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    for name in ("t.csv", "t.json"):
        table = read_table(write(tmp_path / name, ROWS, "utf-8-sig"))
        assert list(table.rows[0].values) == ["question", "A", "B", "answer"]


def test_a_csv_file_without_names_is_told_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("q,a,b,A\nr,c,d,B\n", "utf-8")
    table = read_table(path, ("question", "A", "B", "answer"))
    assert [row.values["question"] for row in table.rows] == ["q", "r"]
    assert [row.line for row in table.rows] == [1, 2]


def test_a_last_line_without_its_newline_is_read(tmp_path: Path) -> None:
    """A log's torn line is cut; a file that was typed just ends."""
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}', "utf-8")
    assert [row.values["a"] for row in read_table(path).rows] == [1, 2]
    path.write_text('{"a": 1}\n{"a": ', "utf-8")
    with pytest.raises(DataError, match=r"t\.jsonl:2 is not JSON"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("t.csv", "", "holds no rows"),
        ("t.csv", "question,A,B,answer\n", "holds no rows"),
        ("t.csv", "question,A\nx,y,z\n", r"t\.csv:2 has 3 cells, and there are 2 columns"),
        ("t.csv", 'question,A\n"x,y\n', "is no csv file"),
        ("t.jsonl", "", "holds no rows"),
        ("t.jsonl", "[]\n", r"t\.jsonl:1 is no object"),
        ("t.jsonl", "{}\n{\n", r"t\.jsonl:2 is not JSON"),
        ("t.json", "[]", "holds no rows"),
        ("t.json", "{}", "is no list of questions"),
        ("t.json", "[1]", r"t\.json:1 is no object"),
        ("t.json", "[", "is not JSON"),
        ("t.parquet", "no", "is no parquet file"),
        ("t.txt", "x", "is no table"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=problem):
        read_table(path)


def test_other_encodings_are_named(tmp_path: Path) -> None:
    for name in ("t.csv", "t.jsonl", "t.json"):
        path = write(tmp_path / name, ROWS, "big5")
        with pytest.raises(DataError) as caught:
            read_table(path)
        assert name in caught.value.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for suffix in tables.SUFFIXES[:4]:
        with pytest.raises(DataError, match="does not exist"):
            read_table(tmp_path / f"none{suffix}")


def test_without_pyarrow_the_hint_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tables, "import_module", missing)
    (tmp_path / "t.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="pyarrow is not installed") as caught:
        read_table(tmp_path / "t.parquet")
    assert "pip install" in caught.value.hint


def test_reading_leaves_the_csv_modules_limit_alone(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    table = read_table(write(tmp_path / "t.csv", [{"question": "長" * 200_000, "A": "x"}]))
    assert len(table.rows[0].values["question"]) == 200_000
    assert csv.field_size_limit() == before


def test_files_are_found_in_order_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("b.csv", "a.jsonl", "sub/c.json", ".git/d.csv", ".e.csv", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", "utf-8")
    found = [str(path.relative_to(tmp_path)) for path in find_files(tmp_path)]
    assert found == ["a.jsonl", "b.csv", "sub/c.json"]
    assert find_files(tmp_path / "b.csv") == [tmp_path / "b.csv"]
    first = find_files(tmp_path, ("**/*.parquet", "**/*.json", "**/*"))
    assert first == [tmp_path / "sub/c.json"]


def test_a_folder_without_tables_and_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no table"):
        find_files(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        find_files(tmp_path / "none")


def test_the_revision_depends_on_names_and_bytes(tmp_path: Path) -> None:
    a = write(tmp_path / "a.csv", ROWS)
    first = revision_of([a])
    assert first.startswith("sha256:")
    assert revision_of([a]) == first
    assert revision_of([a.rename(tmp_path / "b.csv")]) != first
    assert revision_of([write(tmp_path / "a.csv", ROWS[:1])]) != first


CELL = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1, max_size=20
).filter(str.strip)


@given(st.lists(st.fixed_dictionaries({"question": CELL, "A": CELL, "answer": CELL}), min_size=1))
def test_any_text_survives_csv_and_jsonl(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("t.csv", "t.tsv", "t.jsonl"):
        table = read_table(write(folder / name, rows))
        assert [dict(row.values) for row in table.rows] == rows
