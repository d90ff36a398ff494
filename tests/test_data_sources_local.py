"""Files as sources: what is read, in bounded memory, and what is said where it can't be."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from formosa.data.sources import array, lines
from formosa.data.sources.array import read_json
from formosa.data.sources.config import SourceConfig
from formosa.data.sources.lines import read_lines
from formosa.data.sources.local import FileSource
from formosa.data.sources.opening import open_source
from formosa.errors import DataError

ROWS = [{"text": "臺北"}, {"text": "a\nb"}, {"n": 1.5}]


def open_path(path: str | Path, root: Path | None = None, **more: Any) -> FileSource:
    return open_source(SourceConfig(path=Path(path), licence="MIT", **more), root)


def values_of(source: FileSource) -> list[Any]:
    return [record.value for record in source.records()]


def jsonl(*rows: Any) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


# -- JSON lines ---------------------------------------------------------------------------------


def test_json_lines_are_read_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(jsonl(ROWS[0]) + b"\n  \n" + jsonl(ROWS[1]))
    records = list(open_path("rows.jsonl", tmp_path).records())
    assert [(item.where, item.value) for item in records] == [
        ("rows.jsonl:1", ROWS[0]),
        ("rows.jsonl:4", ROWS[1]),
    ]


def test_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    """The file may come from anybody's editor."""
    (tmp_path / "rows.jsonl").write_bytes(jsonl(*ROWS).rstrip())
    assert values_of(open_path("rows.jsonl", tmp_path)) == ROWS


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"text": "half', "rows.jsonl:2: not JSON"),
        (b"[1]", "rows.jsonl:2: must be an object, not list"),
        (b'{"text": NaN}', "NaN is not a JSON value"),
        ("臺灣".encode("big5"), "rows.jsonl:2: not UTF-8 (byte 0xbb at 1)"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_line_is_a_record_that_says_so_and_reading_goes_on(
    tmp_path: Path, line: bytes, said: str
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(jsonl(ROWS[0]) + line + b"\n" + jsonl(ROWS[1]))
    first, bad, last = values_of(open_path("rows.jsonl", tmp_path))
    assert (first, last) == (ROWS[0], ROWS[1])
    assert isinstance(bad, DataError)
    assert said in bad.message


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    """Editors under Windows write one."""
    (tmp_path / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" + jsonl(*ROWS))
    (tmp_path / "rows.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS).encode())
    assert values_of(open_path("rows.jsonl", tmp_path)) == ROWS
    assert values_of(open_path("rows.json", tmp_path)) == ROWS


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_utf_16_is_refused_with_the_command_that_converts_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(ROWS), encoding="utf-16")
    with pytest.raises(DataError, match="UTF-16LE, not UTF-8") as caught:
        values_of(open_path(name, tmp_path))
    assert "iconv" in caught.value.hint


def test_a_line_that_is_too_long_is_counted_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST", 1 << 20)
    with (tmp_path / "rows.jsonl").open("wb") as file:
        file.write(jsonl(ROWS[0]) + b'{"text": "' + b"x" * (5 << 20) + b'"}\n' + jsonl(ROWS[1]))
    first, bad, last = (item.value for item in read_lines(tmp_path / "rows.jsonl", "rows.jsonl"))
    assert (first, last) == (ROWS[0], ROWS[1])
    assert isinstance(bad, DataError)
    assert "rows.jsonl:2: longer than 1 MiB" in bad.message


# -- arrays -------------------------------------------------------------------------------------


def test_an_array_is_read_item_by_item(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS, indent=2), encoding="utf-8")
    records = list(open_path("rows.json", tmp_path).records())
    assert [item.value for item in records] == ROWS
    assert records[1].where == "rows.json#2"


def test_a_long_array_is_never_whole_in_memory(tmp_path: Path) -> None:
    """A file of 2 GB must not need 2 GB; this one of 30 MB gets by with less than a third of it."""
    path = tmp_path / "rows.json"
    row = json.dumps({"text": "字" * 3_000})
    with path.open("w", encoding="utf-8") as file:
        file.write("[" + ",\n".join([row] * 1_600) + "]")
    size = path.stat().st_size
    tracemalloc.start()
    count = sum(1 for record in read_json(path, "rows.json") if isinstance(record.value, dict))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1_600
    assert peak < size / 3


def test_items_that_end_where_a_piece_ends_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS * 5, indent=1, ensure_ascii=False), encoding="utf-8")
    for size in range(1, 40):
        monkeypatch.setattr(array, "PIECE", size)
        assert [item.value for item in read_json(path, "rows.json")] == ROWS * 5


def test_a_damaged_item_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"a": 1}, {"a": tru, "b": "]}"}, 7, {"a": NaN}, {"a": 2}]', encoding="utf-8")
    one, bad, number, nan, two = (item.value for item in read_json(path, "rows.json"))
    assert (one, two) == ({"a": 1}, {"a": 2})
    for value, said in ((bad, "#2: not JSON"), (number, "not int"), (nan, "NaN")):
        assert isinstance(value, DataError)
        assert said in value.message


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a": ', '[{"a": 1}', '[{"a": 1}, '])
def test_a_torn_array_gives_what_is_whole_and_then_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text, encoding="utf-8")
    first, last = (item.value for item in read_json(path, "rows.json"))
    assert first == {"a": 1}
    assert isinstance(last, DataError)
    assert "ends within" in last.message


def test_an_item_that_never_closes_ends_the_reading_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array, "LONGEST", 1 << 20)
    monkeypatch.setattr(array, "PIECE", 1 << 16)
    path = tmp_path / "rows.json"
    path.write_text('[{"a": "' + "x" * (5 << 20), encoding="utf-8")
    (bad,) = (item.value for item in read_json(path, "rows.json"))
    assert isinstance(bad, DataError)
    assert "never closed" in bad.message


def test_an_array_under_data_is_found(tmp_path: Path) -> None:
    """SQuAD and DRCD are written so."""
    path = tmp_path / "rows.json"
    path.write_text('{"version": "1.3", "more": [1, 2], "data": [{"a": 1}], "end": 3}')
    assert [item.value for item in read_json(path, "rows.json")] == [{"a": 1}]


def test_json_lines_in_a_file_called_json_are_lines(tmp_path: Path) -> None:
    """Many published sets are named so."""
    (tmp_path / "rows.json").write_bytes(jsonl(*ROWS))
    (tmp_path / "one.json").write_bytes(jsonl({"data": "no list"}))
    assert values_of(open_path("rows.json", tmp_path)) == ROWS
    assert values_of(open_path("one.json", tmp_path)) == [{"data": "no list"}]


@pytest.mark.parametrize("text", ['{"rows": []}\n{', "7", '"a"', "", '{"version": 1', '{"a" 1}'])
def test_what_is_no_array_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    if text.startswith('{"rows"'):
        assert len(list(read_json(path, "rows.json"))) == 2  # lines, of which the second is bad
        return
    with pytest.raises(DataError, match="neither an array of rows nor JSON lines"):
        list(read_json(path, "rows.json"))


def test_an_empty_array_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(" [ ] ")
    assert values_of(open_path("rows.json", tmp_path)) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    rows=st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=6),
    piece=st.integers(1, 60),
    escaped=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_any_array_reads_back_equal_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    piece: int,
    escaped: bool,
    indent: int | None,
) -> None:
    text = json.dumps(rows, ensure_ascii=escaped, indent=indent)
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array, "PIECE", piece)
        assert [item.value for item in read_json(path, "any.json")] == rows


@given(data=st.binary(max_size=300), name=st.sampled_from(["a.json", "a.jsonl", "a.json.gz"]))
def test_no_bytes_crash_a_reader(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / name).write_bytes(data)
    try:
        found = values_of(open_path(name, folder))
    except DataError:
        return
    assert all(isinstance(value, dict | DataError) for value in found)


# -- compressed, and several --------------------------------------------------------------------


def test_gz_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(jsonl(*ROWS)))
    (tmp_path / "rows.json.gz").write_bytes(gzip.compress(json.dumps(ROWS).encode()))
    for name in ("rows.jsonl.gz", "rows.json.gz"):
        assert values_of(open_path(name, tmp_path)) == ROWS


def test_zst_is_read_with_pyarrow(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    with pyarrow.output_stream(str(tmp_path / "rows.jsonl.zst"), compression="zstd") as file:
        file.write(jsonl(*ROWS))
    assert values_of(open_path("rows.jsonl.zst", tmp_path)) == ROWS


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl.zst"])
def test_a_damaged_archive_is_a_sentence(tmp_path: Path, name: str) -> None:
    if name.endswith("zst"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(b"no archive at all")
    with pytest.raises(DataError, match="is damaged"):
        values_of(open_path(name, tmp_path))


def test_a_torn_archive_gives_its_rows_and_then_a_sentence(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(jsonl({"n": i, "text": "x" * i}) for i in range(500)))
    (tmp_path / "rows.jsonl.gz").write_bytes(packed[:-20])
    records = open_path("rows.jsonl.gz", tmp_path).records()
    assert next(records).value == {"n": 0, "text": ""}
    with pytest.raises(DataError, match="is damaged"):
        list(records)


def test_a_folder_is_its_data_files_in_sorted_order(tmp_path: Path) -> None:
    for name, n in (("b.jsonl", 2), ("a/z.json", 1), ("c.jsonl.gz", 3)):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = jsonl({"n": n})
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    for name in ("README.md", ".hidden.jsonl", "_old/x.jsonl"):
        (tmp_path / "set" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "set" / name).write_text("{")
    source = open_path("set", tmp_path)
    assert [file.name for file in source.files] == ["set/a/z.json", "set/b.jsonl", "set/c.jsonl.gz"]
    assert values_of(source) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert source.config.source == "set"


def test_a_pattern_takes_the_files_that_fit_it(tmp_path: Path) -> None:
    for name in ("x/train-1.jsonl", "x/train-2.jsonl", "x/test.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jsonl({"name": name}))
    for pattern in ("x/train*.jsonl", str(tmp_path / "x/train*.jsonl")):
        source = open_path(pattern, tmp_path)
        assert [file.name for file in source.files] == ["x/train-1.jsonl", "x/train-2.jsonl"]
        assert source.folder == tmp_path / "x"
        assert source.config.source == "x"


def test_files_chooses_within_a_folder(tmp_path: Path) -> None:
    """Seal-Tools has its tools beside its rows."""
    for name in ("dev.jsonl", "tool.jsonl"):
        (tmp_path / name).write_bytes(jsonl({"name": name}))
    source = open_path(tmp_path, files=("dev.*",))
    assert values_of(source) == [{"name": "dev.jsonl"}]


def test_a_file_with_a_bracket_in_its_name_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].jsonl").write_bytes(jsonl(*ROWS))
    assert values_of(open_path("a[1].jsonl", tmp_path)) == ROWS


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("missing.jsonl", "does not exist"),
        ("*.parquet", "holds no data file"),
        ("notes.txt", "is none of .jsonl"),
        ("empty", "holds no data file"),
    ],
)
def test_what_cannot_be_read_is_said_before_reading(tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=said):
        open_path(path, tmp_path)


def test_a_source_can_be_read_again_and_says_what_it_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(jsonl(*ROWS))
    source = open_path("rows.jsonl", tmp_path)
    assert values_of(source) == values_of(source) == ROWS
    (file,) = source.about()["files"]
    assert file["name"] == "rows.jsonl"
    assert file["bytes"] == len(jsonl(*ROWS))
    assert len(file["sha256"]) == 64
    assert source.about()["licence"] == "MIT"


# -- what the recipe says -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "give either path or hub"),
        ({"path": "a.jsonl", "hub": "o/n", "licence": "MIT"}, "give either path or hub"),
        ({"path": "a.jsonl"}, "needs its licence"),
        ({"path": "a.jsonl", "licence": "MIT", "split": "test"}, "split belongs to hub"),
        ({"hub": "o/n", "format": "sharegtp"}, "no format 'sharegtp'"),
        ({"hub": "o/n", "weight": 0}, "greater than 0"),
        ({"hub": "o/n", "colour": "red"}, "Extra inputs"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SourceConfig.model_validate(entry)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"path": "data/rows.jsonl.gz"}, "rows"),
        ({"path": "data/*.jsonl"}, "data"),
        ({"path": "*.jsonl"}, "files"),
        ({"hub": "org/name"}, "name"),
        ({"hub": "org/name", "name": "mine"}, "mine"),
    ],
)
def test_a_source_has_a_name_for_reports(entry: dict[str, Any], name: str) -> None:
    assert SourceConfig.model_validate({"licence": "MIT", **entry}).source == name


def test_an_entry_with_every_default_written_out_reads_back_equal() -> None:
    """A run keeps its recipe so."""
    for entry in ({"path": "a.jsonl", "licence": "MIT"}, {"hub": "org/name"}):
        config = SourceConfig.model_validate(entry)
        assert SourceConfig.model_validate(config.model_dump()) == config
