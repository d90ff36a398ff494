"""The items of BFCL v4: question, function docs, accepted answers.

Read out of the `bfcl-eval` wheel, which is never installed (it would bring 150 packages), or from
a folder laid out as in the wheel. The files of the wheel are pinned by sha256; a folder whose files
have the same bytes counts as the same data.

An item, invented:

    BFCL_v4_simple_python.json
    {"id": "simple_python_900", "question": [[{"role": "user", "content": "Add 2 and 3."}]],
     "function": [{"name": "math.add", "description": "Adds.", "parameters": {"type": "dict",
       "properties": {"a": {"type": "integer", "description": "One."},
                      "b": {"type": "integer", "description": "Other."}}, "required": ["a", "b"]}}]}
    possible_answer/BFCL_v4_simple_python.json
    {"id": "simple_python_900", "ground_truth": [{"math.add": {"a": [2], "b": [3]}}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from formosa.chat.message import Message
from formosa.errors import DataError, MessageError
from formosa.files import sha256_file, sha256_json
from formosa.wheels import Say, fetch_member

WHEEL = "bfcl-eval==2026.3.23"
LICENCE = "Apache-2.0"


class _Pins(NamedTuple):
    questions: str
    answers: str | None  # irrelevance has none: the right answer is not to call


_PINNED: Mapping[str, _Pins] = {
    "simple_python": _Pins(
        "82dd63ba502eb2520c6b5d1d9a5c4b590e03ff261565175561f6228a367d1991",
        "90cd5bc653690ee8e459b5b3f3fc9458606f7f3fcbf795bb51b7dc581f8c86dc",
    ),
    "multiple": _Pins(
        "aef168155ebd74b7ac2401198b201343bc7d16d7a3d7e0d4e6d8ee82c6969b2a",
        "244e00ce9395df948bcafc7bee64e8f9c87ef70887587d83cae45b13699f3047",
    ),
    "parallel": _Pins(
        "19f51a82eff42e5d62541aa500115a056eb78f437c2ba1f10415fd7c8e5dda84",
        "8a6aa19c1adddc6a5a2f7e40f9dbf30cc7e95815e7b830c90589ab318229e0f0",
    ),
    "parallel_multiple": _Pins(
        "8863ea8433239f55c5f016154cf0830853c89f693c6ea270396a2fa121960579",
        "5ebf24f458c1f16300c05505d83d6f0a1b68b79be273a033febd0d4f840507e3",
    ),
    "irrelevance": _Pins(
        "2b6ed4c2e992cdcf5f1678a701851f944bef7550ee026ed1ddb89efed5be01a6",
        None,
    ),
}

CATEGORIES = tuple(_PINNED)


@dataclass(frozen=True)
class BfclItem:
    """One item.

    Attributes:
        messages: the conversation to be answered.
        functions: the function docs, unchanged.
        answers: `{name: {parameter: [accepted values]}}` for each call; () for irrelevance.
    """

    id: str
    category: str
    messages: tuple[Message, ...]
    functions: tuple[dict[str, Any], ...]
    answers: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class BfclData:
    """All items of a category, in the order of the file.

    Attributes:
        source: `package==version` when the bytes are those of the wheel.
        revision: a sha256 over questions and answers.
    """

    category: str
    source: str
    revision: str
    items: tuple[BfclItem, ...]


def load(category: str, *, data_dir: Path | None = None, say: Say | None = None) -> BfclData:
    """Read a category.

    Args:
        category: one of `CATEGORIES`.
        data_dir: a folder that holds `BFCL_v4_<category>.json` and `possible_answer/`; without it
            the files are fetched once and kept in the cache.
        say: told about a download.

    Raises:
        DataError: an unknown category; a file is missing or a line of it is no item.
        ModelError: the wheel cannot be fetched, or its files are not the pinned ones.
    """
    if category not in _PINNED:
        raise DataError(f"There is no BFCL category {category}.", f"one of {', '.join(CATEGORIES)}")
    pins = _PINNED[category]
    name = f"BFCL_v4_{category}.json"
    questions = _file(name, pins.questions, data_dir, say)
    accepted: dict[str, tuple[dict[str, Any], ...]] | None = None
    found = _Pins(sha256_file(questions), None)
    if pins.answers is not None:
        answers = _file(f"possible_answer/{name}", pins.answers, data_dir, say)
        found = found._replace(answers=sha256_file(answers))
        accepted = dict(_answers(answers))
    items = tuple(_items(questions, category, accepted))
    return BfclData(
        category=category,
        source=WHEEL if found == pins else "own files in the format of BFCL v4",
        revision=f"sha256:{sha256_json(found._asdict())}",
        items=items,
    )


def _file(name: str, sha256: str, data_dir: Path | None, say: Say | None) -> Path:
    if data_dir is None:
        return fetch_member(
            WHEEL, f"bfcl_eval/data/{name}", sha256=sha256, keep_wheel=True, say=say
        )
    path = data_dir / name
    if not path.is_file():
        raise DataError(
            f"{path} does not exist.",
            "name the folder that holds BFCL_v4_*.json and possible_answer/, or leave it out",
        )
    return path


def _items(
    path: Path, category: str, accepted: Mapping[str, tuple[dict[str, Any], ...]] | None
) -> Iterator[BfclItem]:
    for where, row in _rows(path):
        turns = row.get("question")
        if not isinstance(turns, list) or len(turns) != 1 or not isinstance(turns[0], list):
            raise DataError(f"{where}: the question must be one turn, a list of messages.")
        if accepted is not None and row["id"] not in accepted:
            raise DataError(f"{where}: no accepted answer for {row['id']}.")
        try:
            messages = tuple(
                Message.from_openai(message, f"question[0][{i}]")
                for i, message in enumerate(turns[0])
            )
        except MessageError as error:
            raise DataError(f"{where}: {error}.") from error
        yield BfclItem(
            id=row["id"],
            category=category,
            messages=messages,
            functions=_objects(row, "function", where),
            answers=accepted[row["id"]] if accepted is not None else (),
        )


def _answers(path: Path) -> Iterator[tuple[str, tuple[dict[str, Any], ...]]]:
    for where, row in _rows(path):
        yield row["id"], _objects(row, "ground_truth", where)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's place and object. The last line of these files has no line end."""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not JSON: {error}.") from error
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise DataError(f"{where} is no item: an object with an id is needed.")
        yield where, row


def _objects(row: Mapping[str, Any], key: str, where: str) -> tuple[dict[str, Any], ...]:
    values = row.get(key)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise DataError(f"{where}: {key} must be a list of objects.")
    return tuple(values)
