"""The AST rules for one value: its type, then whether it is among the accepted ones.

Source: `ast_checker.py` of bfcl-eval 2026.3.23 (rules unchanged since August 2024). What looks odd
here is odd there; the comments name the oddities so that nobody mends them: a lenient reading has
to be another scorer.

"" among the accepted values means: may be left out. It is also a value like any other, so a
string of nothing but ignored characters equals it, and `[]` does.

Types are compared exactly (`type(value) is int`): True is no integer, and 5.0 is none. Values are
compared with `==`, for which 1, 1.0 and True are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from formosa.evals.bfcl.literals import (
    JAVA_TYPES,
    JAVASCRIPT_TYPES,
    Language,
    java_value,
    javascript_value,
)
from formosa.evals.bfcl.verdict import ACCEPTED, DataDefectError, Verdict, show, show_data, wrong

TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
"""Types of the Python categories."""

_TYPES: Mapping[Language, Mapping[str, type]] = {
    "python": TYPES,
    "java": JAVA_TYPES,
    "javascript": JAVASCRIPT_TYPES,
}
_LISTS: Mapping[Language, tuple[str, ...]] = {  # types whose elements have a type, too
    "python": ("array", "tuple"),
    "java": ("Array", "ArrayList"),
    "javascript": ("array",),
}
_NOT_SOURCE: Mapping[Language, str] = {"java": "type_error:java", "javascript": "type_error:js"}

_IGNORED = str.maketrans("", "", " ,./-_*^")


def norm(text: str) -> str:
    """The text as it is compared: eight characters deleted, lower case, ' as ".

    The order matters: what follows a Greek sigma decides its lower case.
    """
    return text.translate(_IGNORED).lower().replace("'", '"')


def check_value(
    name: str, value: Any, doc: Any, accepted: Any, language: Language = "python"
) -> Verdict:
    """Whether the argument `name` has the type of its doc and one of the accepted values.

    Args:
        name: for the sentence.
        value: as decoded from the reply.
        doc: the parameter's entry in the function doc.
        accepted: the list of accepted values.
        language: of the category; in Java and JavaScript every argument is source text.

    Raises:
        DataDefectError: the doc or the accepted values cannot be read.
    """
    types = _TYPES[language]
    declared = _type_name(doc, name)
    kind = _python_type(declared, types, name)
    if language != "python" and type(value) is not str:
        return wrong(_NOT_SOURCE[language], f"{name}: {show(value)} is no text with {language}")
    inner_declared = inner = None
    if declared in _LISTS[language]:
        inner_declared = _type_name(_mapping(doc, name).get("items"), f"items of {name}")
        inner = _python_type(inner_declared, types, name)
    if not isinstance(accepted, list):
        raise DataDefectError(f"the accepted values of {name} are no list")

    if language == "java":
        value = java_value(value, declared, inner_declared)
    elif language == "javascript":
        value = javascript_value(value, declared, inner_declared)
    elif declared == "tuple" and type(value) is tuple:
        value = list(value)
    elif declared == "float" and type(value) is int:
        with suppress(OverflowError):  # hundreds of digits: it stays an int, and fails as one
            value = float(value)

    problem, variable = _check_type(value, kind, inner, accepted)
    if problem:
        expected = declared if inner is None else f"{declared} of {inner.__name__}"
        return wrong(problem, f"{name}: {show(value)} is not of the type {expected}")
    # A "variable" has the type of the accepted values, not of the doc. It is compared raw.
    if not variable:
        if kind is dict:
            return _check_dict(name, value, accepted)
        if kind is list:
            if inner is dict:
                return _check_list_of_dicts(name, value, accepted)
            return _check_list(name, value, accepted)
        if kind is str:
            if norm(value) in [norm(one) for one in accepted if type(one) is str]:
                return ACCEPTED
            return _not_among("value_error:string", name, value, accepted)
    if value in accepted:
        return ACCEPTED
    return _not_among("value_error:others", name, value, accepted)


def _check_type(
    value: Any, kind: type, inner: type | None, accepted: list[Any]
) -> tuple[str, bool]:
    """The error type ("" if the type fits), and whether the value counts as a variable."""
    known = _first_type(accepted)
    if type(value) is kind:
        if inner is None or _elements_fit(value, inner, accepted):
            return "", known is not None and known is not kind
        return ("type_error:nested" if known is kind else "type_error:simple"), False
    if known is not None and type(value) is known:
        return "", True
    return "type_error:simple", False


def _elements_fit(value: Any, inner: type, accepted: list[Any]) -> bool:
    """One level deep. The first accepted value that is no list, such as "", lets all pass.

    An int in a list of floats does not fit, although a bare int does where a float is declared.
    """
    for alternative in accepted:
        if not isinstance(alternative, list):
            return True
        known = _first_type(alternative)
        if all(type(item) is inner or type(item) is known for item in value):
            return True
    return False


def _first_type(accepted: list[Any]) -> type | None:
    """The type of the first accepted value that is not "" (None: there is none)."""
    for one in accepted:
        if one != "":
            return type(one)
    return None


def _check_list(name: str, value: list[Any], accepted: list[Any]) -> Verdict:
    """Element by element in order. Strings are normalised on the top level only."""
    # All are read before one is compared: a defect shows whatever the model wrote.
    wanted = [_normed_items(alternative, name) for alternative in accepted]
    if [_normed(item) for item in value] in wanted:
        return ACCEPTED
    return _not_among("value_error:list/tuple", name, value, accepted)


def _check_dict(name: str, value: dict[str, Any], accepted: list[Any]) -> Verdict:
    """The first alternative that fits; else the error of the last one."""
    last = wrong("dict_checker:unclear", f"{name}: only leaving it out is accepted")
    for alternative in accepted:
        if alternative == "":
            continue
        last = _compare_dict(name, value, _mapping(alternative, name))
        if last.ok:
            break
    return last


def _compare_dict(name: str, value: dict[str, Any], wanted: Mapping[str, Any]) -> Verdict:
    verdict = ACCEPTED
    for key, item in value.items():
        if key not in wanted:
            verdict = wrong("value_error:dict_key", f"{name}: unexpected key {show(key)}")
            break
        if _normed(item) not in _normed_items(wanted[key], f"{name}.{key}"):
            verdict = _not_among("value_error:dict_value", f"{name}.{key}", item, wanted[key])
            break
    # A missing key is looked for even then, and overrides the error.
    for key, accepted in wanted.items():
        if key not in value and not may_be_left_out(accepted, f"{name}.{key}"):
            return wrong("value_error:dict_key", f"{name}: the key {show(key)} is missing")
    return verdict


def _check_list_of_dicts(name: str, value: list[Any], accepted: list[Any]) -> Verdict:
    """Position by position; the first alternative that fits, else the error of the last one."""
    last = wrong("list_dict_checker:unclear", f"{name}: nothing is accepted")
    for alternative in accepted:
        if not isinstance(alternative, list | str | dict):
            raise DataDefectError(f"an accepted value of {name} is no list of dicts")
        if len(value) != len(alternative):  # "" has the length 0
            last = wrong(
                "value_error:list_dict_count",
                f"{name}: {len(value)} dicts, expected {len(alternative)}",
            )
            continue
        last = ACCEPTED
        for i, (item, wanted) in enumerate(zip(value, alternative, strict=True)):
            if type(item) is not dict and wanted != "":
                # "" among the accepted values switches off the check of the elements' type. The
                # reference crashes here; what the model wrote is never a defect of the data.
                return wrong("type_error:nested", f"{name}[{i}]: {show(item)} is not a dict")
            last = _check_dict(f"{name}[{i}]", item, [wanted])
            if not last.ok:
                break
        if last.ok:
            break
    return last


def may_be_left_out(accepted: Any, name: str) -> bool:
    """Whether "" is among the accepted values.

    In a text it always is: a text in the place of a list is a known defect of the data, and the
    reference reads it character by character.
    """
    if not isinstance(accepted, list | str | dict):
        raise DataDefectError(f"the accepted values of {name} are no list")
    return "" in accepted


def _normed(item: Any) -> Any:
    return norm(item) if type(item) is str else item


def _normed_items(accepted: Any, name: str) -> list[Any]:
    if not isinstance(accepted, list | str) and accepted != {}:
        raise DataDefectError(f"the accepted values of {name} are no list")
    return [_normed(item) for item in accepted]


def _not_among(kind: str, name: str, value: Any, accepted: Any) -> Verdict:
    return wrong(kind, f"{name}: {show(value)} is not among {show_data(accepted)}")


def _type_name(doc: Any, name: str) -> str:
    declared = doc.get("type") if type(doc) is dict else _mapping(doc, name).get("type")
    if not isinstance(declared, str):
        raise DataDefectError(f"the function doc gives {name} no type")
    return declared


def _python_type(declared: str, types: Mapping[str, type], name: str) -> type:
    kind = types.get(declared)
    if kind is None:
        raise DataDefectError(f"the function doc gives {name} the unknown type {show(declared)}")
    return kind


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataDefectError(f"{name}: {show(value)} stands where an object is needed")
    return value
