"""What a reply may be, as a grammar: calls that are really forced, and JSON that fits its schema.

Writes Lark text for llguidance, which llama.cpp and vLLM both carry. What the grammar lets through
is the format of `formosa.jinja`, byte for byte, so a forced call looks like one of training, and
`parser.py` reads it back. Knows nothing of engines; only the text.

A tool's schema is made ready first (`prepared_schema`):

- what only describes (titles, descriptions, defaults, a `format` that is no more than a note) is
  left out; what constrains and can't be enforced is refused here, with its path, and not somewhere
  in an engine;
- an object that lists its properties gets no others, unless the schema asks for them. By the
  standard a model could invent any key; small ones do, and a function can't take it.

So a grammar may allow less than the schema, never more. A schema that contradicts itself (an enum
of other types than its `type`) is left to the engine to refuse.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from formosa.chat.message import Tool, json_text, read_object
from formosa.chat.tags import CALL, END_CALL, END_THINK, THINK
from formosa.errors import MessageError

# Bytes as in training: one space after a comma or a colon.
SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
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


def reply_grammar(
    *,
    tools: Sequence[Tool] = (),
    named: str | None = None,
    parallel: bool = True,
    json_schema: Mapping[str, Any] | None = None,
    reasoning: Literal["none", "may", "open"] = "none",
    tag_tokens: Collection[str] = (),
    thought_tokens: int | None = None,
) -> str:
    """Lark text for a reply of calls, or of JSON, or (with `tools` and `json_schema`) of either.

    Args:
        tools: those that may be called; one call at least must come.
        named: only the tool of this name.
        parallel: whether a second call may follow.
        json_schema: the reply is one JSON value that fits it; `{}` is any JSON object.
        reasoning: `may`: a think block can come first. `open`: the prompt opened one, so the reply
            begins with thoughts.
        tag_tokens: those of our tags that are single control tokens of the vocabulary.
        thought_tokens: how long thoughts may be; then `</think>` is written for the model.

    Raises:
        MessageError: no tool has that name, or a schema asks for what no grammar can hold.
    """
    if not tools and json_schema is None:
        raise ValueError("a grammar needs tools or a schema")
    tags = {tag: tag if tag in tag_tokens else _text(tag) for tag in (CALL, THINK, END_THINK)}
    tags[END_CALL] = END_CALL if END_CALL in tag_tokens else _text(END_CALL)
    bodies, rules = [], []
    if tools:
        chosen = [i for i, tool in enumerate(tools) if named is None or tool.name == named]
        if not chosen:
            raise MessageError("tool_choice", f"no tool is called {named!r}")
        bodies.append('call ("\\n" call)*' if parallel else "call")
        options = " | ".join(f"tool{i}" for i in chosen)
        rules.append(f'call: {tags[CALL]} ({options}) "}}\\n" {tags[END_CALL]}')
        for i in chosen:
            path = f"tools[{i}].function.parameters"
            before = f'\n{{"name": {json_text(tools[i].name)}, "arguments": '
            rules.append(f"tool{i}: {_text(before)} arguments{i}")
            schema = _prepared_text(tools[i].parameters, path)
            rules.append(f"arguments{i}: %json {schema}")
    if json_schema is not None:
        bodies.append("json")
        ready = prepared_schema(json_schema or {"type": "object"}, "json_schema")
        rules.append(f"json: %json {_with_spacing(ready)}")
    start = f"({' | '.join(bodies)})"
    if reasoning != "none":
        rest = f'thought {tags[END_THINK]} "\\n\\n"'
        start = f"{rest} {start}" if reasoning == "open" else f"think? {start}"
        if reasoning == "may":
            rules.append(f"think: {tags[THINK]} {rest}")
        rules.extend(_thought(thought_tokens))
    return "\n".join([f"start: {start}", *rules, ""])


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


@functools.lru_cache(maxsize=1024)
def _prepared_text(parameters: str, path: str) -> str:
    schema = read_object(parameters, path)
    if schema.setdefault("type", "object") != "object":
        raise MessageError(f"{path}.type", "arguments are an object")
    return _with_spacing(prepared_schema(schema, path))


def _with_spacing(schema: dict[str, Any]) -> str:
    return json.dumps({**schema, "x-guidance": SPACING})


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


def _thought(tokens: int | None) -> list[str]:
    """Text without `</think>`, in pieces that begin with `<` or hold none: so it is known at once
    where the block ends, whether the model or the limit ends it. Not possible: a `<` right before
    a tag. A limit that falls into a character leaves half of it."""
    if tokens is not None and tokens < 0:
        raise ValueError("a number of tokens is not negative")
    if tokens == 0:
        return ['thought: ""']
    other = ""  # from the inside out: what may follow each beginning of the tag
    for character in reversed(END_THINK[1:]):
        mark = "\\/" if character == "/" else character
        other = f"([^{mark}<]|{mark}{other})" if other else f"[^{mark}<]"
    pieces = [f"WORDS: /[^<]+/\nOTHER: /<{other}[^<]*/\nMORE: /<<+[^\\/<][^<]*/"]
    if tokens is None:
        return ["thought: (WORDS | OTHER | MORE)*", *pieces]
    inner = "\n".join(["start: (WORDS | OTHER | MORE)*", *pieces])
    return [f"thought[max_tokens={tokens}]: %lark {{\n{inner}\n}}"]


def _text(text: str) -> str:
    """A literal of Lark, which reads the escapes of JSON."""
    return json.dumps(text)
