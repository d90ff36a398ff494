"""Tools documented at length, as people document functions: options and examples in sentences.

A catalogue's schema says a default as `default` and the options as `enum`. Much that models meet
says it in sentences instead: "Optional. The unit, 'm' or 'ft'. Default is 'm'.", "e.g. 'Tainan'".
A model that never saw this takes the example for the value. So a row's tools can be rewritten in
that manner: less is said by the schema and more by its words, and nothing that was asked changes.

Knows schemas and slots; which rows are rewritten is decided in `generate.py`, with dice of their
own, so that all other rows stay as they are.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping
from typing import Any

from formosa.chat.message import Tool, json_text
from formosa.data.synth.slots import Made, Scene, Words
from formosa.data.synth.specs import Pair, ToolSpec, styled_parameter

IN_WORDS = 0.6  # of defaults and options: how often only the words say them
EXAMPLE = 0.35  # of texts copied from the question
GIVEN = 0.5  # of tools with up to MOST required values: how often the description names them
MOST = 3

DEFAULT = (
    Pair("Default is {}.", "預設為 {}。"),
    Pair("Defaults to {} if not given.", "未提供時為 {}。"),
    Pair("Optional, {} by default.", "選填，預設 {}。"),
)
OPTIONS = (
    Pair("Options: {}.", "可用值：{}。"),
    Pair("Can be {}.", "可以是{}。"),
    Pair("One of {}.", "其中之一：{}。"),
)
EXAMPLES = (Pair("e.g. {}", "例如{}"), Pair("for example {}", "如{}"), Pair("such as {}", "像是{}"))
OPTIONAL = Pair("Optional.", "選填。")


def at_length(
    tool: Tool,
    spec: ToolSpec,
    rng: random.Random,
    *,
    language: str,
    style: str = "",
    said: Collection[str] = (),
) -> Tool:
    """The same tool with a longer description of everything, and less in its schema.

    Args:
        tool: as `ToolSpec.tool` gave it.
        spec: its entry in the catalogue.
        rng: the dice.
        language: of the descriptions.
        style: in which parameters are named.
        said: texts that the conversation's calls hold; they are no examples.
    """
    schema = json.loads(tool.parameters)
    slots = {styled_parameter(item.name, style): item.slot for item in spec.parameters}
    required = schema.get("required", [])
    given = [str(schema["properties"][name].get("description", "")) for name in required]
    properties = {
        name: _told(value, slots.get(name), rng, language, name in required, said)
        for name, value in schema["properties"].items()
    }
    text = tool.description
    if rng.random() < GIVEN and _can_be_named(given) and not text.endswith((".", "。")):
        text += _given(given, language)
    return Tool(tool.name, text, json_text({**schema, "properties": properties}))


def _told(
    schema: Mapping[str, Any],
    slot: object,
    rng: random.Random,
    language: str,
    required: bool,
    said: Collection[str],
) -> dict[str, Any]:
    """One parameter, its default, options and an example told in words."""
    found = dict(schema)
    zh = language == "zh-TW"
    text = str(found.get("description", "")).rstrip("。.")
    example = _example(slot, rng, language, said) if rng.random() < EXAMPLE else ""
    if example and text:
        form = EXAMPLES[rng.randrange(len(EXAMPLES))].of(language).format(example)
        text += f"，{form}" if zh else f", {form}"
    sentences = [text + ("。" if zh else ".")] if text else []
    enum = found.get("enum")
    if enum and None not in enum and rng.random() < IN_WORDS:
        del found["enum"]
        form = OPTIONS[rng.randrange(len(OPTIONS))].of(language)
        sentences.append(form.format(_listed(enum, zh)))
    if "default" in found and not _tells_default(text) and rng.random() < IN_WORDS:
        form = DEFAULT[rng.randrange(len(DEFAULT))].of(language)
        sentences.append(form.format(_quoted(found.pop("default"))))
    elif not required and rng.random() < 0.3:
        sentences.insert(0, OPTIONAL.of(language))
    if found.get("type") == "number" and rng.random() < 0.5:
        found["format"] = "float"
    if sentences:
        found["description"] = ("" if zh else " ").join(sentences)
    return found


def _tells_default(text: str) -> bool:
    """Whether a description tells its default."""
    return "default" in text.lower() or "預設" in text


def _example(slot: object, rng: random.Random, language: str, said: Collection[str]) -> str:
    """Another text that could stand there; "" where the slot has none, or all have been said."""
    if not isinstance(slot, Words | Made):
        return ""
    text = str(slot.draw(Scene(rng, language)).value)
    if any(text in other or other in text for other in said):
        return ""
    return _quoted(text) if language == "en" else f"「{text}」"


def _quoted(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else json_text(value)


def _listed(values: Collection[Any], zh: bool) -> str:
    quoted = [_quoted(value) for value in values]
    if zh or len(quoted) < 2:
        return "、".join(quoted)
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _can_be_named(texts: Collection[str]) -> bool:
    plain = all(text and not set(text) & set(";,；，.。[(") for text in texts)
    return 0 < len(texts) <= MOST and plain and not any(t.startswith("Whether") for t in texts)


def _given(texts: Collection[str], language: str) -> str:
    if language == "zh-TW":
        return f"，需要{'、'.join(texts)}。"
    # A name keeps its capital: "ISO code", "URL of the page".
    low = [text if text[1:2].isupper() else text[:1].lower() + text[1:] for text in texts]
    low = [text.removeprefix("the ") for text in low]
    return f", given the {' and the '.join(low)}."
