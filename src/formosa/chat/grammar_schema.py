"""Make a JSON schema ready for a grammar, or say why no grammar can hold it.

What only describes (titles, descriptions, defaults, a `format` that is no more than a note) is left
out. What constrains and can't be enforced while a model writes is refused here, with its path, and
not somewhere in an engine.

An object that lists its properties gets no others, unless the schema asks for them. By the standard
a model could invent any key; small ones do, and a function can't take it.

So the result may allow less than the schema, never more. A schema that contradicts itself (an enum
of other types than its `type`) is left to the engine to refuse.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from formosa.errors import MessageError

LONGEST_ARRAY = 2000  # items; each is a symbol of the grammar, and older engines hold 65,000

_VALUES = {
    *("type", "const", "enum", "required", "pattern", "multipleOf"),
    *("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
_SCHEMAS = {"items", "additionalProperties"}
_LISTS = {"anyOf", "oneOf", "allOf", "prefixItems"}
_MAPS = {"properties", "patternProperties", "$defs", "definitions"}
_REFUSED = {
    *("not", "if", "contains", "propertyNames", "uniqueItems"),
    *("dependencies", "dependentRequired", "dependentSchemas"),
    *("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"),
}
# Those that every llguidance knows. Any other is an annotation, as the standard has it.
_FORMATS = {
    *("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"),
}
_COMBINE = {"$ref", "anyOf", "oneOf", "allOf"}
_LOOK_AROUND = re.compile(r"\(\?(?:=|!|<=|<!)|(?<!\\)(?:\\\\)*\\[1-9bB]")


def prepared_schema(schema: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The schema as it goes into a grammar. What fits the result fits `schema`.

    Raises:
        MessageError: it is not a JSON schema, or asks for what a grammar can't hold.
    """
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        json.dumps(schema, allow_nan=False)
        # Schemas that are put together share their keys, so none of them can be closed alone.
        together = any(
            "allOf" in part or ("properties" in part and part.keys() & _COMBINE)
            for part, _ in _parts(schema, path)
        )
        ready = _ready(schema, path, closing=not together)
    except jsonschema.SchemaError as error:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.path)
        problem = f"not a JSON schema: {error.message[:200]}"
        raise MessageError(f"{path}{where}", problem) from error
    except RecursionError as error:
        raise MessageError(path, "nested too deeply") from error
    except (ValueError, TypeError) as error:
        raise MessageError(path, f"not JSON: {error}") from error
    if not isinstance(ready, dict):  # true or false were ruled out by the type
        raise AssertionError("a mapping stays a mapping")
    for part, where in list(_parts(ready, path)):
        if "oneOf" in part:
            options = part.pop("oneOf")
            if not all(_disjoint(*pair, ready) for pair in itertools.combinations(options, 2)):
                raise MessageError(f"{where}.oneOf", "its options may overlap, so use anyOf")
            part["allOf"] = [*part.get("allOf", ()), {"anyOf": options}]
    for part, where in _parts(ready, path):
        if "$ref" in part and _resolved(part, ready) is None:
            raise MessageError(f"{where}.$ref", f"leads nowhere in this schema: {part['$ref']!r}")
    return ready


def _ready(schema: Any, path: str, *, closing: bool) -> Any:
    if isinstance(schema, bool):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        where = f"{path}.{key}"
        if key in _MAPS:
            result[key] = {
                name: _ready(item, f"{where}.{name}", closing=closing)
                for name, item in value.items()
            }
        elif key in _LISTS:
            result[key] = [
                _ready(item, f"{where}[{i}]", closing=closing) for i, item in enumerate(value)
            ]
        elif key in _SCHEMAS:
            result[key] = _ready(value, where, closing=closing)
        elif key == "$ref":
            if value != "#" and not value.startswith("#/"):
                raise MessageError(where, f"only references inside the schema work: {value!r}")
            result[key] = value
        elif key == "pattern" and _LOOK_AROUND.search(value):
            raise MessageError(where, "look-around and back references can't be enforced")
        elif key in ("minItems", "maxItems") and value > LONGEST_ARRAY:
            raise MessageError(where, f"more than {LONGEST_ARRAY} items are too many for a grammar")
        elif key in _VALUES or (key == "format" and value in _FORMATS):
            result[key] = value
        elif key in _REFUSED and value is not False:
            raise MessageError(where, "can't be enforced while the model writes")
    if closing and "properties" in result and _is_plain(result):
        result["additionalProperties"] = False
    return result


def _is_plain(schema: dict[str, Any]) -> bool:
    """Whether the listed properties are all that the schema says about keys."""
    if schema.keys() & {"additionalProperties", "patternProperties"}:
        return False
    few = schema.get("minProperties", 0) > len(schema["properties"])
    return not few and set(schema.get("required", ())) <= schema["properties"].keys()


def _parts(schema: Any, path: str) -> Iterator[tuple[Any, str]]:
    """The schema, each schema inside it, and where they stand."""
    if not isinstance(schema, Mapping):
        return
    yield schema, path
    for key, value in schema.items():
        if key in _MAPS:
            for name, item in value.items():
                yield from _parts(item, f"{path}.{key}.{name}")
        elif key in _LISTS:
            for i, item in enumerate(value):
                yield from _parts(item, f"{path}.{key}[{i}]")
        elif key in _SCHEMAS:
            yield from _parts(value, f"{path}.{key}")


def _resolved(schema: Any, root: dict[str, Any]) -> Any:
    """What the schema's `$ref` leads to; the schema itself without one, None for a dead end."""
    seen = 0
    while isinstance(schema, dict) and "$ref" in schema:
        found: Any = root
        for part in schema["$ref"].split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            elif isinstance(found, dict) and part in found:
                found = found[part]
            else:
                return None
        schema, seen = found, seen + 1
        if seen > 100:
            return None  # it leads to itself
    return schema if isinstance(schema, dict | bool) else None


def _disjoint(one: Any, other: Any, root: dict[str, Any]) -> bool:
    """Whether no value can fit both: other types, or a key that tells them apart."""
    one, other = _resolved(one, root), _resolved(other, root)
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one is False or other is False
    if not _types(one) & _types(other):
        return True
    if {"object"} != _types(one) & _types(other):
        return _apart(one, other)
    return any(
        _apart(
            _resolved(one.get("properties", {}).get(key, {}), root),
            _resolved(other.get("properties", {}).get(key, {}), root),
        )
        for key in {*one.get("required", ())} & {*other.get("required", ())}
    )


def _types(schema: dict[str, Any]) -> set[str]:
    said = schema.get("type", ["null", "boolean", "object", "array", "number", "string"])
    types = {said} if isinstance(said, str) else set(said)
    return {"number" if name == "integer" else name for name in types}


def _apart(one: Any, other: Any) -> bool:
    """Whether both list their values, and none is in both lists."""
    lists = []
    for schema in (one, other):
        if not isinstance(schema, dict) or not schema.keys() & {"const", "enum"}:
            return False
        values = [schema["const"]] if "const" in schema else schema["enum"]
        lists.append({json.dumps(value, sort_keys=True) for value in values})
    return not lists[0] & lists[1]
