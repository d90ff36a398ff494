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
    answers: str | None  # (ir)relevance has none: what counts is whether there is a call


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
    "simple_java": _Pins(
        "13d2303a125b08754f0e41995b9273b5005fa8ed8ebfaa24ef53b4d83c4b5c6e",
        "78f25616084044fa05bbfcee68e03f6ececb222bdd5cb3b7783a675fb3366e35",
    ),
    "simple_javascript": _Pins(
        "329e67fedf79a6243d93dbda4b388d12bd2d31f1f2163d92cb6ef676d1764f44",
        "e2f9f2e51d88e0c8056ffbf1a3dd3d02eb032532d2b5d98c9cc9003385bdd56b",
    ),
    "live_simple": _Pins(
        "1af2ac87dca47556db7b7e37e51e28b459a38b594e3c7b3c792b4903598ca0c4",
        "fec9cfa9744a936f9126981e85a2023da1e63e273eafebc81923a1162fad70ce",
    ),
    "live_multiple": _Pins(
        "fd8ccfad4d911420d0e3341dbe2fff77d1d341da934248b9bb2bda24ab3a10c8",
        "97e90d59c5bd76c55a2920ce93e5566e9046307d3f558578f085f9d3a56c3084",
    ),
    "live_parallel": _Pins(
        "6c26e9fdc3350cf596e6d1ea9c179cbff834761bccf562f4141ed29a839ca421",
        "8a9f189ff0e832ebbbbdade1fd95a7dbcc67406e9177df3f0aad76f59ab00350",
    ),
    "live_parallel_multiple": _Pins(
        "21d4b9319c1faac431e22757b367ea28917fe467364c3a4b17f16ec06d4f6e79",
        "f5b5f360556c5feb51db46fb9f56ee4b304f4b45b161599bbb14161c98a2873f",
    ),
    "live_irrelevance": _Pins(
        "6559fda2beaceb609a2cd2e504c65b4a56cb448e1ef88fddfd199e163d163349",
        None,
    ),
    "live_relevance": _Pins(
        "e03f9e241657a137cba48a89ee12f47bf3fcb7e4f6274263e9c699a0c974203a",
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
        answers: `{name: {parameter: [accepted values]}}` for each call; () for irrelevance
            and relevance.
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
    for where, row in read_rows(path):
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
    for where, row in read_rows(path):
        yield row["id"], _objects(row, "ground_truth", where)


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
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
