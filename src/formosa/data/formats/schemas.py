"""The parameters of a tool as a JSON schema, from the ways in which data sets write them.

    JSON schema     {"type": "object", "properties": {…}}         kept as it is spelled
    Python's names  {"type": "dict", "properties": {… "str" …}}    names are put right, no more
    short form      {"city": {"type": "str, optional", "description": …, "default": …}}   (xLAM)

A type that has no name in JSON (`Callable`, `np.ndarray`) is refused: guessing one would teach a
model arguments that nobody takes. In the short form an argument is required unless its type says
`optional` or it has a default.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from formosa.chat.message import NO_PARAMETERS, json_text
from formosa.data.formats.problems import BAD_TOOL, RowError
from formosa.errors import MessageError

JSON_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
_NAMES = {
    "str": "string", "text": "string", "int": "integer", "long": "integer", "float": "number",
    "double": "number", "bool": "boolean", "list": "array", "tuple": "array",
    "set": "array", "sequence": "array", "iterable": "array", "dict": "object",
    "mapping": "object", "none": "null", "nonetype": "null",
    **{name: name for name in JSON_TYPES},
}  # fmt: skip
_SHORT_KEYS = {"type", "description", "default", "enum", "required", "items", "properties"}


def parameters_text(value: Any, spelled: str | None, path: str) -> str:
    """The text of the JSON schema that `value` means.

    Args:
        value: what stands under `parameters`.
        spelled: its text in the source, kept where it is a JSON schema already.
        path: for the error.

    Raises:
        MessageError: it is in none of the three forms, or names a type that JSON lacks.
    """
    if value is None or value == "" or value == {}:
        return NO_PARAMETERS
    if not isinstance(value, Mapping):
        raise MessageError(path, f"must be an object, not {type(value).__name__}")
    if not _is_schema(value):
        return json_text(_from_short(value, path))
    if _has_python_names(value):
        return json_text(_renamed(value, path))
    return spelled if spelled is not None else json_text(dict(value))


def python_type(text: str, path: str) -> dict[str, Any]:
    """The JSON schema of a Python type: `List[int]`, `Optional[str]`, `Union[int, float]`.

    Raises:
        MessageError: JSON has no such type.
    """
    plain = text.strip()
    try:
        return _of_node(ast.parse(plain, mode="eval").body, path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RowError(
            path, f"{text!r} is no type that JSON has", "type that JSON lacks"
        ) from error


def _is_schema(value: Mapping[str, Any]) -> bool:
    listed = value.get("properties")
    if isinstance(listed, Mapping) and "type" not in value:
        return all(isinstance(item, Mapping) for item in listed.values())
    if any(key in value for key in ("$ref", "anyOf", "oneOf", "allOf", "$schema")):
        return True
    return value.get("type") in ("object", "dict")


def _has_python_names(value: Any) -> bool:
    """Whether any `type` in a schema is a name that only Python knows."""
    if isinstance(value, Mapping):
        name = value.get("type")
        if isinstance(name, str) and name not in JSON_TYPES:
            return True
        return any(_has_python_names(item) for item in _below(value))
    return isinstance(value, list) and any(map(_has_python_names, value))


def _below(schema: Mapping[str, Any]) -> list[Any]:
    """The schemas directly within a schema."""
    found = [schema.get("items"), *map(schema.get, ("anyOf", "oneOf", "allOf"))]
    for key in ("properties", "$defs", "definitions"):
        if isinstance(schema.get(key), Mapping):
            found += schema[key].values()
    return [item for item in found if isinstance(item, Mapping | list)]


def _renamed(value: Any, path: str) -> Any:
    """A schema with Python's names of types replaced, everything else as it was."""
    if isinstance(value, list):
        return [_renamed(item, f"{path}[{i}]") for i, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    result = dict(value)
    name = result.pop("type", None)
    if isinstance(name, str) and name not in JSON_TYPES:
        given, _ = _without_optional(name)  # which ones are needed, `required` says
        result = {**python_type(given, f"{path}.type"), **result}
    elif name is not None:
        result = {"type": name, **result}
    for key in ("items", "anyOf", "oneOf", "allOf"):
        if key in result:
            result[key] = _renamed(result[key], f"{path}.{key}")
    for key in ("properties", "$defs", "definitions"):
        if isinstance(result.get(key), Mapping):
            result[key] = {
                name: _renamed(item, f"{path}.{key}.{name}") for name, item in result[key].items()
            }
    return result


def _from_short(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    properties, required = {}, []
    for name, item in value.items():
        place = f"{path}.{name}"
        if not isinstance(item, Mapping) or not isinstance(item.get("type"), str):
            raise RowError(place, "is neither a JSON schema nor a short form with a type", BAD_TOOL)
        unknown = sorted(set(item) - _SHORT_KEYS)
        if unknown:
            raise RowError(f"{place}.{unknown[0]}", "unknown key of a parameter", BAD_TOOL)
        kind, optional = _without_optional(item["type"])
        needed = item.get("required", not optional and "default" not in item)
        if not isinstance(needed, bool):
            raise RowError(f"{place}.required", "must be true or false", BAD_TOOL)
        rest = {key: part for key, part in item.items() if key not in ("type", "required")}
        if isinstance(rest.get("properties"), Mapping) or "items" in rest:
            rest = _renamed(rest, place)
        properties[name] = {**python_type(kind, f"{place}.type"), **rest}
        if needed:
            required.append(name)
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _without_optional(text: str) -> tuple[str, bool]:
    """`str, optional` and `Optional[str]` as (`str`, True)."""
    kind, comma, rest = text.rpartition(",")
    if comma and rest.strip().lower() == "optional":
        return kind.strip(), True
    stripped = text.strip()
    if stripped.startswith("Optional[") and stripped.endswith("]"):
        return stripped[len("Optional[") : -1], True
    return stripped, False


def _of_node(node: ast.expr, path: str) -> dict[str, Any]:
    match node:
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.Name(id="Any" | "any"):
            return {}
        case ast.Name(id=name):
            return {"type": _json_name(name)}
        case ast.Attribute(value=ast.Name(id="typing"), attr=name):
            return _of_node(ast.Name(id=name), path)
        case ast.Subscript(
            value=ast.Attribute(value=ast.Name(id="typing"), attr=name), slice=inner
        ):
            return _of_generic(name, inner, path)
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            return _of_generic(name, inner, path)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either([left, right], path)
    raise ValueError(ast.dump(node))


def _of_generic(name: str, inner: ast.expr, path: str) -> dict[str, Any]:
    arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    match name.lower():
        case "list" | "set" | "sequence" | "iterable" if len(arguments) == 1:
            return {"type": "array", "items": _of_node(arguments[0], path)}
        case "tuple":
            if len(arguments) == 2 and isinstance(arguments[1], ast.Constant):  # Tuple[int, ...]
                return {"type": "array", "items": _of_node(arguments[0], path)}
            parts = [_of_node(item, path) for item in arguments]
            every = parts[0] if all(part == parts[0] for part in parts) else {"anyOf": parts}
            count = len(parts)
            return {"type": "array", "items": every, "minItems": count, "maxItems": count}
        case "dict" | "mapping" if len(arguments) == 2:
            if _of_node(arguments[0], path) not in ({"type": "string"}, {}):
                raise ValueError("keys of a JSON object are strings")
            value = _of_node(arguments[1], path)
            schema: dict[str, Any] = {"type": "object"}
            return {**schema, "additionalProperties": value} if value else schema
        case "optional" if len(arguments) == 1:
            return _either([arguments[0], ast.Constant(value=None)], path)
        case "union":
            return _either(arguments, path)
        case "literal":
            return {"enum": [ast.literal_eval(item) for item in arguments]}
    raise ValueError(name)


def _either(nodes: list[ast.expr], path: str) -> dict[str, Any]:
    parts = [_of_node(node, path) for node in nodes]
    if {} in parts:
        return {}
    if all(set(part) == {"type"} and isinstance(part["type"], str) for part in parts):
        names = list(dict.fromkeys(part["type"] for part in parts))
        return {"type": names[0] if len(names) == 1 else names}
    return {"anyOf": parts}


def _json_name(name: str) -> str:
    found = _NAMES.get(name.lower(), "")
    if not found:
        raise ValueError(name)
    return found
