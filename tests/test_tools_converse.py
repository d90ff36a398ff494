"""Ask, run the calls, ask again: what is said, what is run, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from formosa.chat.message import Message, ToolCall
from formosa.chat.reply import Delta
from formosa.engines.protocol import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Finished,
    FinishReason,
    ModelInfo,
    Sampling,
)
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import ContextError, EngineError
from formosa.tools.converse import (
    ConverseEvent,
    Transcript,
    converse,
    converse_sync,
    same_calls,
)
from formosa.tools.function import tool
from formosa.tools.registry import Registry
from formosa.tools.runner import Limits, ToolResult


@tool
def get_weather(location: str) -> str:
    """Get the weather."""
    return f"{location} 26"


@tool
def search(query: str) -> str:
    """Search."""
    return f"found {query}"


REGISTRY = Registry([get_weather, search])
QUESTION = Message("user", "台北氣溫如何？")
WEATHER = '<tool_call>\n{"name": "get_weather", "arguments": {"location": "台北"}}\n</tool_call>'
SEARCH = '<tool_call>\n{"name": "search", "arguments": {"query": "關稅"}}\n</tool_call>'


def talk(
    *script: str,
    given: Sequence[Message] = (QUESTION,),
    registry: Registry = REGISTRY,
    max_steps: int = 8,
    max_tokens: int | None = None,
    limits: Limits | None = None,
) -> tuple[Transcript, list[ConverseEvent], list[str]]:
    """The transcript, the events, and the prompts the engine saw."""
    engine = ScriptedEngine(script)
    events: list[ConverseEvent] = []
    transcript = converse_sync(
        TemplatedChat(engine),
        given,
        registry,
        sampling=Sampling(max_tokens=max_tokens),
        max_steps=max_steps,
        limits=limits,
        on_event=events.append,
    )
    return transcript, events, engine.prompts


def unanswered(messages: Sequence[Message]) -> set[str]:
    calls = {call.id for message in messages for call in message.tool_calls}
    return calls ^ {message.tool_call_id for message in messages if message.role == "tool"}


def test_an_answer_without_a_call_ends_the_conversation() -> None:
    transcript, _, prompts = talk("26 度。")
    assert transcript.stopped == "answer"
    assert transcript.answer == "26 度。"
    assert transcript.messages == (QUESTION, Message("assistant", "26 度。"))
    assert len(transcript.replies) == len(prompts) == 1


def test_parallel_calls_are_run_and_their_results_asked_about() -> None:
    """The four steps of the F1 card, with results by id."""
    transcript, _, prompts = talk(f"我查一下。\n{WEATHER}\n{SEARCH}", "台北 26 度，關稅 32%。")
    assert transcript.stopped == "answer"
    assert transcript.answer == "台北 26 度，關稅 32%。"
    asked = transcript.messages[1]
    assert asked.content == "我查一下。"
    assert [call.name for call in asked.tool_calls] == ["get_weather", "search"]
    assert transcript.messages[2:4] == (
        Message("tool", "台北 26", tool_call_id="call_0", name="get_weather"),
        Message("tool", "found 關稅", tool_call_id="call_1", name="search"),
    )
    assert "<tool_response>\n台北 26\n</tool_response>\n<tool_response>" in prompts[1]


def test_a_failed_call_is_told_to_the_model_which_may_try_again() -> None:
    wrong = WEATHER.replace("location", "city")
    transcript, _, prompts = talk(wrong, WEATHER, "26 度。")
    assert transcript.stopped == "answer"
    assert "error: wrong arguments: location: Field required" in prompts[1]
    assert "台北 26" in prompts[2]


def test_a_model_sees_no_tools_and_calls_none_with_an_empty_registry() -> None:
    transcript, _, prompts = talk(WEATHER, registry=Registry())
    assert "<tools>" not in prompts[0]
    assert transcript.stopped == "answer"
    assert transcript.answer == WEATHER


def test_the_same_calls_twice_in_a_row_stop_the_loop() -> None:
    """A small model that does not read its results asks the same thing for ever."""
    transcript, events, prompts = talk(WEATHER, WEATHER, "never asked")
    assert transcript.stopped == "steps"
    assert len(prompts) == 2
    ran = [event for event in events if isinstance(event, ToolResult)]
    assert [result.ok for result in ran] == [True, False]
    assert ran[1].content == "error: not run; the same calls were just made"


def test_the_same_call_again_after_another_one_is_no_loop() -> None:
    transcript, _, _ = talk(WEATHER, SEARCH, WEATHER, "done")
    assert transcript.stopped == "answer"
    assert len(transcript.replies) == 4


def test_the_same_call_with_other_arguments_is_no_loop() -> None:
    transcript, _, _ = talk(WEATHER, WEATHER.replace("台北", "高雄"), "done")
    assert transcript.stopped == "answer"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([ToolCall("f", '{"a": 1, "b": 2}', "x")], [ToolCall("f", '{"b":2,"a":1}', "y")], True),
        ([ToolCall("f", '{"a": 1}')], [ToolCall("f", '{"a": "1"}')], False),
        ([ToolCall("f", '{"a": 1}')], [ToolCall("g", '{"a": 1}')], False),
        ([ToolCall("f", '{"a": ')], [ToolCall("f", '{"a": ')], True),
        ([ToolCall("f", "{}")], [ToolCall("f", "{}"), ToolCall("f", "{}")], False),
        ([], [], True),
    ],
)
def test_calls_are_the_same_by_name_and_values(
    one: list[ToolCall], other: list[ToolCall], same: bool
) -> None:
    """Not by id or spelling; broken arguments that are repeated are a loop too."""
    assert same_calls(one, other) is same


def test_the_loop_ends_after_max_steps() -> None:
    script = [WEATHER.replace("台北", str(i)) for i in range(9)]
    transcript, _, prompts = talk(*script, max_steps=3)
    assert transcript.stopped == "steps"
    assert len(prompts) == 3
    assert transcript.messages[-1].content == "error: not run; the limit of 3 steps is reached"


def test_calls_of_a_reply_that_was_cut_off_are_not_run() -> None:
    """What the model would have said after the first call is unknown."""
    transcript, events, _ = talk(WEATHER + "\n" + SEARCH, max_tokens=len(WEATHER) + 10)
    assert transcript.stopped == "length"
    (result,) = [event for event in events if isinstance(event, ToolResult)]
    assert (result.name, result.ok) == ("get_weather", False)
    assert "cut off" in result.content


@pytest.mark.parametrize(
    ("script", "steps", "tokens"),
    [
        ([WEATHER, "answer"], 8, None),
        ([WEATHER + "\n" + SEARCH] * 2, 8, None),
        ([WEATHER], 1, None),
        ([WEATHER + "\n" + SEARCH], 8, len(WEATHER) + 5),
    ],
    ids=["answer", "repeated", "steps", "length"],
)
def test_every_call_in_a_transcript_has_its_result(
    script: list[str], steps: int, tokens: int | None
) -> None:
    """Servers refuse a conversation with an unanswered call, so it could never be continued."""
    transcript, _, _ = talk(*script, max_steps=steps, max_tokens=tokens)
    assert not unanswered(transcript.messages)
    talk("go on", given=[*transcript.messages, Message("user", "and now?")])


def test_ids_are_never_used_twice_in_a_conversation() -> None:
    """The parser numbers the calls of each reply from call_0."""
    first, _, _ = talk(WEATHER + "\n" + SEARCH, WEATHER, "done")
    again, events, _ = talk(SEARCH, "done", given=[*first.messages, QUESTION])
    ids = [call.id for message in again.messages for call in message.tool_calls]
    assert len(ids) == len(set(ids)) == 4
    assert not unanswered(again.messages)
    told = [event.id for event in events if isinstance(event, ToolCall)]
    assert told == ids[3:], "what is shown while it streams has the id of the transcript"


def test_events_come_in_the_order_of_what_happens() -> None:
    _, events, _ = talk(f"<think>\n想\n</think>\n\n查\n{WEATHER}", "26 度")
    kinds = [event.kind if isinstance(event, Delta) else type(event).__name__ for event in events]
    assert [kind for i, kind in enumerate(kinds) if i == 0 or kind != kinds[i - 1]] == [
        "reasoning",
        "content",
        "ToolCall",
        "Finished",
        "ToolResult",
        "content",
        "Finished",
    ]
    finished = [event.reply.message for event in events if isinstance(event, Finished)]
    assert finished[0].reasoning == "想"
    assert finished[0].tool_calls[0].id == "call_0"


def test_the_limits_reach_the_tools() -> None:
    transcript, _, _ = talk(WEATHER, "done", limits=Limits(characters=2))
    assert transcript.messages[2].content.startswith("台北\n[cut:")


def test_sampling_is_the_same_in_every_step_and_greedy_by_default() -> None:
    seen: list[ChatRequest] = []

    class Watching(Foreign):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
            seen.append(request)
            async for event in super().stream(request):
                yield event

    model = Watching([call("search", "a"), Message("assistant", "done")])
    converse_sync(model, [QUESTION], REGISTRY)
    assert [request.sampling for request in seen] == [Sampling()] * 2
    converse_sync(
        Watching([Message("assistant", "done")]),
        [QUESTION],
        REGISTRY,
        sampling=Sampling(temperature=0.6),
    )
    assert seen[-1].sampling.temperature == 0.6
    assert seen[0].tools == REGISTRY.tools


def call(name: str, *ids: str) -> Message:
    calls = tuple(ToolCall(name, '{"query": "' + str(i) + '"}', id) for i, id in enumerate(ids))
    return Message("assistant", tool_calls=calls)


class Foreign:
    """A chat model of someone else: tells its calls at the end only, with the ids it likes."""

    def __init__(self, script: Sequence[Message], finish: FinishReason = "stop") -> None:
        self._script, self._finish = iter(script), finish
        self.asked: list[tuple[Message, ...]] = []

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("foreign")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        self.asked.append(request.messages)
        for message in self._script:
            yield Finished(ChatReply(message, self._finish))
            return

    async def reply(self, request: ChatRequest) -> ChatReply:
        raise NotImplementedError

    async def aclose(self) -> None:
        return None


@pytest.mark.parametrize("ids", [("", ""), ("same", "same"), ("call_1", ""), ("call_0", "call_0")])
def test_missing_and_repeated_ids_of_a_server_are_put_right(ids: tuple[str, str]) -> None:
    """Ollama and others send the same id for parallel calls, or none."""
    model = Foreign([call("search", *ids), call("search", *ids[:1]), Message("assistant", "done")])
    events: list[ConverseEvent] = []
    transcript = converse_sync(model, [QUESTION], REGISTRY, on_event=events.append)
    used = [item.id for message in transcript.messages for item in message.tool_calls]
    assert len(set(used)) == len(used) == 3
    assert all(used)
    assert [m.content for m in transcript.messages[2:4]] == ["found 0", "found 1"]
    assert [event.id for event in events if isinstance(event, ToolCall)] == used
    assert not unanswered(transcript.messages)


def test_ids_of_a_server_are_kept_where_they_are_good() -> None:
    model = Foreign([call("search", "abc", "def"), Message("assistant", "done")])
    transcript = converse_sync(model, [QUESTION], REGISTRY)
    assert [item.id for item in transcript.messages[1].tool_calls] == ["abc", "def"]
    assert [message.tool_call_id for message in model.asked[1][2:]] == ["abc", "def"]


def test_a_model_that_says_nothing_at_all_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="foreign gave no reply"):
        converse_sync(Foreign([]), [QUESTION], REGISTRY)


def test_errors_of_the_engine_are_passed_on() -> None:
    model = TemplatedChat(ScriptedEngine(["x"], context=10))
    with pytest.raises(ContextError):
        converse_sync(model, [QUESTION], REGISTRY)


def test_at_least_one_step_is_needed() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        converse_sync(Foreign([]), [QUESTION], REGISTRY, max_steps=0)


def test_cancelling_stops_the_tool_that_runs() -> None:
    """Ctrl-C in a chat."""
    cleaned = []

    async def main() -> None:
        started = asyncio.Event()

        @tool
        async def hang() -> str:
            """Never ends."""
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append(True)
            return ""

        model = TemplatedChat(
            ScriptedEngine(['<tool_call>{"name": "hang", "arguments": {}}</tool_call>'])
        )
        task = asyncio.create_task(converse(model, [QUESTION], Registry([hang])))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert cleaned == [True]
