"""Rows out of csv, tsv, json, jsonl and parquet files.

Text is taken as it is written: `None`, `NA` and `1.0` stay what they are, which pandas would
change. Every problem is an error that names the file and the line.

Knows files and rows. Knows nothing of questions. Parquet needs pyarrow, imported when such a file
is read.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from formosa.errors import DataError, UserError
from formosa.files import explain_read_error, read_jsonl, sha256_file, sha256_json

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
_LONGEST_CELL = 1 << 20  # characters in a cell of a csv file; the module's default is 131,072

Values = Mapping[str, Any]


class Row(NamedTuple):
    """One row; `line` is its line in a text file, else its number, from 1."""

    line: int
    values: Values


class Table(NamedTuple):
    """A file that was read."""

    path: Path
    rows: list[Row]


def find_files(place: Path, patterns: Sequence[str] = ("**/*",)) -> list[Path]:
    """The tables at `place`: itself, or those in the folder that fit the first pattern that any
    fits. In the order of their names; hidden files and folders are skipped.

    Raises:
        DataError: there is none.
    """
    if place.is_file():
        return [place]
    for pattern in patterns:
        found = [
            path
            for path in sorted(place.glob(pattern))
            if path.suffix.lower() in SUFFIXES
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(place).parts)
        ]
        if found:
            return found
    if not place.exists():
        raise DataError(f"{place} does not exist.")
    raise DataError(
        f"{place} holds no table of questions.", f"put files there: {', '.join(SUFFIXES)}"
    )


def read_table(path: Path, columns: Sequence[str] = ()) -> Table:
    """All rows of a file.

    Args:
        path: its ending says what it is.
        columns: names of the columns of a csv or tsv file that has no line with names.

    Raises:
        DataError: the file cannot be read, or holds no rows.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            rows = list(_read_csv(path, "," if suffix == ".csv" else "\t", columns))
        elif suffix == ".jsonl":
            rows = [Row(line, _object(value, path, line)) for line, value in _whole_lines(path)]
        elif suffix == ".json":
            rows = list(_read_json(path))
        elif suffix == ".parquet":
            rows = list(_read_parquet(path))
        else:
            raise DataError(f"{path} is no table.", f"known endings: {', '.join(SUFFIXES)}")
    except OSError as error:
        raise _as_data_error(explain_read_error(error, path)) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}.",
            f"convert it: iconv -f BIG5 -t UTF-8 {path.name} > new{suffix}",
        ) from error
    except DataError:
        raise
    except UserError as error:
        raise _as_data_error(error) from error
    if not rows:
        raise DataError(f"{path} holds no rows.")
    return Table(path, rows)


def revision_of(paths: Sequence[Path]) -> str:
    """`sha256:` of the names and bytes of these files."""
    return "sha256:" + sha256_json([[path.name, sha256_file(path)] for path in paths])


def _as_data_error(error: UserError) -> DataError:
    return DataError(error.message, error.hint)


def _object(value: Any, path: Path, line: int) -> Values:
    if not isinstance(value, dict):
        raise DataError(f"{path}:{line} is no object with a question.")
    return value


def _whole_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Lines of JSON. The last one may lack its newline: this file was not torn, but typed."""
    if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        yield from _parsed_lines(path)
    else:
        yield from read_jsonl(path)


def _parsed_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(path.read_text("utf-8").split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number} is not JSON: {error}.") from error


def _read_json(path: Path) -> Iterator[Row]:
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}.") from error
    if not isinstance(value, list):
        raise DataError(f"{path} is no list of questions.", "write [{…}, {…}], or use .jsonl")
    for number, item in enumerate(value, start=1):
        yield Row(number, _object(item, path, number))


def _read_csv(path: Path, delimiter: str, columns: Sequence[str]) -> Iterator[Row]:
    """Rows as text. A cell may hold line breaks; the line of a row is that of its beginning."""
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            names = list(columns) or [name.strip() for name in next(reader, [])]
            begin = reader.line_num + 1
            for cells in reader:
                line, begin = begin, reader.line_num + 1
                if not any(cells):
                    continue
                if len(cells) != len(names):
                    raise DataError(
                        f"{path}:{line} has {len(cells)} cells, and there are {len(names)} "
                        f"columns: {', '.join(names)}."
                    )
                yield Row(line, dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise DataError(f"{path} is no csv file: {error}.") from error
    finally:
        csv.field_size_limit(limit)


def _read_parquet(path: Path) -> Iterator[Row]:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")  # no types
    except ImportError as error:
        raise DataError(
            f"{path} is a parquet file, and pyarrow is not installed.",
            "pip install 'formosa-lm[eval]'",
        ) from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except arrow.ArrowException as error:
        raise DataError(f"{path} is no parquet file: {error}.") from error
    for number, values in enumerate(rows, start=1):
        yield Row(number, values)
