"""What all formats share: fields that would be lost, thoughts, ids, results, schemas, spelling."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import NO_PARAMETERS, Message, ToolCall
from formosa.data.formats import spelling
from formosa.data.formats.draft import Draft, Reader, Setting, without
from formosa.data.formats.fields import calls_in, read_tools
from formosa.data.formats.problems import FormatError, RowError
from formosa.data.formats.registry import FORMATS
from formosa.data.formats.schemas import parameters_text, python_type
from formosa.data.formats.turns import in_order, split_thoughts
from formosa.data.sources.record import Record
from formosa.errors import DataError, MessageError

USER, REPLY = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
ROW = {"messages": [USER, REPLY]}
MESSAGES = FORMATS["messages"]


def read(value: Any, **setting: Any) -> Draft:
    return Reader(MESSAGES, Setting(**setting)).read(value, "rows.jsonl:7")


# -- fields -------------------------------------------------------------------------------------


def test_a_field_that_would_be_dropped_is_an_error_with_the_key_that_drops_it() -> None:
    """Two frameworks lost `tools` in silence; nobody noticed before the model was trained."""
    with pytest.raises(
        FormatError, match="rows.jsonl:7: fields colour, size would be dropped"
    ) as e:
        read({**ROW, "colour": "red", "size": 3})
    assert "ignore: [colour, size]" in e.value.hint
    assert e.value.reason == "field would be dropped"


def test_a_field_to_ignore_is_left_out_even_where_it_would_be_read() -> None:
    row = {**ROW, "tools": "no tools at all", "colour": "red"}
    assert read(row, ignore=frozenset({"tools", "colour"})).tools == ()


def test_empty_fields_are_not_missed() -> None:
    assert len(read({**ROW, "colour": None, "size": "", "more": [], "less": {}}).messages) == 2


def test_a_field_within_messages_is_ignored_by_its_path() -> None:
    row = {"messages": [{**USER, "timestamp": 1}, {**REPLY, "timestamp": 2}], "meta": {"a": 1}}
    with pytest.raises(FormatError, match=r"messages\[0\]\.timestamp: unknown field"):
        read({**row, "meta": None})
    assert len(read(row, ignore=frozenset({"messages.timestamp", "meta"})).messages) == 2
    assert without(row, ["meta.a"])["meta"] == {}
    assert without({"a.b": 1}, ["a.b"]) == {}


def test_scores_are_numbers_kept_beside_the_row() -> None:
    draft = read({**ROW, "quality": 4, "purity": 0.5}, scores=("quality", "purity", "missing"))
    assert draft.scores == {"quality": 4.0, "purity": 0.5}
    for bad in ("high", True, [1]):
        with pytest.raises(FormatError, match="a score must be a number"):
            read({**ROW, "quality": bad}, scores=("quality",))


@pytest.mark.parametrize("value", [[], "text", None, 7])
def test_what_is_no_object_is_no_row(value: Any) -> None:
    with pytest.raises(FormatError, match="a row must be an object") as caught:
        read(value)
    assert caught.value.reason == "no messages row"


def test_half_a_character_is_refused_before_it_is_written() -> None:
    """JSON can say it, UTF-8 can't: writing the row would stop the whole preparation."""
    lone = json.loads('"\\ud83d"')
    with pytest.raises(FormatError, match="half a character"):
        read({"messages": [USER, {**REPLY, "content": lone}]})


def test_an_empty_system_message_is_none() -> None:
    draft = read({"messages": [{"role": "system", "content": ""}, USER, REPLY]})
    assert [message.role for message in draft.messages] == ["user", "assistant"]


def test_rows_of_a_record_are_drafts_or_errors_and_never_a_crash() -> None:
    reader = Reader(MESSAGES)
    problem = DataError("rows.jsonl:1: not JSON.")
    assert list(reader.rows(Record("rows.jsonl:1", problem))) == [("rows.jsonl:1", problem)]
    ((_, good),) = reader.rows(Record("rows.jsonl:2", ROW))
    assert isinstance(good, Draft)
    ((where, bad),) = reader.rows(Record("rows.jsonl:3", {"messages": 3}))
    assert isinstance(bad, FormatError)
    assert where == "rows.jsonl:3"


def test_readers_and_errors_travel_between_processes() -> None:
    """A preparation with several workers sends them to and fro."""
    for name in FORMATS.keys() - {"seal-tools", "sgd"}:  # those need a file beside the rows
        reader = pickle.loads(pickle.dumps(Reader(FORMATS[name])))
        assert reader.format.name == name
    with pytest.raises(FormatError) as caught:
        read({**ROW, "colour": "red"})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.message, copy.hint, copy.reason) == (
        *(caught.value.message, caught.value.hint),
        "field would be dropped",
    )


# -- thoughts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "thoughts", "rest"),
    [
        ("<think>\nwhy\n</think>\n\nhello", "why", "hello"),
        ("  <think>why</think>hello", "why", "hello"),
        ("<think>\n\n</think>\n\nhello", "", "hello"),
        ("<think>a\n</think>", "a", ""),
        ("hello", "", "hello"),
        (" hello ", "", " hello "),
        ("the tag <think> opens a block", "", "the tag <think> opens a block"),
        ("<think>a</think>say `</think>` to end", "a", "say `</think>` to end"),
    ],
)
def test_a_think_block_at_the_beginning_is_reasoning(text: str, thoughts: str, rest: str) -> None:
    assert split_thoughts(text, "content") == (thoughts, rest)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>why", "never closes"),
        ("<think>a</think>\n<think>b</think>c", "more than one"),
        ("<think>a <think> b</think>c", "more than one"),
        ("<think>a</think>b\n</think>c", "more than one"),
        ("why</think>hello", "</think> without <think>"),
        ("hello\n<think>a</think>", "not at the beginning"),
    ],
)
def test_thoughts_that_can_only_be_guessed_at_are_a_bad_row(text: str, said: str) -> None:
    with pytest.raises(MessageError, match=said):
        split_thoughts(text, "content")


def test_thoughts_are_found_in_replies_only() -> None:
    row = {"messages": [{**USER, "content": "<think> what is it?"}, REPLY]}
    assert read(row).messages[0].content == "<think> what is it?"


def test_thoughts_are_left_out_where_the_recipe_says_so() -> None:
    """An instruct model that answers at once learns from the same sets as one that thinks."""
    row = {"messages": [USER, {**REPLY, "content": "<think>\nwhy\n</think>\n\nhello"}]}
    assert read(row, reasoning=False).messages[1] == Message("assistant", "hello")


def test_thoughts_twice_must_be_the_same() -> None:
    both = {**REPLY, "content": "<think>\na\n</think>\n\nhello", "reasoning_content": "a"}
    assert read({"messages": [USER, both]}).messages[1] == Message("assistant", "hello", "a")
    with pytest.raises(FormatError, match="beside those in reasoning"):
        read({"messages": [USER, {**both, "reasoning_content": "b"}]})


# -- calls and results --------------------------------------------------------------------------


def called(*names: str, ids: tuple[str, ...] = ()) -> Message:
    calls = [ToolCall(name) for name in names]
    if ids:
        calls = [ToolCall(name, id=id) for name, id in zip(names, ids, strict=True)]
    return Message("assistant", tool_calls=tuple(calls))


def test_calls_get_ids_and_results_theirs_in_order() -> None:
    found = in_order(
        [
            Message("user", "?"),
            called("f", "g"),
            Message("tool", "1"),
            Message("tool", "2"),
            called("h"),
            Message("tool", "3"),
            Message("assistant", "done"),
        ]
    )
    assert [call.id for message in found for call in message.tool_calls] == [
        "call_0",
        "call_1",
        "call_2",
    ]
    assert [item.tool_call_id for item in found if item.role == "tool"] == [
        "call_0",
        "call_1",
        "call_2",
    ]


def test_ids_of_the_source_stay_and_new_ones_differ_from_them() -> None:
    found = in_order([called("f", "g", ids=("call_0", ""))])
    assert [call.id for call in found[0].tool_calls] == ["call_0", "call_1"]


def test_the_list_of_all_results_is_taken_apart_as_it_is_spelled() -> None:
    found = in_order([called("f", "g"), Message("tool", '[{"a":1.0}, "two"]')])
    assert [item.content for item in found[1:]] == ['{"a":1.0}', '"two"']


@pytest.mark.parametrize(
    ("messages", "said", "reason"),
    [
        ([Message("user", "?"), Message("tool", "x")], "answers no call", "result without call"),
        (
            [called("f"), Message("tool", "x"), Message("tool", "y")],
            *("answers no call", "result without call"),
        ),
        (
            [called("f"), Message("user", "?"), Message("tool", "x")],
            *("answers no call", "result without call"),
        ),
        (
            [called("f", ids=("a",)), Message("tool", "x", tool_call_id="b")],
            *("no call 'b'", "result without call"),
        ),
        (
            [called("f", "g"), Message("tool", "only one")],
            *("one result for 2 calls", "results do not match calls"),
        ),
        (
            [called("f", "g"), Message("tool", "[1, 2, 3]")],
            *("one result for 2 calls", "results do not match calls"),
        ),
        (
            [Message("assistant", "a"), Message("assistant", "b")],
            *("a second reply", "two replies in a row"),
        ),
        ([Message("assistant", "<think>a")], "never closes", "unclear thoughts"),
    ],
)
def test_what_does_not_belong_together_is_refused_and_counted_by_its_reason(
    messages: list[Message], said: str, reason: str
) -> None:
    with pytest.raises(RowError, match=said):
        in_order(messages)
    with pytest.raises(FormatError, match=said) as caught:
        read({"messages": [message.to_openai() for message in messages]})
    assert caught.value.reason == reason


def test_calls_in_a_turn_of_their_own_join_the_words_before_them() -> None:
    (found,) = in_order([Message("assistant", "Let me look."), called("f"), called("g")])
    assert found.content == "Let me look."
    assert [call.name for call in found.tool_calls] == ["f", "g"]


# -- tools --------------------------------------------------------------------------------------

SPELLED = '{"type":"object",  "properties":{"n":{"type":"number","minimum":1.50}}}'


@pytest.mark.parametrize(
    "text",
    [
        f'[{{"name": "f", "description": "d", "parameters": {SPELLED}}}]',
        f'[{{"type": "function", "function": {{"parameters": {SPELLED}, "name": "f",'
        ' "description": "d"}}]',
        f'{{"name": "f", "description": "d", "parameters": {SPELLED}}}',
        f'[{{"name": "f", "description": "d", "parameters": {json.dumps(SPELLED)}}}]',
    ],
)
def test_a_schema_stays_as_the_source_spells_it(text: str) -> None:
    (tool,) = read_tools(text)
    assert (tool.name, tool.description, tool.parameters) == ("f", "d", SPELLED)


@pytest.mark.parametrize("value", [None, "", "null", "[]", []])
def test_no_tools_are_none(value: Any) -> None:
    assert read_tools(value) == ()


def test_required_beside_the_parameters_goes_into_them() -> None:
    """A published thinking set has it so."""
    schema = {"type": "dict", "properties": {"n": {"type": "int"}}}
    (tool,) = read_tools([{"name": "f", "parameters": schema, "required": ["n"]}])
    assert tool.schema() == {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    }
    with pytest.raises(MessageError, match="does not belong to the parameters"):
        read_tools([{"name": "f", "parameters": schema, "required": ["m"]}])


def test_the_same_tool_twice_is_one_and_two_of_a_name_are_refused() -> None:
    tool = {"name": "f", "description": "d"}
    assert len(read({**ROW, "tools": [tool, tool]}).tools) == 1
    with pytest.raises(FormatError, match="two different tools are called 'f'"):
        read({**ROW, "tools": [tool, {**tool, "description": "e"}]})


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ("[1", "tools: not JSON"),
        ("7", r"tools\[0\]: not JSON: does not begin with {"),
        ([{"description": "no name"}], r"tools\[0\]\.name"),
        ([{"name": "f", "parameters": [1]}], "parameters: must be an object"),
        ([{"name": "f", "parameters": "{"}], "parameters: not JSON"),
        ([{"name": "f", "examples": ["x"]}], "unknown field"),
        ({"name": "f"}, "must be a list"),
    ],
)
def test_what_is_no_tool_is_refused_with_its_path(tools: Any, said: str) -> None:
    with pytest.raises(MessageError, match=said):
        read_tools(tools)


# -- types --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("str", {"type": "string"}),
        ("int", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("list", {"type": "array"}),
        ("dict", {"type": "object"}),
        ("String", {"type": "string"}),
        ("any", {}),
        ("List[int]", {"type": "array", "items": {"type": "integer"}}),
        ("list[list[str]]",
         {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}),
        ("typing.List[Any]", {"type": "array", "items": {}}),
        ("Tuple[int, int]",
         {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
        ("Tuple[int, str]",
         {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
          "minItems": 2, "maxItems": 2}),
        ("Tuple[float, ...]", {"type": "array", "items": {"type": "number"}}),
        ("Dict[str, Any]", {"type": "object"}),
        ("Dict[str, int]", {"type": "object", "additionalProperties": {"type": "integer"}}),
        ("Union[int, float]", {"type": ["integer", "number"]}),
        ("int | None", {"type": ["integer", "null"]}),
        ("Optional[str]", {"type": ["string", "null"]}),
        ("Union[int, List[int]]",
         {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
        ("Literal['a', 'b']", {"enum": ["a", "b"]}),
    ],
)  # fmt: skip
def test_a_python_type_is_a_json_schema(name: str, schema: dict[str, Any]) -> None:
    assert python_type(name, "type") == schema


@pytest.mark.parametrize(
    "name",
    ["Callable[[float], float]", "np.ndarray", "datetime", "Dict[int, str]", "", "str or int",
     "complex", "__import__('os')", "List[", "[" * 500, "Literal[x]"],
)  # fmt: skip
def test_a_type_that_json_lacks_is_refused(name: str) -> None:
    """Guessing `string` for it would teach arguments that nobody takes."""
    with pytest.raises(MessageError, match="is no type that JSON has"):
        python_type(name, "type")


def test_the_short_form_becomes_a_schema_with_what_is_required() -> None:
    short = {
        "city": {"type": "str", "description": "The city."},
        "days": {"type": "int, optional", "description": "How many."},
        "unit": {"type": "str", "description": "", "default": "C"},
        "tags": {"type": "Optional[List[str]]", "description": "x", "required": False},
    }
    assert json.loads(parameters_text(short, None, "parameters")) == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city."},
            "days": {"type": "integer", "description": "How many."},
            "unit": {"type": "string", "description": "", "default": "C"},
            "tags": {"type": "array", "items": {"type": "string"}, "description": "x"},
        },
        "required": ["city"],
    }


def test_python_names_within_a_schema_are_put_right_and_nothing_else() -> None:
    schema = {
        "type": "dict",
        "properties": {
            "a": {"type": "list", "items": {"type": "str"}, "description": "type: str"},
            "type": {"type": "string, optional"},
        },
        "required": ["a"],
    }
    assert json.loads(parameters_text(schema, None, "parameters")) == {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "string"}, "description": "type: str"},
            "type": {"type": "string"},
        },
        "required": ["a"],
    }


def test_a_parameter_may_be_called_type_or_properties() -> None:
    """Then `type` is no name of a type: xLAM has such tools."""
    short = {"type": {"type": "str", "description": "Kind."}}
    assert json.loads(parameters_text(short, None, "p"))["properties"]["type"] == {
        "type": "string",
        "description": "Kind.",
    }
    short = {"properties": {"type": "str", "description": "Kind."}}
    assert json.loads(parameters_text(short, None, "p"))["required"] == ["properties"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"city": "str"}, "neither a JSON schema nor a short form"),
        ({"city": {"description": "no type"}}, "neither a JSON schema nor a short form"),
        ({"city": {"type": "str", "colour": "red"}}, "unknown key of a parameter"),
        ({"city": {"type": "str", "required": "yes"}}, "must be true or false"),
        ({"f": {"type": "Callable[[float], float]"}}, "is no type that JSON has"),
        ([1], "must be an object"),
    ],
)
def test_what_is_in_no_known_form_is_refused(value: Any, said: str) -> None:
    with pytest.raises(MessageError, match=said):
        parameters_text(value, None, "parameters")


@pytest.mark.parametrize("value", [None, {}, ""])
def test_no_parameters_are_the_empty_schema(value: Any) -> None:
    assert parameters_text(value, "{}", "parameters") == NO_PARAMETERS


# -- spelling -----------------------------------------------------------------------------------


def test_parts_are_cut_out_as_they_are_spelled() -> None:
    text = ' {"a" : 1.50 , "b":[1, {"c":"\\u53f0"} ], "a":2} '
    assert spelling.members(text) == {"a": "2", "b": '[1, {"c":"\\u53f0"} ]'}
    assert spelling.items("[ 1.50 ,\n{} , []]") == ["1.50", "{}", "[]"]
    assert spelling.values('{"a":1}\n{"b":2} , [3]') == ['{"a":1}', '{"b":2}', "[3]"]


@pytest.mark.parametrize("text", ["", "[1", "[NaN]", "{]", "[" * 100_000, "1 x", "\x00"])
def test_what_is_not_strict_json_is_a_value_error(text: str) -> None:
    for function in (spelling.loads, spelling.members, spelling.items, spelling.values):
        with pytest.raises(ValueError, match="."):
            function(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(value=st.dictionaries(st.text(), JSON), indent=st.sampled_from([None, 0, 2]))
def test_parts_of_any_object_are_its_values(value: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    parts = spelling.members(text)
    assert {key: json.loads(part) for key, part in parts.items()} == value
    assert all(part in text for part in parts.values())
    listed = json.dumps(list(value.values()), indent=indent)
    assert [json.loads(part) for part in spelling.items(listed)] == list(value.values())
    assert spelling.values(listed) == [listed]


@given(text=st.text(max_size=40))
def test_no_text_crashes_what_cuts_it(text: str) -> None:
    for function in (spelling.members, spelling.items, spelling.values):
        try:
            function(text)
        except ValueError:
            continue
    for reader in (
        read_tools,
        lambda text: calls_in(text, "x"),
        lambda text: python_type(text, "x"),
    ):
        try:
            reader(text)
        except MessageError:
            continue
