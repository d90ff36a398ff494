"""What a reply may be, as a grammar: calls forced or held to their schemas, and fitting JSON.

Writes Lark text for llguidance, which llama.cpp and vLLM both carry. What the grammar lets through
is the format of `formosa.jinja`, byte for byte, so a forced call looks like one of training, and
`parser.py` reads it back. Knows nothing of engines, only the text; schemas are made ready in
`grammar_schema.py`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from formosa.chat.grammar_schema import prepared_schema
from formosa.chat.message import Tool, json_text, read_object
from formosa.chat.tags import CALL, END_CALL, END_THINK, THINK
from formosa.errors import MessageError

# Bytes as in training: one space after a comma or a colon.
SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def reply_grammar(
    *,
    tools: Sequence[Tool] = (),
    named: str | None = None,
    parallel: bool = True,
    json_schema: Mapping[str, Any] | None = None,
    reasoning: Literal["none", "may", "open"] = "none",
    tag_tokens: Collection[str] = (),
    thought_tokens: int | None = None,
    words: bool = False,
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
        words: the reply may be words instead, or begin with them: whatever does not begin with a
            tag. A call behind them is held like any other.

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
        calls = 'call ("\\n" call)*' if parallel else "call"
        bodies.append(f"said? {calls} | said" if words else calls)
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
    if words:
        rules += ["said: SAID (SAID | SAID_OTHER | SAID_MORE)*", *_without(CALL, "SAID")]
    start = f"({' | '.join(bodies)})"
    if reasoning != "none":
        rest = f'thought {tags[END_THINK]} "\\n\\n"'
        start = f"{rest} {start}" if reasoning == "open" else f"think? {start}"
        if reasoning == "may":
            rules.append(f"think: {tags[THINK]} {rest}")
        rules.extend(_thought(thought_tokens))
    return "\n".join([f"start: {start}", *rules, ""])


@functools.lru_cache(maxsize=1024)
def _prepared_text(parameters: str, path: str) -> str:
    schema = read_object(parameters, path)
    if schema.setdefault("type", "object") != "object":
        raise MessageError(f"{path}.type", "arguments are an object")
    return _with_spacing(prepared_schema(schema, path))


def _with_spacing(schema: dict[str, Any]) -> str:
    return json.dumps({**schema, "x-guidance": SPACING})


def _thought(tokens: int | None) -> list[str]:
    """Text without `</think>`. A limit that falls into a character leaves half of it."""
    if tokens is not None and tokens < 0:
        raise ValueError("a number of tokens is not negative")
    if tokens == 0:
        return ['thought: ""']
    text, pieces = "(WORDS | WORDS_OTHER | WORDS_MORE)*", _without(END_THINK, "WORDS")
    if tokens is None:
        return [f"thought: {text}", *pieces]
    inner = "\n".join([f"start: {text}", *pieces])
    return [f"thought[max_tokens={tokens}]: %lark {{\n{inner}\n}}"]


def _without(tag: str, name: str) -> list[str]:
    """Pieces of text without a tag, that begin with `<` or hold none: so it is known at once where
    the text ends, whether the model or a limit ends it. Not possible: a `<` right before the tag,
    or at the end."""
    other = ""  # from the inside out: what may follow each beginning of the tag
    for character in reversed(tag[1:]):
        mark = "\\/" if character == "/" else character
        other = f"([^{mark}<]|{mark}{other})" if other else f"[^{mark}<]"
    first = "\\/" if tag[1] == "/" else tag[1]
    return [
        f"{name}: /[^<]+/",
        f"{name}_OTHER: /<{other}[^<]*/",
        f"{name}_MORE: /<<+[^{first}<][^<]*/",
    ]


def _text(text: str) -> str:
    """A literal of Lark, which reads the escapes of JSON."""
    return json.dumps(text)
