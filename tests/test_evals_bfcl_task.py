"""From a question to an outcome: tools shown, calls decoded, and which of the five it is."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from formosa.chat.message import Message, ToolCall
from formosa.chat.reply import Defect
from formosa.engines.protocol import ChatReply, ChatRequest, FinishReason
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import DataError
from formosa.evals.bfcl import zhtw
from formosa.evals.bfcl.decode import DECODER, decode
from formosa.evals.bfcl.docs import FLOAT_HINT, PYTHON_HINT, tools
from formosa.evals.bfcl.items import CATEGORIES, WHEEL, BfclItem
from formosa.evals.bfcl.task import TASKS, ask, ast_scorer, load, parsed
from formosa.evals.task import Sample, subset

# --- tools ---------------------------------------------------------------------------------------


def doc(**properties: Any) -> dict[str, Any]:
    return {
        "name": "geometry.area.circle",
        "description": "The area.",
        "parameters": {"type": "dict", "properties": properties, "required": list(properties)},
    }


def schema_of(**properties: Any) -> Any:
    [tool] = tools([doc(**properties)])
    return tool.schema()["properties"]


def test_dots_in_names_become_underscores_and_the_language_is_named() -> None:
    [tool] = tools([doc()])
    assert tool.name == "geometry_area_circle"
    assert tool.description == "The area." + PYTHON_HINT
    assert tool.schema() == {"type": "object", "properties": {}, "required": []}


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ("integer", "integer"),
        ("string", "string"),
        ("boolean", "boolean"),
        ("array", "array"),
        ("tuple", "array"),
        ("dict", "object"),
        ("any", "string"),
        ("unheard-of", "string"),
    ],
)
def test_types_become_those_of_json_schema(declared: str, shown: str) -> None:
    assert schema_of(p={"type": declared, "description": "d"}) == {
        "p": {"type": shown, "description": "d"}
    }


def test_a_missing_type_becomes_string() -> None:
    assert schema_of(p={"description": "d"})["p"]["type"] == "string"


def test_a_float_is_a_number_with_a_format_and_a_sentence() -> None:
    assert schema_of(p={"type": "float", "description": "d."}) == {
        "p": {"type": "number", "description": "d." + FLOAT_HINT, "format": "float"}
    }
    assert schema_of(p={"type": "float"})["p"]["description"] == FLOAT_HINT


def test_types_inside_lists_and_dicts_are_converted_too() -> None:
    shown = schema_of(
        matrix={"type": "array", "items": {"type": "array", "items": {"type": "float"}}},
        people={
            "type": "array",
            "items": {"type": "dict", "properties": {"age": {"type": "any"}}},
        },
        place={"type": "dict", "properties": {"at": {"type": "dict", "properties": {
            "x": {"type": "float", "description": "d"}}}}},
    )  # fmt: skip
    # Upstream gives the sentence and the format to parameters only, not to elements.
    assert shown["matrix"]["items"] == {"type": "array", "items": {"type": "number"}}
    assert shown["people"]["items"]["properties"] == {"age": {"type": "string"}}
    assert shown["place"]["properties"]["at"]["properties"]["x"]["type"] == "number"


def test_items_are_left_alone_beside_properties() -> None:
    shown = schema_of(p={"type": "dict", "properties": {}, "items": {"type": "float"}})
    assert shown["p"]["items"] == {"type": "float"}


def test_the_docs_themselves_stay_as_they_are() -> None:
    """The checker reads them after the model was shown the tools."""
    original = doc(p={"type": "float", "description": "d"})
    before = json.dumps(original)
    tools([original])
    assert json.dumps(original) == before


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "f"},
        {"name": "f", "description": "", "parameters": {}},
        {"name": "f", "description": "", "parameters": {"properties": {"p": "string"}}},
        {"name": "f", "description": None, "parameters": {"properties": {}}},
    ],
)
def test_a_broken_doc_is_named(broken: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="function doc of f"):
        tools([broken])


# --- decoding ------------------------------------------------------------------------------------


def calling(*calls: tuple[str, str]) -> Message:
    return Message("assistant", tool_calls=tuple(ToolCall(*call) for call in calls))


def test_calls_are_decoded_in_their_order() -> None:
    message = calling(("b", '{"x": 1.0, "y": [true, null]}'), ("a", "{}"), ("b", "{}"))
    assert decode(message).calls == [{"b": {"x": 1.0, "y": [True, None]}}, {"a": {}}, {"b": {}}]


def test_text_beside_the_calls_does_not_matter() -> None:
    message = Message("assistant", "Let me see.", "hm", (ToolCall("a"),))
    assert decode(message).calls == [{"a": {}}]


@pytest.mark.parametrize(
    ("message", "defects", "reason"),
    [
        (Message("assistant"), (), "an empty reply"),
        (Message("assistant", " \n"), (), "an empty reply"),
        (Message("assistant", "", "thoughts"), (), "an empty reply"),
        (Message("assistant", "It is sunny."), (), "text instead of a call: 'It is sunny.'"),
        (Message("assistant", "<tool_call>{"), (Defect("not closed", ""),), "not closed"),
        (calling(("a", "{")), (), "the arguments of 'a' are not JSON"),
        (calling(("a", "{}"), ("b", "x=1")), (), "the arguments of 'b' are not JSON"),
        (calling(("a", "9" * 5000)), (), "the arguments of 'a' are not JSON"),
        (calling(("a", "[" * 100_000)), (), "the arguments of 'a' are not JSON"),
    ],
)
def test_what_cannot_be_decoded_has_a_reason(
    message: Message, defects: tuple[Defect, ...], reason: str
) -> None:
    decoded = decode(message, defects)
    assert decoded.calls is None
    assert reason in decoded.reason
    assert len(decoded.reason) < 300


# --- outcomes ------------------------------------------------------------------------------------

ADD = {
    "name": "math.add",
    "description": "Adds.",
    "parameters": {
        "type": "dict",
        "properties": {
            "a": {"type": "integer", "description": "One."},
            "b": {"type": "integer", "description": "Other."},
        },
        "required": ["a", "b"],
    },
}
QUESTION = (Message("user", "Add 2 and 3."),)


def sample(category: str = "simple_python", *answers: dict[str, Any]) -> Sample[BfclItem]:
    wanted = answers or ({"math.add": {"a": [2], "b": [3]}},)
    if category == "irrelevance":
        wanted = ()
    return Sample("x_1", BfclItem("x_1", category, QUESTION, (ADD,), wanted), category)


def outcome(
    message: Message,
    finish: FinishReason = "stop",
    category: str = "simple_python",
    defects: tuple[Defect, ...] = (),
) -> tuple[str, str]:
    reply = ChatReply(message, finish, defects=defects)
    score = ast_scorer(sample(category), 0, 0, reply)
    return score.outcome, score.why


RIGHT = calling(("math_add", '{"a": 2, "b": 3}'))
WRONG = calling(("math_add", '{"a": 2, "b": 4}'))
TEXT = Message("assistant", "5")


def test_the_right_call_is_correct() -> None:
    assert outcome(RIGHT)[0] == "correct"


def test_a_wrong_call_is_wrong_and_the_reason_begins_with_the_error_type() -> None:
    found, why = outcome(WRONG)
    assert found == "wrong"
    assert why == "value_error:others — b: 4 is not among [3]"


def test_the_answer_in_the_log_is_what_the_model_called() -> None:
    score = ast_scorer(sample(), 0, 0, ChatReply(WRONG, "stop"))
    assert score.answer == '[{"math_add": {"a": 2, "b": 4}}]'


def test_the_name_with_its_dot_is_wrong_since_the_model_was_shown_another() -> None:
    assert outcome(calling(("math.add", '{"a": 2, "b": 3}')))[0] == "wrong"


@pytest.mark.parametrize("message", [TEXT, Message("assistant"), calling(("math_add", "{"))])
def test_a_reply_without_a_readable_call_is_unparsed_and_names_the_decoder(
    message: Message,
) -> None:
    found, why = outcome(message)
    assert found == "unparsed"
    assert why.startswith("ast_decoder:decoder_failed — ")
    assert DECODER in why


def test_arguments_that_are_no_object_are_unparsed() -> None:
    found, why = outcome(calling(("math_add", "[2, 3]")))
    assert found == "unparsed"
    assert why.startswith("ast_decoder:decoder_wrong_output_format")


@pytest.mark.parametrize("message", [TEXT, WRONG, Message("assistant"), calling(("f", "[]"))])
def test_a_reply_cut_at_the_limit_is_truncated_unless_it_is_correct(message: Message) -> None:
    assert outcome(message, "length")[0] == "truncated"
    assert outcome(RIGHT, "length")[0] == "correct"


def test_a_defect_of_the_data_is_not_a_crash() -> None:
    broken = sample("simple_python", {"math.add": {"a": 2, "b": [3]}})
    score = ast_scorer(broken, 0, 0, ChatReply(RIGHT, "stop"))
    assert (score.outcome, score.why.split(" — ")[0]) == ("wrong", "data_error")


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize("message", [TEXT, Message("assistant"), calling(("math_add", "{"))])
def test_no_readable_call_is_correct_where_no_function_helps(
    message: Message, finish: FinishReason
) -> None:
    found, why = outcome(message, finish, "irrelevance")
    assert found == "correct"
    assert why.startswith("no call, as it should be; ast_decoder:decoder_failed — ")


def test_a_call_that_failed_to_parse_can_be_told_from_a_refusal() -> None:
    """The reference counts both as correct irrelevance; a reader must be able to see which."""
    broken = Message("assistant", "<tool_call>{")
    _, why = outcome(broken, "stop", "irrelevance", (Defect("not closed", "<tool_call>{"),))
    assert "a malformed call: not closed" in why


def test_any_call_is_wrong_where_no_function_helps() -> None:
    assert outcome(RIGHT, "tool_calls", "irrelevance")[0] == "wrong"


# --- the task ------------------------------------------------------------------------------------


def test_the_question_is_asked_as_it_is_with_tools_and_without_a_system_prompt() -> None:
    asked = ask(sample(), 0, 7)
    assert asked.messages == QUESTION
    assert [tool.name for tool in asked.tools] == ["math_add"]
    assert asked.gold == [{"math.add": {"a": [2], "b": [3]}}]
    assert asked == ask(sample(), 2, 9)


def test_a_model_is_asked_and_scored_from_end_to_end() -> None:
    """The tools reach the prompt, and what the parser makes of the reply reaches the checker."""
    said = '<tool_call>\n{"name": "math_add", "arguments": {"a": 2, "b": 3}}\n</tool_call>'
    engine = ScriptedEngine([said])
    asked = ask(sample(), 0, 0)
    reply = asyncio.run(TemplatedChat(engine).reply(ChatRequest(asked.messages, asked.tools)))
    assert "math_add" in engine.prompts[0]
    assert ast_scorer(sample(), 0, 0, reply).outcome == "correct"


def test_every_category_is_a_task_in_both_modes() -> None:
    families: dict[str, list[str]] = {}
    for name in TASKS:
        families.setdefault(parsed(name).family, []).append(parsed(name).category)
    assert families == {
        "bfcl": list(families["bfcl"]),
        "bfcl-prompt": families["bfcl"],
        "bfcl-zhtw": list(zhtw.CATEGORIES),
        "bfcl-prompt-zhtw": list(zhtw.CATEGORIES),
    }
    assert sorted(families["bfcl"]) == sorted(CATEGORIES)


def test_an_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(DataError) as caught:
        load("bfcl-rest")
    assert "bfcl-parallel-multiple" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("bfcl-simple", 400, "simple_python_0"),
        ("bfcl-multiple", 200, "multiple_0"),
        ("bfcl-parallel", 200, "parallel_0"),
        ("bfcl-parallel-multiple", 200, "parallel_multiple_0"),
        ("bfcl-irrelevance", 240, "irrelevance_0"),
        ("bfcl-java", 100, "simple_java_0"),
        ("bfcl-javascript", 50, "simple_javascript_0"),
        ("bfcl-live-simple", 258, "live_simple_0-0-0"),
        ("bfcl-live-multiple", 1053, "live_multiple_0-0-0"),
        ("bfcl-live-parallel", 16, "live_parallel_0-0-0"),
        ("bfcl-live-parallel-multiple", 24, "live_parallel_multiple_0-0-0"),
        ("bfcl-live-irrelevance", 884, "live_irrelevance_0-0-0"),
        ("bfcl-live-relevance", 16, "live_relevance_0-0-0"),
        ("bfcl-prompt-simple", 400, "simple_python_0"),
        ("bfcl-prompt-java", 100, "simple_java_0"),
    ],
)
def test_tasks_hold_the_whole_category_of_the_wheel(name: str, count: int, first: str) -> None:
    task = load(name)
    assert len(task.samples) == count
    assert task.samples[0].id == first
    assert list(task.scorers) == ["ast", "ast_lenient"]
    assert task.source == WHEEL
    assert (task.licence, task.language) == ("Apache-2.0", "en")
    for one in task.samples:
        asked = task.ask(one, 0, 0)
        if "prompt" in name:
            assert not asked.tools
            assert asked.messages[0].content.startswith("You are an expert in composing")
        else:
            # Some questions of users came without any function, as the reference asks them.
            assert asked.tools or not one.content.functions


def test_a_limited_run_asks_the_same_questions_spread_over_the_file_every_time() -> None:
    task = load("bfcl-multiple")
    chosen = [one.id for one in subset(task.samples, 4)]
    assert chosen == ["multiple_25", "multiple_75", "multiple_125", "multiple_175"]


def test_a_folder_with_the_files_of_the_wheel_is_the_same_task(tmp_path: Path) -> None:
    """So a log made from a copy can be continued and compared with one made from the wheel."""
    from formosa.wheels import fetch_member

    name = "BFCL_v4_irrelevance.json"
    (tmp_path / name).write_bytes(fetch_member(WHEEL, f"bfcl_eval/data/{name}").read_bytes())
    copy = load("bfcl-irrelevance", data_dir=tmp_path)
    assert copy.describe() == load("bfcl-irrelevance").describe()
