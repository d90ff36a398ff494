"""Parquet, in batches of rows, and what Arrow did to the keys of tools and arguments.

A column has one type. Where arguments or schemas were objects, Arrow made one struct of all keys of
all rows, and every row came back with foreign keys that are null: a model learns to write them.
Such a column is refused; `arrow_nulls: drop` takes the null keys out there and counts them. A null
that the author meant goes with them: nothing in the file tells the two apart.

Columns of JSON text are safe and read as they are. Those that `datasets` marks as `Json` are text
in the file, and read as the values that they hold.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formosa.data.formats import spelling
from formosa.data.sources.opened import need_pyarrow
from formosa.data.sources.record import Record
from formosa.errors import DataError
from formosa.files import explain_read_error

if TYPE_CHECKING:
    import pyarrow  # type: ignore[import-untyped]

BATCH = 256  # rows decoded at once
FREE = {"arguments", "parameters", "properties", "input_schema", "inputSchema"}
"""Names of fields whose keys differ from row to row."""
LISTS = {"tools", "functions", "tool_calls", "function_call", "answers", "calling"}
"""Names of fields of tools and calls, in which only `function` is a struct of fixed keys."""

FieldPath = tuple[str, ...]


def read_parquet(path: Path, name: str, *, drop: bool, dropped: Counter[str]) -> Iterator[Record]:
    """Every row; `dropped` counts by field the null keys that were taken out.

    Raises:
        DataError: no Parquet file, or Arrow merged keys in it and they are not to be dropped.
    """
    try:
        import pyarrow
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise need_pyarrow(str(path)) from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            merged = merged_fields(file.schema_arrow)
            if merged and not drop:
                raise _refusal(path, merged)
            texts = _json_fields(file.schema_arrow)
            number = 0
            for batch in file.iter_batches(batch_size=BATCH):
                for row in batch.to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    where = f"{name}#{number}"
                    yield Record(where, _row(row, merged, texts, dropped, where))
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(f"{path} is no Parquet file that can be read: {reason}.") from error
    except OSError as error:
        raise DataError(explain_read_error(error, path).message) from error


def merged_fields(schema: pyarrow.Schema) -> list[FieldPath]:
    """Paths of the fields whose keys Arrow merged: `("messages", "tool_calls", "arguments")`."""
    found: list[FieldPath] = []
    for field in schema:
        _find_merged(field.type, (field.name,), False, found)
    return found


def _find_merged(kind: Any, path: FieldPath, in_list: bool, found: list[FieldPath]) -> None:
    import pyarrow

    while pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        kind = kind.value_type
    if not pyarrow.types.is_struct(kind):
        return
    name = path[-1]
    inner = name in LISTS or in_list
    if name in FREE or (in_list and name not in LISTS | {"function"}):
        found.append(path)
        return
    for i in range(kind.num_fields):
        field = kind.field(i)
        _find_merged(field.type, (*path, field.name), inner, found)


def _row(
    row: dict[str, Any],
    merged: list[FieldPath],
    texts: list[FieldPath],
    dropped: Counter[str],
    where: str,
) -> Any:
    for path in merged:
        count = _drop_nulls(row, path)
        if count:
            dropped[".".join(path)] += count
    for path in texts:
        try:
            _decode(row, path)
        except ValueError as error:
            return DataError(f"{where}: {'.'.join(path)} is marked as JSON, but is not: {error}.")
    return row


def _decode(value: Any, path: FieldPath) -> None:
    """Put the values that texts hold in the place of the texts at `path`."""
    if isinstance(value, list):
        for item in value:
            _decode(item, path)
    elif isinstance(value, dict) and len(path) > 1:
        _decode(value.get(path[0]), path[1:])
    elif isinstance(value, dict) and path[0] in value:
        value[path[0]] = _loaded(value[path[0]])


def _loaded(value: Any) -> Any:
    if isinstance(value, str):
        return spelling.loads(value)
    return [_loaded(item) for item in value] if isinstance(value, list) else value


def _drop_nulls(value: Any, path: FieldPath) -> int:
    """Take null keys out of all that lies at `path`; how many there were."""
    if isinstance(value, list):
        return sum(_drop_nulls(item, path) for item in value)
    if not isinstance(value, dict):
        return 0
    if path:
        return _drop_nulls(value.get(path[0]), path[1:])
    empty = [key for key, item in value.items() if item is None]
    for key in empty:
        del value[key]
    return len(empty) + sum(_drop_nulls(item, ()) for item in value.values())


def _json_fields(schema: pyarrow.Schema) -> list[FieldPath]:
    """Fields that hold JSON text and are marked so: by Arrow's own type, or by `datasets`."""
    found: list[FieldPath] = []
    for field in schema:
        _find_json(field.type, (field.name,), found)
    try:
        note = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        _find_noted(note.get("info", {}).get("features") or {}, (), found)
    except (ValueError, AttributeError, RecursionError):
        pass  # the note of a stranger; without it the text is text
    return list(dict.fromkeys(found))


def _find_json(kind: Any, path: FieldPath, found: list[FieldPath]) -> None:
    import pyarrow

    while pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        kind = kind.value_type
    if getattr(kind, "extension_name", "") == "arrow.json":
        found.append(path)
    elif pyarrow.types.is_struct(kind):
        for i in range(kind.num_fields):
            _find_json(kind.field(i).type, (*path, kind.field(i).name), found)


def _find_noted(feature: Any, path: FieldPath, found: list[FieldPath]) -> None:
    if isinstance(feature, list) and len(feature) == 1:
        _find_noted(feature[0], path, found)
    elif not isinstance(feature, dict):
        return
    elif feature.get("_type") == "Json":
        found.append(path)
    elif feature.get("_type") in ("List", "LargeList", "Sequence"):
        _find_noted(feature.get("feature"), path, found)
    elif not isinstance(feature.get("_type"), str):  # else a plain value
        for name, item in feature.items():
            _find_noted(item, (*path, name), found)


def _refusal(path: Path, merged: list[FieldPath]) -> DataError:
    names = ", ".join(".".join(item) for item in merged)
    return DataError(
        f"{path}: Arrow merged the keys of all rows in {names}, so that each row has foreign keys "
        "that are null, and a model would learn to write them.",
        "ask for a version with JSON text there; or drop every null key, with arrow_nulls: drop in "
        "the recipe",
    )
