"""The items of BFCL v1 in Traditional Chinese: MediaTek Research's fork of the leaderboard.

Source:  https://github.com/mtkresearch/function-calling-leaderboard-for-zhtw, folder `data`
Licence: Apache-2.0

The 1,240 questions of five categories in Chinese; the function docs are English. The accepted
answers are those of v1 with Chinese alternatives in 690 of 1,000. The files are fetched from a
pinned commit and checked by sha256, or read from a folder.

The shapes of v1 are turned into those of v4, so that the same rules and the same ids serve both
and a model can be compared with itself between the two languages, question by question:

    question                a text                     → one message
    function                one object, or a list      → a list
    ground_truth            {name: {…}, name_2: {…}}   → [{name: {…}}, {name: {…}}]
    parallel_function_7     → parallel_7;  simple_7 → simple_python_7;  relevance_7 → irrelevance_7

The current rules judge them, as everywhere here. Those of v1 differ in three places (`multiple`
goes through the rule for parallel calls; a dict must have all keys; any list of dicts is a list of
calls), which changes one verdict in about 100,000.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from formosa.chat.message import Message
from formosa.errors import DataError, ModelError
from formosa.evals.bfcl.items import BfclData, BfclItem, read_rows
from formosa.files import replacing, sha256_file, sha256_json
from formosa.wheels import Say, cache_folder

REPOSITORY = "mtkresearch/function-calling-leaderboard-for-zhtw"
COMMIT = "884fe3108f79f422637e8a5a6e241240c8d7886b"
SOURCE = f"https://github.com/{REPOSITORY}"


class _File(NamedTuple):
    stem: str
    questions: str  # sha256
    answers: str | None


_FILES: Mapping[str, _File] = {
    "simple_python": _File(
        "simple",
        "b6ef811dcf33ccae33a8b1a0cf2aff6985c0f54d2207854949c09af4a2e05cbf",
        "ce5e4c2999adf52e7498180e24f0c05d21a0cca9361eb6aab54196ee55548494",
    ),
    "multiple": _File(
        "multiple_function",
        "62a24d4b79589c4f54f1eda3141c716a41c8dd76175f596be6fe122365b23b72",
        "e7735d816a1be5de0cdb7bce062b388ae6d729aaf92ccac5c4a4e8d7b71ff8e2",
    ),
    "parallel": _File(
        "parallel_function",
        "55883d468921b6d862127bed109486408a9a94a8c84bad834f455428ed37debc",
        "09a5d33af3e5354eafc5d1384e611195ed6741c9d522f3012b6fd9bdb39db034",
    ),
    "parallel_multiple": _File(
        "parallel_multiple_function",
        "3021069d3a8795460751b18017c6a999b3a0ed16a1afa8fbeccb1a6873d223fb",
        "2c4a000590fa495eef4bf3f22a6282d69e74d3b35e3fa6f6afbbd838fc4d45f1",
    ),
    "irrelevance": _File(
        "relevance",
        "fe934b6e66fd40b3bce6d1e39b964b836c7097fde07500a47cc8f6309de72dbf",
        None,
    ),
}

CATEGORIES = tuple(_FILES)

KNOWN_BAD: frozenset[str] = frozenset(
    {
        "parallel_44",  # an answer lacks a parameter that its function requires
        "parallel_multiple_179",  # an answer names a function that does not exist
    }
)
"""Items that no model can get right, by their ids here. Both were mended in later versions."""


def load_zhtw(category: str, *, data_dir: Path | None = None, say: Say | None = None) -> BfclData:
    """Read a category.

    Args:
        category: one of `CATEGORIES`, named as in v4.
        data_dir: a folder that holds `gorilla_openfunctions_v1_test_*.json` (or `zhtw/` with them)
            and `possible_answer/`; without it the files are fetched once and kept in the cache.
        say: told about a download.

    Raises:
        DataError: an unknown category; a file is missing or a line of it is no item.
        ModelError: a file cannot be fetched, or is not the pinned one.
    """
    if category not in _FILES:
        raise DataError(
            f"There is no BFCL category {category} in Chinese.", f"one of {', '.join(CATEGORIES)}"
        )
    pinned = _FILES[category]
    name = f"gorilla_openfunctions_v1_test_{pinned.stem}.json"
    questions = _file(("zhtw/" + name, name), pinned.questions, data_dir, say)
    found = _File(pinned.stem, sha256_file(questions), None)
    accepted: dict[str, Any] | None = None
    if pinned.answers is not None:
        answers = _file((f"possible_answer/{name}",), pinned.answers, data_dir, say)
        found = found._replace(answers=sha256_file(answers))
        accepted = {row["id"]: row.get("ground_truth") for _, row in read_rows(answers)}
    items = tuple(_items(questions, category, accepted))
    return BfclData(
        category=category,
        source=f"{SOURCE}@{COMMIT[:7]}" if found == pinned else "own files in the format of v1",
        revision=f"sha256:{sha256_json(found._asdict())}",
        items=items,
    )


def _file(names: tuple[str, ...], sha256: str, data_dir: Path | None, say: Say | None) -> Path:
    """The first of `names` that the folder has; the first of them, fetched, without a folder."""
    if data_dir is None:
        return _fetched(names[0], sha256, say)
    for name in names:
        if (data_dir / name).is_file():
            return data_dir / name
    raise DataError(
        f"{data_dir / names[-1]} does not exist.",
        "name the folder that holds gorilla_openfunctions_v1_test_*.json and possible_answer/, "
        "or leave it out",
    )


def _fetched(name: str, sha256: str, say: Say | None) -> Path:
    import httpx2

    path = cache_folder() / "files" / REPOSITORY / COMMIT / name
    if not path.exists():
        url = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/data/{name}"
        if say:
            say(f"downloading {url}")
        try:
            response = httpx2.get(url, follow_redirects=True, timeout=60)
            response.raise_for_status()
        except httpx2.HTTPError as error:
            raise ModelError(
                f"{url} cannot be fetched: {error or type(error).__name__}.",
                f"clone {SOURCE} elsewhere and name its folder: --data-dir DIR/data",
            ) from error
        with replacing(path) as file:
            file.write(response.content)
    found = sha256_file(path)
    if found != sha256:
        path.unlink()
        raise ModelError(
            f"{name} of {REPOSITORY} has sha256 {found[:16]}…, expected {sha256[:16]}….",
            "the download was damaged: run the same command again; if it repeats, do not trust it",
        )
    return path


def _items(path: Path, category: str, accepted: Mapping[str, Any] | None) -> Iterator[BfclItem]:
    for where, row in read_rows(path):
        question, functions = row.get("question"), row.get("function")
        if not isinstance(question, str):
            raise DataError(f"{where}: the question must be a text.")
        if isinstance(functions, dict):
            functions = [functions]
        if not isinstance(functions, list) or not all(isinstance(one, dict) for one in functions):
            raise DataError(f"{where}: function must be an object or a list of objects.")
        answers: tuple[dict[str, Any], ...] = ()
        if accepted is not None:
            answers = _answers(accepted.get(row["id"]), functions, f"{where}: {row['id']}")
        yield BfclItem(
            id=f"{category}_{row['id'].rsplit('_', 1)[-1]}",
            category=category,
            messages=(Message("user", question),),
            functions=tuple(functions),
            answers=answers,
        )


def _answers(truth: Any, functions: list[Any], where: str) -> tuple[dict[str, Any], ...]:
    """One answer a call, under the name that the function doc has."""
    if not isinstance(truth, dict) or not truth:
        raise DataError(f"{where} has no accepted answer.")
    names = [function.get("name") for function in functions]
    return tuple({_function_name(key, names): accepted} for key, accepted in truth.items())


def _function_name(key: str, names: list[Any]) -> str:
    """`f` for `f_2` and `f 2`, which v1 writes for the second call of `f`.

    Otherwise the first function whose name is a part of the key, which is the rule of v1. One item
    names a function that does not exist: the name stays, and nobody can get it right.
    """
    if key in names:
        return key
    base = re.sub(r"[_ ]\d+$", "", key)
    if base in names:
        return base
    return next((name for name in names if isinstance(name, str) and name in key), key)
