"""Replies of a given shape: `response_format`, and vLLM's `structured_outputs`.

Both say what may be written, so a request may have only one of them. The engine's own grammar
enforces it while the reply is written; nothing is checked or repaired afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from formosa.serve.protocol import refused

LONGEST_GRAMMAR = 200_000  # characters


class Shape(NamedTuple):
    """What a reply must look like; both None: as the model likes."""

    json_schema: Mapping[str, Any] | None = None
    grammar: str | None = None  # llguidance's Lark


def read_shape(
    response_format: Any, structured_outputs: Any, tag_tokens: Collection[str] = ()
) -> Shape:
    """The shape that a request asks for. `tag_tokens` are the tags that a grammar for its engine
    must name as tokens.

    Raises:
        RequestError: with the path of the field that can't be honoured.
    """
    shape = _response_format(response_format)
    if structured_outputs is None:
        return shape
    if shape != Shape():
        raise refused("structured_outputs", "not together with response_format")
    return _structured_outputs(structured_outputs, tag_tokens)


def has_exact_texts(structured_outputs: Any) -> bool:
    """Whether it asks for texts that may spell a tag: then `read_shape` needs to know the tags."""
    return isinstance(structured_outputs, dict) and bool(structured_outputs.get("choice"))


def _response_format(value: Any) -> Shape:
    if value is None:
        return Shape()
    if not isinstance(value, dict):
        raise refused("response_format", "must be an object")
    kind = value.get("type")
    if kind == "text":
        return Shape()
    if kind == "json_object":
        return Shape(json_schema={})
    if kind != "json_schema":
        raise refused(
            "response_format.type", f"must be text, json_object or json_schema, not {kind!r:.50}"
        )
    path = "response_format.json_schema"
    holder = value.get("json_schema")
    if not isinstance(holder, dict):
        raise refused(path, "must be an object with name and schema")
    if unknown := holder.keys() - {"name", "description", "schema", "strict"}:
        raise refused(f"{path}.{min(unknown)[:50]}", "unknown field")
    if not isinstance(holder.get("strict"), bool | None):
        raise refused(f"{path}.strict", "must be true or false")
    # `strict: false` asks for an effort to keep to the schema; keeping to it is one.
    return Shape(json_schema=_schema(holder.get("schema"), f"{path}.schema"))


def _structured_outputs(value: Any, tag_tokens: Collection[str]) -> Shape:
    """vLLM's field: `{"json": …}`, `{"choice": […]}`, `{"regex": …}` or `{"grammar": …}`."""
    if not isinstance(value, dict):
        raise refused("structured_outputs", "must be an object")
    given = {key: item for key, item in value.items() if item is not None}
    if len(given) != 1:
        raise refused("structured_outputs", "must have one of json, json_object, choice, regex, "
                      "grammar")  # fmt: skip
    ((kind, what),) = given.items()
    path = f"structured_outputs.{kind[:50]}"
    if kind == "json":
        if isinstance(what, str):
            try:
                what = json.loads(what)
            except (ValueError, RecursionError):
                raise refused(path, "not JSON") from None
        return Shape(json_schema=_schema(what, path))
    if kind == "json_object" and what is True:
        return Shape(json_schema={})
    if kind == "choice":
        if not isinstance(what, list) or not what or not all(isinstance(w, str) for w in what):
            raise refused(path, "must be a list of texts")
        return Shape(grammar=choice_grammar(what, tag_tokens))
    if kind in ("regex", "grammar"):
        if not isinstance(what, str) or not what or len(what) > LONGEST_GRAMMAR:
            raise refused(path, f"must be text of at most {LONGEST_GRAMMAR} characters")
        return Shape(grammar=what if kind == "grammar" else _regex_grammar(what))
    raise refused(path, "is none of json, json_object, choice, regex, grammar")


def choice_grammar(texts: list[str], tag_tokens: Collection[str] = ()) -> str:
    """Lark for one of these texts, to the letter. A tag that is a token goes by its name: written
    out, the model would have to spell it in pieces, as it never learned to."""
    return "start: " + " | ".join(_literal(text, tag_tokens) for text in texts)


def _literal(text: str, tag_tokens: Collection[str]) -> str:
    tags = "|".join(map(re.escape, sorted(tag_tokens)))
    parts = re.split(f"({tags})", text) if tags else [text]
    written = [
        part if part in tag_tokens else json.dumps(part, ensure_ascii=False)
        for part in parts
        if part
    ]
    return " ".join(written) or '""'


def _regex_grammar(pattern: str) -> str:
    escaped = pattern.replace("\n", "\\n")
    # A slash ends the pattern, unless it is escaped already.
    parts = escaped.split("\\\\")
    slashed = "\\\\".join(part.replace("\\/", "/").replace("/", "\\/") for part in parts)
    return f"start: /{slashed}/"


def _schema(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise refused(path, "must be a JSON schema, an object")
    return value
