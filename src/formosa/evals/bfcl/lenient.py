"""A second, lenient reading of the AST rules: the reference's known faults mended, nothing else.

It only ever accepts more than the rules. What it mends, each a fault that the reference's authors
would hardly defend:

* an integer inside a list of floats is a float: `[5, 3]` fits `[5.0, 3.0]`, as 5 fits 5.0;
* calls are matched to answers in the best way, not greedily;
* schema types that the rules don't know but the data mean well: `number`, `object`, `list`;
* a function doc without `required`, and an accepted value that is not in a list.

In prompting mode the reply is read leniently, too (`python_calls.py`). Irrelevance and relevance
have no lenient reading.

`KNOWN_BAD` are items that no model can get right, or that only a wrong answer gets right. Figures
without them are a third thing, and named so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from formosa.evals.bfcl.checker import check, is_calls
from formosa.evals.bfcl.literals import language_of
from formosa.evals.bfcl.verdict import ACCEPTED, Verdict

MENDED_TYPES: Mapping[str, str] = {"number": "float", "object": "dict", "list": "array"}

KNOWN_BAD: frozenset[str] = frozenset(
    {
        # No model of more than seventy whose outputs were published got one of these right.
        "parallel_26",
        "parallel_185",
        "parallel_multiple_94",
        "simple_python_87",
        # A string where a list of accepted values belongs is compared letter by letter.
        "simple_java_64",
        # Elements declared `any` stay text, so the numbers and truth values accepted never occur.
        "simple_java_36",
        "simple_java_65",
        # A required parameter is missing from the answer, or may only be left out there.
        "live_simple_106-63-0",
        "live_simple_112-68-0",
        "live_multiple_507-149-4",
        # The answer needs a parameter that the schema lacks.
        "live_multiple_862-181-3",
        "live_multiple_964-207-0",
        # A text is declared, and only a number accepted.
        "live_multiple_595-158-1",
        "live_multiple_596-158-2",
    }
)


def check_lenient(
    functions: Sequence[Mapping[str, Any]],
    calls: Any,
    answers: Sequence[Mapping[str, Any]],
    category: str,
    *,
    dots_replaced: bool,
) -> Verdict:
    """As `checker.check`, with the faults above mended. Never stricter than it."""
    strict = check(functions, calls, answers, category, dots_replaced=dots_replaced)
    if strict.ok or "relevance" in category or not is_calls(calls):
        return strict
    docs = [_mended_doc(doc) for doc in functions]
    accepted = [_mended_answer(answer) for answer in answers]
    if language_of(category) == "python":
        calls = _mended_calls(docs, calls, dots_replaced)
    if "parallel" not in category:
        return check(docs, calls, accepted, category, dots_replaced=dots_replaced)
    if len(calls) != len(accepted):
        return strict

    def fits(call: Any, answer: Any) -> bool:
        return check(docs, [call], [answer], category, dots_replaced=dots_replaced).ok

    # An answer whose function is found nowhere is a defect, and fits no call.
    table = [[fits(call, answer) for call in calls] for answer in accepted]
    return ACCEPTED if _all_matched(table) else strict


def _all_matched(fits: Sequence[Sequence[bool]]) -> bool:
    """Whether each row can have a column of its own (Kuhn's algorithm)."""
    row_of: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        for column, fit in enumerate(fits[row]):
            if fit and column not in seen:
                seen.add(column)
                if column not in row_of or place(row_of[column], seen):
                    row_of[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(fits)))


def _mended_doc(doc: Any) -> Any:
    if not isinstance(doc, dict) or not isinstance(doc.get("parameters"), dict):
        return doc
    parameters = {"required": [], **doc["parameters"]}
    if isinstance(parameters.get("properties"), dict):
        parameters["properties"] = {
            name: _mended_type(one) for name, one in parameters["properties"].items()
        }
    return {**doc, "parameters": parameters}


def _mended_type(doc: Any) -> Any:
    if not isinstance(doc, dict):
        return doc
    mended = dict(doc)
    declared = mended.get("type")
    if isinstance(declared, str):
        mended["type"] = MENDED_TYPES.get(declared, declared)
    if "items" in mended:
        mended["items"] = _mended_type(mended["items"])
    return mended


def _mended_answer(answer: Any) -> Any:
    if not isinstance(answer, dict):
        return answer
    return {
        name: {key: _listed(values) for key, values in accepted.items()}
        if isinstance(accepted, dict)
        else accepted
        for name, accepted in answer.items()
    }


def _listed(values: Any) -> Any:
    """The accepted values of a parameter as a list, and those of the keys of a dict in it."""
    if not isinstance(values, list):
        values = [values]
    return [_listed_keys(value) for value in values]


def _listed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: one if isinstance(one, list) else [one] for key, one in value.items()}
    if isinstance(value, list):
        return [_listed_keys(one) if isinstance(one, dict) else one for one in value]
    return value


def _mended_calls(docs: list[Any], calls: list[Any], dots_replaced: bool) -> list[Any]:
    """The calls with integers in lists of floats as floats."""
    properties: dict[str, Any] = {}
    for doc in docs:
        if isinstance(doc, dict) and isinstance(doc.get("parameters"), dict):
            name = str(doc.get("name")).replace(".", "_" if dots_replaced else ".")
            properties[name] = doc["parameters"].get("properties")
    return [
        {name: _floats(arguments, properties.get(name)) for name, arguments in call.items()}
        for call in calls
    ]


def _floats(arguments: dict[str, Any], properties: Any) -> dict[str, Any]:
    if not isinstance(properties, dict):
        return arguments
    return {name: _as_floats(value, properties.get(name)) for name, value in arguments.items()}


def _as_floats(value: Any, doc: Any) -> Any:
    if not isinstance(doc, dict):
        return value
    if doc.get("type") in ("array", "tuple") and type(value) in (list, tuple):
        return type(value)(_as_floats(one, doc.get("items")) for one in value)
    if doc.get("type") == "float" and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return value
    return value
