"""Parquet as a source: rows in batches, and the keys that Arrow merged.

The merging is the trap of training.md 2.3: two rows are enough, and a model learns to write nine
foreign arguments that are null.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from formosa.data.formats.registry import FORMATS
from formosa.data.sources.config import SourceConfig
from formosa.data.sources.local import FileSource
from formosa.data.sources.opening import open_source
from formosa.data.sources.parquet import merged_fields
from formosa.errors import DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def write(path: Path, rows: list[dict[str, Any]], **more: Any) -> None:
    pq.write_table(pa.Table.from_pylist(rows, **more), path)


def open_path(path: Path, **more: Any) -> FileSource:
    return open_source(SourceConfig(path=path, licence="MIT", **more))


def values_of(source: FileSource) -> list[Any]:
    return [record.value for record in source.records()]


def calling(name: str, arguments: Any) -> dict[str, Any]:
    """A row with one call, arguments as given."""
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    user, empty = {"role": "user", "content": "?"}, {"tool_calls": None}
    return {
        "messages": [
            {**user, **empty},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ]
    }


MERGED = [calling("visa", {"country": "Australia"}), calling("weigh", {"mass": 2, "unit": "kg"})]
TEXTS = [calling("visa", '{"country": "Australia"}'), calling("weigh", '{"mass": 2}')]


def test_rows_come_in_order_with_their_number(tmp_path: Path) -> None:
    rows = [{"text": f"{i}"} for i in range(600)]  # more than a batch
    write(tmp_path / "a.parquet", rows)
    records = list(open_path(tmp_path / "a.parquet").records())
    assert [record.value for record in records] == rows
    assert records[299].where.endswith("a.parquet#300")


def test_arguments_that_arrow_merged_are_refused_with_the_way_out(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", MERGED)
    with pytest.raises(DataError, match=r"messages\.tool_calls\.function\.arguments") as caught:
        values_of(open_path(tmp_path / "a.parquet"))
    assert "arrow_nulls: drop" in caught.value.hint


def test_null_keys_are_dropped_and_counted_where_the_recipe_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", MERGED)
    source = open_path(tmp_path / "a.parquet", arrow_nulls="drop")
    drafts = [FORMATS["messages"].read(value, "a") for value in values_of(source)]
    written = [json.loads(draft.messages[1].tool_calls[0].arguments) for draft in drafts]
    assert written == [{"country": "Australia"}, {"mass": 2, "unit": "kg"}]
    assert source.about()["arrow_nulls_dropped"] == {
        "messages.tool_calls.function.arguments": 3  # mass and unit of one, country of the other
    }


def test_counts_of_dropped_keys_are_of_one_reading(tmp_path: Path) -> None:
    """A source is read twice: for its format, and for its rows."""
    write(tmp_path / "a.parquet", MERGED)
    source = open_path(tmp_path / "a.parquet", arrow_nulls="drop")
    values_of(source)
    values_of(source)
    assert sum(source.about()["arrow_nulls_dropped"].values()) == 3


def test_json_text_is_read_as_it_is_spelled(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", TEXTS)
    (first, _) = values_of(open_path(tmp_path / "a.parquet"))
    draft = FORMATS["messages"].read(first, "a")
    assert draft.messages[1].tool_calls[0].arguments == '{"country": "Australia"}'


def tool(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"tools": [tool({"type": "object", "properties": {"a": {"type": "string"}}})]},
         ["tools.function.parameters"]),
        ({"tools": [tool('{"type": "object"}')]}, []),
        ({"tools": '[{"name": "f"}]'}, []),
        ({"answers": [{"name": "f", "arguments": {"a": 1}}]}, ["answers.arguments"]),
        ({"tools": [{"name": "f", "args": {"a": 1}}]}, ["tools.args"]),
        ({"conversations": [{"from": "human", "value": "hi"}]}, []),
        ({"input": {"arguments": {"a": 1}}}, ["input.arguments"]),
        ({"messages": [{"role": "a", "content": [{"type": "text", "text": "x"}]}]}, []),
        ({"answers": {"text": ["a"], "answer_start": [3]}}, []),
    ],
)  # fmt: skip
def test_only_fields_whose_keys_differ_from_row_to_row_are_suspected(
    row: dict[str, Any], found: list[str]
) -> None:
    schema = pa.Table.from_pylist([row]).schema
    assert [".".join(path) for path in merged_fields(schema)] == found


def test_columns_that_datasets_marks_as_json_are_values(tmp_path: Path) -> None:
    """`datasets` writes them as text, with a note in the file: List(Json()) and Json()."""
    features = {
        "messages": {"_type": "List", "feature": {"_type": "Json"}},
        "tools": {"_type": "Json"},
        "note": {"_type": "Value", "dtype": "string"},
    }
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    row = {
        "messages": ['{"role": "user", "content": "hi"}'],
        "tools": '[{"name": "f"}]',
        "note": "[1]",
    }
    table = pa.Table.from_pylist([row]).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    assert values_of(open_path(tmp_path / "a.parquet")) == [
        {"messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "f"}], "note": "[1]"}
    ]


def test_json_within_a_struct_is_a_value_too(tmp_path: Path) -> None:
    """`datasets` marks so what differs from row to row; Arrow has a type of its own for it."""
    texts = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"type": "object"}', None]))
    tools = pa.StructArray.from_arrays([pa.array(["f", "g"]), texts], ["name", "parameters"])
    listed = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), tools)
    pq.write_table(pa.table({"tools": listed}), tmp_path / "a.parquet")
    (value,) = values_of(open_path(tmp_path / "a.parquet"))
    assert [item["parameters"] for item in value["tools"]] == [{"type": "object"}, None]


def test_a_marked_column_that_is_no_json_is_a_bad_row(tmp_path: Path) -> None:
    metadata = {b"huggingface": b'{"info": {"features": {"tools": {"_type": "Json"}}}}'}
    table = pa.Table.from_pylist([{"tools": "[1"}, {"tools": "[]"}])
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    bad, good = values_of(open_path(tmp_path / "a.parquet"))
    assert isinstance(bad, DataError)
    assert "tools is marked as JSON" in bad.message
    assert good == {"tools": []}


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing else PAR1", b"x" * 100])
def test_what_is_no_parquet_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match="no Parquet file that can be read"):
        values_of(open_path(tmp_path / "a.parquet"))


def test_without_pyarrow_the_command_that_installs_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.parquet", TEXTS)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    for name in ("a.parquet", "a.jsonl.zst"):
        (tmp_path / "a.jsonl.zst").write_bytes(b"")
        with pytest.raises(DataError, match="pyarrow, which is not installed") as caught:
            values_of(open_path(tmp_path / name))
        assert "formosa-lm[data]" in caught.value.hint
