"""The scripted replies themselves: our parser gives what they want, however the text is cut; and
the judge sees each way in which a server can get them wrong."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from typing import Any

import pytest

from formosa.chat.message import Tool
from formosa.chat.parser import ReplyParser
from formosa.serve.conformance.exchange import Answer, Streamed
from formosa.serve.conformance.report import Report, Result
from formosa.serve.conformance.vectors import Vector, Wanted, is_object, judge, tools, vectors

BY_ID = {vector.id: vector for vector in vectors()}


def cuttings(text: str) -> list[list[str]]:
    """The text whole, by character, by threes, and in random pieces."""
    chosen = random.Random(text)
    places = sorted(chosen.sample(range(len(text)), min(5, len(text))))
    ends = [*places, len(text)]
    pieces = [text[a:b] for a, b in zip([0, *places], ends, strict=True)]
    return [[text], list(text), [text[i : i + 3] for i in range(0, len(text), 3)], pieces]


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector.id)
def test_our_parser_gives_what_is_wanted_however_the_text_is_cut(vector: Vector) -> None:
    for chunks in cuttings(vector.text):
        parser = ReplyParser(reasoning_open=vector.opened)
        for chunk in chunks:
            parser.feed(chunk)
        parser.flush()
        message = parser.reply().message
        calls = [[call.name, json.loads(call.arguments)] for call in message.tool_calls]
        got = Wanted.of(
            {"reasoning": message.reasoning, "content": message.content, "calls": calls}
        )
        accepted = vector.accepted if vector.level == "policy" else ()
        assert got in (vector.wanted, *accepted)


def test_ids_and_texts_are_there_once() -> None:
    """The parrot says each text once; a report names each id once."""
    assert len(BY_ID) == len(vectors()) >= 100
    assert len({vector.text for vector in vectors()}) == len(vectors())
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", vector.id) for vector in vectors())
    assert {vector.level for vector in vectors()} == {"must", "should", "policy"}


def test_a_call_that_is_wanted_is_a_call_of_a_tool_that_is_offered() -> None:
    offered = {Tool.from_openai(value, "tools").name for value in tools()}
    called = {name for vector in vectors() for name, _ in vector.wanted.calls}
    assert called - {"fly"} == offered


def test_no_character_is_lost_in_what_is_wanted() -> None:
    """What is not content or reasoning must be inside a call."""
    for vector in vectors():
        wanted = vector.wanted
        if not wanted.calls:
            left = re.sub(r"\s|</?think>", "", vector.text)
            assert left == re.sub(r"</?think>", "", wanted.reasoning + wanted.content)


# -- the judge -----------------------------------------------------------------------------------


def call(name: str, arguments: str, id: str = "c1") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def whole(finish: str, **message: Any) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return Answer(200, "", {"choices": [choice]})


def stream(finish: str, *deltas: dict[str, Any], done: bool = True) -> Streamed:
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return Streamed(tuple(chunks), done)


def pieces(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [{"index": i, **value} for i, value in enumerate(calls)]}


TAIPEI = call("get_weather", '{"city": "Taipei"}')
GOOD = whole("tool_calls", content=None, tool_calls=[TAIPEI])
GOOD_STREAM = stream("tool_calls", {"role": "assistant", "content": ""}, pieces(TAIPEI))


def test_a_right_answer_passes() -> None:
    result = judge(BY_ID["call"], GOOD, GOOD_STREAM)
    assert result.verdict == "pass"
    assert all(result.checks.values())
    assert result.evidence == ""


def test_white_space_around_words_and_in_arguments_is_a_matter_of_taste() -> None:
    loose = call("get_weather", '{\n "city":"Taipei"}')
    result = judge(
        BY_ID["call"],
        whole("tool_calls", content="\n", tool_calls=[loose]),
        stream("tool_calls", pieces(loose), {"content": "\n\n"}),
    )
    assert result.verdict == "pass"


@pytest.mark.parametrize(
    ("check", "answer", "streamed"),
    [
        ("answers", Answer(500, "does not match the expected format"), GOOD_STREAM),
        ("answers", GOOD, Streamed(error="boom")),
        ("answers", GOOD, replace(GOOD_STREAM, done=False)),
        ("shape", whole("tool_calls", tool_calls=[call("get_weather", "{}", "")]), GOOD_STREAM),
        ("shape", whole("tool_calls", tool_calls=[TAIPEI, TAIPEI]), GOOD_STREAM),
        ("shape", GOOD, stream("tool_calls", {"tool_calls": [TAIPEI]})),
        ("arguments", GOOD, stream("tool_calls", pieces(call("get_weather", '{"city"')))),
        ("arguments", GOOD, stream("tool_calls", pieces(call("get_weather", '"{}"')))),
        ("finish", whole("stop", tool_calls=[TAIPEI]), GOOD_STREAM),
        ("finish", GOOD, stream("stop", pieces(TAIPEI))),
        ("same", GOOD, stream("stop", {"content": "<tool_call>"})),
        ("words whole", whole("stop", content="raw"), GOOD_STREAM),
        ("words stream", GOOD, stream("stop", {"content": "raw"})),
    ],
)
def test_what_is_wrong_is_named(check: str, answer: Answer, streamed: Streamed) -> None:
    result = judge(BY_ID["call"], answer, streamed)
    assert result.verdict == "fail"
    assert result.level == "must"
    assert result.checks[check] is False
    assert result.evidence


def test_a_cut_reply_ends_with_length_whatever_was_called() -> None:
    vector = BY_ID["cut-after-whole-call"]
    lanterns = call("search", '{"query": "lanterns"}')
    for finish, verdict in (("length", "pass"), ("tool_calls", "fail")):
        answer = whole(finish, tool_calls=[lanterns])
        assert judge(vector, answer, stream(finish, pieces(lanterns))).verdict == verdict


def test_both_names_of_the_reasoning_field_are_read() -> None:
    vector = BY_ID["think"]
    for name in ("reasoning", "reasoning_content"):
        thought = {name: "The user says hello."}
        answer = whole("stop", content="Hello!", **thought)
        result = judge(vector, answer, stream("stop", thought, {"content": "Hello!"}))
        assert result.verdict == "pass"


def test_where_servers_may_differ_other_words_are_only_told() -> None:
    vector = BY_ID["call-unknown-tool"]
    other = "I can't fly."
    result = judge(vector, whole("stop", content=other), stream("stop", {"content": other}))
    assert result.verdict == "note"
    assert not any(name.startswith("words") for name in result.checks)
    broken = judge(vector, whole("stop", content=other), stream("stop", {"content": ""}))
    assert (broken.verdict, broken.level) == ("fail", "must")  # a stream must equal the whole


@pytest.mark.parametrize("text", ["", "[]", '"{}"', '{"x": NaN}', '{"x": 1', "[" * 100_000])
def test_only_an_object_is_arguments(text: str) -> None:
    assert not is_object(text)


def test_evidence_can_t_command_a_terminal() -> None:
    """What a server says is printed: it may be hostile."""
    hostile = "\x1b]0;title\x07\x1b[2J words"
    result = judge(BY_ID["words"], Answer(500, hostile), Streamed(error=hostile))
    assert result.evidence.isprintable()
    assert "words" in result.evidence


# -- the report ----------------------------------------------------------------------------------


def test_a_report_counts_and_says_whether_the_server_conforms() -> None:
    def result(id: str, level: Any, verdict: Any, **checks: bool) -> Result:
        return Result(id, "what", "why", level, verdict, checks=checks)

    fine = [
        result("tools.a", "must", "pass"),
        result("tools.b", "should", "fail"),
        result("vectors.c", "policy", "note", same=True),
        result("vectors.d", "must", "pass", same=True, words=True),
    ]
    report = Report("http://x/v1", "m", "parrot", fine)
    assert report.conforms
    assert report.groups()[0] == {"group": "tools", "pass": 1, "fail": 1, "note": 0, "skip": 0}
    assert report.checks() == {"same": (2, 2), "words": (1, 1)}
    assert not replace(report, results=[*fine, result("vectors.e", "must", "fail")]).conforms
    value = json.loads(json.dumps(report.to_json()))
    assert value["results"][3]["checks"] == {"same": True, "words": True}
