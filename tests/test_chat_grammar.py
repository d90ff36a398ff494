"""Grammars: what they let through can be read back, and fits the schema.

llguidance's own matcher walks through a grammar here, with one token for each byte; so the property
needs no model. The tests at the end ask the embedded model.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from formosa.chat.grammar import reply_grammar
from formosa.chat.grammar_schema import LONGEST_ARRAY, prepared_schema
from formosa.chat.message import Message, Tool
from formosa.chat.parser import parse_reply
from formosa.chat.reply import Reply
from formosa.chat.template import ChatTemplate
from formosa.errors import MessageError

llguidance = pytest.importorskip("llguidance")

WEATHER = Tool.of(
    "get_weather",
    "天氣",
    {
        "type": "object",
        "properties": {
            "location": {"type": "string"},
            "unit": {"enum": ["celsius", "fahrenheit"]},
        },
        "required": ["location", "unit"],
    },
)
NOW = Tool("now")
A_CALL = (
    '<tool_call>\n{"name": "get_weather", '
    '"arguments": {"location": "臺北", "unit": "celsius"}}\n</tool_call>'
)
NOW_CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
EOS, SPECIAL = 256, ("<tool_call>", "</tool_call>", "<think>", "</think>")


class Bytes:
    """A vocabulary with a token for each byte, one for the end, and our tags as control tokens."""

    bos_token_id = None
    eos_token_id = EOS
    special_token_ids = list(range(EOS, EOS + 1 + len(SPECIAL)))
    tokens = [bytes([i]) for i in range(256)] + [b"<eos>", *(tag.encode() for tag in SPECIAL)]

    def __call__(self, text: Any) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


VOCABULARY = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()), slices=[])


def matcher(grammar: str) -> Any:
    found = llguidance.LLMatcher(VOCABULARY, grammar, log_level=0)
    assert not found.is_error(), found.get_error()
    return found


def allows(grammar: str, text: str | Sequence[int]) -> bool:
    """Whether `text` (or a list of token ids) is one whole reply."""
    ids = list(text.encode()) if isinstance(text, str) else list(text)
    walk = matcher(grammar)
    return bool(walk.try_consume_tokens(ids) == len(ids) and walk.is_accepting())


def written(grammar: str, seed: int, limit: int = 1500) -> str | None:
    """A reply that the grammar lets through: any allowed byte at each step, those that come to an
    end more often. None where it comes to none."""
    dice = random.Random(seed)
    walk, text = matcher(grammar), bytearray()
    while len(text) < limit:
        if walk.is_accepting() and (walk.is_stopped() or dice.random() < 0.3):
            return text.decode(errors="replace")  # as an engine does
        mask = walk.compute_bitmask()
        allowed = [i for i in range(256) if mask[i // 8] >> (i % 8) & 1]
        ends = [i for i in allowed if i in b'"}],</ \n\\']
        byte = dice.choice(ends if ends and dice.random() < 0.4 else allowed)
        assert walk.consume_token(byte)
        text.append(byte)
    return None


# -- what goes through ----------------------------------------------------------------------------


def test_a_call_goes_through_byte_for_byte_as_it_is_trained() -> None:
    message = Message(
        "assistant", tool_calls=parse_reply(f"{A_CALL}\n{NOW_CALL}").message.tool_calls
    )
    rendered = ChatTemplate.formosa().render([message])
    ((start, end),) = rendered.spans
    reply = rendered.text[start:end].removesuffix("<|im_end|>")
    assert reply == f"{A_CALL}\n{NOW_CALL}"
    assert allows(reply_grammar(tools=[WEATHER, NOW]), reply)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "您好",
        A_CALL + "\n",
        A_CALL + "您好",
        A_CALL.replace("celsius", "kelvin"),
        A_CALL.replace("get_weather", "get"),
        A_CALL.replace(', "unit": "celsius"', ""),
        A_CALL.replace('"celsius"}', '"celsius", "day": 1}'),
        A_CALL.removesuffix("\n</tool_call>"),
        NOW_CALL.replace("{}", '{"x": 1}'),
        f"<think>\n嗯\n</think>\n\n{A_CALL}",
        "{}",
    ],
)
def test_a_forced_call_is_forced_and_obeys_its_schema(text: str) -> None:
    assert not allows(reply_grammar(tools=[WEATHER, NOW]), text)


def test_one_call_only_where_parallel_calls_are_off() -> None:
    grammar = reply_grammar(tools=[WEATHER, NOW], parallel=False)
    assert allows(grammar, A_CALL)
    assert not allows(grammar, f"{A_CALL}\n{NOW_CALL}")


def test_a_named_tool_is_the_only_one() -> None:
    grammar = reply_grammar(tools=[WEATHER, NOW], named="now")
    assert allows(grammar, NOW_CALL)
    assert not allows(grammar, A_CALL)


def test_a_named_tool_that_does_not_exist_is_refused() -> None:
    with pytest.raises(MessageError, match="tool_choice: no tool is called 'later'"):
        reply_grammar(tools=[WEATHER], named="later")


def test_nothing_to_choose_from_is_a_bug() -> None:
    with pytest.raises(ValueError, match="needs tools or a schema"):
        reply_grammar()


def test_json_alone_fits_its_schema() -> None:
    schema = {"type": "object", "properties": {"城市": {"type": "string"}}, "required": ["城市"]}
    grammar = reply_grammar(json_schema=schema)
    assert allows(grammar, '{"城市": "臺北"}')
    for wrong in ("{}", '{"城市": 1}', '{"城市":"臺北"}', ' {"城市": "臺北"}', "臺北"):
        assert not allows(grammar, wrong)


def test_an_empty_schema_is_any_object() -> None:
    grammar = reply_grammar(json_schema={})
    assert allows(grammar, '{"a": [1, {"b": null}]}')
    assert not allows(grammar, "[1]")


def test_tools_and_a_schema_leave_the_choice() -> None:
    grammar = reply_grammar(tools=[NOW], json_schema={"type": "array"})
    assert allows(grammar, "[1, 2]")
    assert allows(grammar, f"{NOW_CALL}\n{NOW_CALL}")
    assert not allows(grammar, f"[1]{NOW_CALL}")


def test_tags_that_are_control_tokens_are_written_as_tokens() -> None:
    """Spelled in letters they would be another text to the model than the one it was trained on."""
    grammar = reply_grammar(tools=[NOW], tag_tokens=["<tool_call>", "</tool_call>"])
    inside = list(b'\n{"name": "now", "arguments": {}}\n')
    assert allows(grammar, [257, *inside, 258])
    assert not allows(grammar, NOW_CALL)
    assert not allows(reply_grammar(tools=[NOW]), [257, *inside, 258])
    thinking = reply_grammar(json_schema={}, reasoning="may", tag_tokens=["<think>", "</think>"])
    assert allows(thinking, [259, *"嗯".encode(), 260, *b"\n\n{}"])


# -- thoughts -------------------------------------------------------------------------------------

# A bare `<` right before another tag is the one text that thoughts can't hold.
THOUGHTS = ("", "\n嗯\n", "a < b << c", "</p> </thin ", "<tool_call>{}</tool_call>", "<think>")


@pytest.mark.parametrize("thought", THOUGHTS)
@pytest.mark.parametrize("limit", [None, 40])
def test_a_think_block_can_hold_anything_but_its_end(thought: str, limit: int | None) -> None:
    given = reply_grammar(tools=[NOW], reasoning="open", thought_tokens=limit)
    assert allows(given, f"{thought}</think>\n\n{NOW_CALL}")
    assert not allows(given, NOW_CALL)
    may = reply_grammar(tools=[NOW], reasoning="may", thought_tokens=limit)
    assert allows(may, f"<think>{thought}</think>\n\n{NOW_CALL}")
    assert allows(may, NOW_CALL)
    assert not allows(may, f"<think>{thought}</think>\n\n<think></think>\n\n{NOW_CALL}")


@pytest.mark.parametrize("thought", ["想" * 30, "a" * 90, "<" * 90, "a < " * 30, "</thin" * 30])
def test_long_thoughts_are_ended_and_the_call_still_comes(thought: str) -> None:
    """A model that thinks to the end of its context never calls."""
    walk = matcher(reply_grammar(tools=[NOW], reasoning="open", thought_tokens=20))
    said = walk.try_consume_tokens(list(thought.encode()))
    assert said <= 21
    rest = bytearray()
    while not rest.endswith(b"</tool_call>"):
        forced = walk.compute_ff_bytes() or b"a"  # half a character or tag takes one more
        assert walk.try_consume_tokens(list(forced)) == len(forced)
        rest += forced
        assert len(rest) < 90
    assert rest[:45].count(b"/think>\n\n<tool_call>") == 1


def test_no_tokens_for_thoughts_close_the_block_at_once() -> None:
    grammar = reply_grammar(tools=[NOW], reasoning="open", thought_tokens=0)
    assert allows(grammar, f"</think>\n\n{NOW_CALL}")
    assert not allows(grammar, f"a</think>\n\n{NOW_CALL}")
    with pytest.raises(ValueError, match="not negative"):
        reply_grammar(tools=[NOW], reasoning="open", thought_tokens=-1)


# -- schemas --------------------------------------------------------------------------------------


def test_references_inside_a_tools_schema_work() -> None:
    place = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    schema = {"type": "object", "properties": {"to": {"$ref": "#/$defs/Place"}}, "required": ["to"]}
    tool = Tool.of("go", "", {**schema, "$defs": {"Place": place}})
    grammar = reply_grammar(tools=[tool, NOW])
    call = '<tool_call>\n{"name": "go", "arguments": {"to": {"city": "臺南"}}}\n</tool_call>'
    assert allows(grammar, call)
    assert not allows(grammar, call.replace("臺南", "").replace('"city": ""', ""))


def test_what_only_describes_is_left_out() -> None:
    schema = {
        "title": "T",
        "description": "…",
        "type": "object",
        "properties": {
            "title": {"type": "string", "title": "t", "format": "color", "x-note": 1},
            "when": {"type": "string", "format": "date", "default": "today"},
        },
    }
    assert prepared_schema(schema, "s") == {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "when": {"type": "string", "format": "date"},
        },
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}, "required": ["b"]},
        {"type": "object", "properties": {"a": {}}, "minProperties": 2},
        {"type": "object", "properties": {"a": {}}, "patternProperties": {"^x": {}}},
        {"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["b"]}, {}]},
        {"allOf": [{"type": "object", "properties": {"a": {}}}, {"properties": {"b": {}}}]},
    ],
)
def test_an_object_stays_open_where_the_schema_needs_it(schema: dict[str, Any]) -> None:
    assert prepared_schema(schema, "s") == schema


def test_options_that_cannot_overlap_are_a_choice() -> None:
    """Discriminated unions, as pydantic writes them."""

    def pet(kind: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]}

    schema = {
        "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}, {"type": "null"}],
        "$defs": {"Cat": pet("cat"), "Dog": pet("dog")},
    }
    grammar = reply_grammar(json_schema=schema)
    assert allows(grammar, '{"kind": "dog"}')
    assert allows(grammar, "null")
    assert not allows(grammar, '{"kind": "cow"}')


@pytest.mark.parametrize(
    ("schema", "path", "problem"),
    [
        ({"not": {}}, "not", "can't be enforced"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems", "can't be enforced"),
        ({"type": "array", "maxItems": LONGEST_ARRAY + 1}, "maxItems", "too many"),
        ({"type": "string", "pattern": "a(?=b)"}, "pattern", "look-around"),
        ({"type": "string", "pattern": r"\bno\b"}, "pattern", "look-around"),
        ({"$ref": "https://example.com/schema"}, "$ref", "only references inside"),
        ({"$ref": "#/$defs/Gone"}, "$ref", "leads nowhere"),
        ({"$ref": "#"}, "$ref", "leads nowhere"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "oneOf", "may overlap"),
        ({"oneOf": [{}, {"type": "integer"}]}, "oneOf", "may overlap"),
        ({"type": "text"}, "type", "not a JSON schema"),
        ({"properties": {"a": {"minimum": "1"}}}, "properties.a.minimum", "not a JSON schema"),
        ({"properties": {"a": {"not": {}}}}, "properties.a.not", "can't be enforced"),
        ({"anyOf": [{}, {"if": {}}]}, "anyOf[1].if", "can't be enforced"),
    ],
)
def test_what_no_grammar_can_hold_is_refused_with_its_path(
    schema: dict[str, Any], path: str, problem: str
) -> None:
    with pytest.raises(MessageError) as caught:
        reply_grammar(json_schema=schema)
    assert caught.value.path == f"json_schema.{path}"
    assert problem in caught.value.problem


def test_a_tools_schema_names_the_tool() -> None:
    tools = [NOW, Tool.of("f", "", {"properties": {"a": {"not": {}}}})]
    with pytest.raises(MessageError) as caught:
        reply_grammar(tools=tools)
    assert caught.value.path == "tools[1].function.parameters.properties.a.not"
    with pytest.raises(MessageError, match="arguments are an object"):
        reply_grammar(tools=[Tool.of("f", "", {"type": "string"})])


def test_a_schema_that_is_too_deep_or_no_json_is_a_sentence() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"items": deep}
    with pytest.raises(MessageError, match="nested too deeply"):
        prepared_schema(deep, "s")
    with pytest.raises(MessageError, match="not JSON"):
        prepared_schema({"const": float("nan")}, "s")


# -- the property ---------------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "城市", "name", "arguments", 'q"', "b c", "</tool_call>"])


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of every kind that a grammar takes."""
    short = st.integers(0, 3)
    leaf = st.one_of(
        st.sampled_from([{"type": kind} for kind in ("null", "boolean", "integer", "number")]),
        st.builds(lambda n: {"type": "string", "maxLength": n + 3}, short),
        st.builds(lambda n: {"type": "integer", "minimum": -n, "maximum": n}, short),
        st.just({"type": "string", "pattern": "^[a-c臺]{1,3}$"}),
        st.just({"type": "string", "format": "date"}),
        st.just({"enum": ["x", 1, None, "</tool_call>", "臺"]}),
        st.just({"const": {"k": [1, "}"]}}),
        st.just({"type": ["string", "null"]}),
    )

    def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        return st.builds(
            lambda properties, required: {
                "type": "object",
                "properties": properties,
                "required": [key for key in properties if key in required],
            },
            st.dictionaries(KEYS, inner, max_size=3),
            st.sets(KEYS),
        )

    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            objects(inner),
            st.builds(
                lambda item, n: {"type": "array", "items": item, "maxItems": n}, inner, short
            ),
            st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
            st.builds(lambda a: {"type": "object", "additionalProperties": a}, inner),
        ),
        max_leaves=5,
    )


def tools() -> st.SearchStrategy[list[Tool]]:
    properties = st.dictionaries(KEYS, schemas(), max_size=3)
    name = st.sampled_from(["get", "get_weather", "天氣", 'a"b', "f.g-h", "<think>"])
    tool = st.builds(
        lambda name, properties, n: Tool.of(
            name,
            "",
            {"type": "object", "properties": properties, "required": list(properties)[:n]},
        ),
        name,
        properties,
        st.integers(0, 3),
    )
    return st.lists(tool, min_size=1, max_size=3, unique_by=lambda tool: tool.name)


def check_calls(reply: Reply, offered: Sequence[Tool]) -> None:
    by_name = {tool.name: tool for tool in offered}
    assert reply.message.tool_calls
    assert reply.defects == ()
    for call in reply.message.tool_calls:
        jsonschema.validate(call.values(), by_name[call.name].schema())


@settings(max_examples=150, deadline=None)
@given(tools(), st.booleans(), st.sampled_from(["none", "may", "open"]), st.integers(0, 2**32))
def test_what_the_grammar_lets_through_is_read_as_calls_that_fit_their_schemas(
    offered: list[Tool], parallel: bool, reasoning: Any, seed: int
) -> None:
    grammar = reply_grammar(
        tools=offered, parallel=parallel, reasoning=reasoning, thought_tokens=60
    )
    text = written(grammar, seed)
    assume(text is not None)
    assert text is not None
    reply = parse_reply(text, reasoning_open=reasoning == "open")
    check_calls(reply, offered)
    assert reply.message.content == ""
    assert parallel or len(reply.message.tool_calls) == 1


@settings(max_examples=100, deadline=None)
@given(schemas(), st.integers(0, 2**32))
def test_json_that_the_grammar_lets_through_is_content_and_fits_its_schema(
    schema: dict[str, Any], seed: int
) -> None:
    text = written(reply_grammar(json_schema=schema), seed)
    assume(text is not None)
    assert text is not None
    reply = parse_reply(text, calls=False)
    assert reply.message.content == text
    jsonschema.validate(json.loads(text), schema)


# -- the engine's own matcher ---------------------------------------------------------------------


@pytest.mark.model
def test_the_embedded_model_obeys() -> None:
    """llama.cpp writes freely, and says nothing, where it can't read a grammar. So what comes is
    looked at, for each kind of grammar."""
    from formosa.engines.llama import LlamaEngine
    from formosa.models import resolve

    prompt = ChatTemplate.formosa().prompt([Message("user", "台北的天氣？")], [WEATHER])
    kinds: list[tuple[dict[str, Any], str]] = [
        ({"tools": [WEATHER, NOW]}, ""),
        ({"tools": [WEATHER], "parallel": False, "reasoning": "may", "thought_tokens": 9}, ""),
        ({"tools": [WEATHER], "reasoning": "open", "thought_tokens": 9}, "<think>\n"),
        ({"tools": [WEATHER], "named": "get_weather", "json_schema": {}}, ""),
        ({"tools": [WEATHER], "tag_tokens": ["<|im_start|>"]}, ""),
    ]

    async def ask() -> list[str]:
        engine = LlamaEngine(resolve("smollm2-135m").path, context=1024)
        try:
            answers = []
            for options, opened in kinds:
                options = {"parallel": False, **options}
                body = {
                    "prompt": await engine.tokenize(prompt + opened),
                    "n_predict": 150,
                    "temperature": 0.0,
                    "grammar": "%llguidance {}\n" + reply_grammar(**options),
                }
                answers.append((await engine._post("/completion", body))["content"])
            return answers
        finally:
            await engine.aclose()

    for (options, _), text in zip(kinds, asyncio.run(ask()), strict=True):
        if "json_schema" in options and text.startswith("{"):
            assert isinstance(json.loads(text), dict)
            continue
        check_calls(
            parse_reply(text, reasoning_open=options.get("reasoning") == "open"), [WEATHER, NOW]
        )
