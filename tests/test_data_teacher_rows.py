"""From seeds to rows: what is kept, what is refused and why, what is asked, and what it costs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formosa.chat.message import ToolCall
from formosa.data.rejects import read_rejects
from formosa.data.rows import Row, read_rows
from formosa.data.teacher.config import KINDS, TeacherConfig
from formosa.data.teacher.cost import Prices, Tokens, estimate
from formosa.data.teacher.offers import Execute, Offer, catalogue_offers, own_offers
from formosa.data.teacher.seeds import make_seeds
from formosa.data.teacher.teach import PATIENCE, Teacher, teach
from formosa.data.validate import validate_row
from formosa.engines.protocol import ChatModel, ChatReply, ChatRequest, Usage
from formosa.errors import ContextError, DataError, EngineError, UnsupportedError, UserError
from formosa.files import JsonLines, read_json
from teacher_server import TOOLS, Body, Change, Reply, ScriptedTeacher, few, same, step_of

ADD = TOOLS[1]


async def add(call: ToolCall) -> str:
    values = call.values()
    return str(values["a"] + values["b"])


def only(kind: str, language: str = "zh-TW", questions: int = 4, **more: Any) -> TeacherConfig:
    return TeacherConfig(kinds={kind: 1}, languages={language: 1}, questions=questions, **more)


def taught(
    folder: Path,
    config: TeacherConfig,
    chat: ChatModel | None = None,
    *,
    offers: Callable[[str], Sequence[Offer]] = few,
    say: Callable[[str], None] | None = None,
    **how: Any,
) -> dict[str, Any]:
    teacher = Teacher(chat or ScriptedTeacher(), "wise", **how)
    return asyncio.run(teach(teacher, offers, config, folder, say=say))


def rows_of(folder: Path) -> list[Row]:
    return list(read_rows(folder / "rows.jsonl"))


def own(execute: Execute | None) -> Callable[[str], Sequence[Offer]]:
    offers = own_offers([ADD], execute)
    return lambda language: offers


# -- what is kept ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["zh-TW", "en"])
def test_what_a_good_teacher_writes_becomes_rows_that_can_be_trained_on(
    tmp_path: Path, kind: str, language: str
) -> None:
    report = taught(tmp_path, only(kind, language, questions=8))
    rows = rows_of(tmp_path)
    assert report["rows"] == len(rows) == 8 and report["rejected"] == {}
    for number, row in enumerate(rows):
        validate_row(row)
        assert (row.id, row.source) == (f"teacher-0-{number}", "teacher:wise")
        assert (row.kind, row.language) == (kind, language)
        assert [message.role for message in row.messages[:2]] == ["user", "assistant"]


def test_the_tools_of_our_catalogue_can_be_taught(tmp_path: Path) -> None:
    report = taught(tmp_path, TeacherConfig(questions=60), offers=catalogue_offers)
    rows = rows_of(tmp_path)
    assert report["rows"] == len(rows) == 60 and set(report["kinds"]) == set(KINDS)
    told = [row for row in rows if row.messages[-2].role == "tool"]
    assert told, "calculating tools are run"
    for row in rows:
        validate_row(row)


def test_a_call_that_can_be_run_is_run_and_answered_from_its_result(tmp_path: Path) -> None:
    chat = ScriptedTeacher()
    taught(tmp_path, only("single", questions=1), chat, offers=own(add))
    (row,) = rows_of(tmp_path)
    user, calls, result, answer = row.messages
    (call,) = calls.tool_calls
    values = call.values()
    assert (result.role, result.content) == ("tool", str(values["a"] + values["b"]))
    assert (result.tool_call_id, call.id, result.name) == ("call_0", "call_0", "add_numbers")
    assert answer.content == f"結果是 {result.content}。"
    last = chat.asked[-1]["messages"]
    assert [message["role"] for message in last] == ["system", "user", "assistant", "tool"]
    assert user.content == last[1]["content"]


def test_a_call_that_can_t_be_run_ends_the_row(tmp_path: Path) -> None:
    chat = ScriptedTeacher()
    taught(tmp_path, only("parallel", questions=1), chat, offers=own(None))
    (row,) = rows_of(tmp_path)
    assert [message.role for message in row.messages] == ["user", "assistant"]
    assert [call.id for call in row.messages[1].tool_calls][:2] == ["call_0", "call_1"]
    assert len(chat.asked) == 3


def test_thoughts_are_left_out_unless_they_are_wanted(tmp_path: Path) -> None:
    def thinks(body: Body, reply: Reply) -> Reply:
        return {**reply, "reasoning_content": "先想一想。"}

    for thinking in (False, True):
        folder = tmp_path / str(thinking)
        config = only("missing", questions=1, thinking=thinking)
        taught(folder, config, ScriptedTeacher(thinks))
        (row,) = rows_of(folder)
        assert row.messages[1].reasoning == ("先想一想。" if thinking else "")


@pytest.mark.parametrize("opened", [True, False])
def test_thoughts_that_a_server_leaves_in_the_content_are_thoughts(
    tmp_path: Path, opened: bool
) -> None:
    """As servers do that have no parser for the model; R1's prompt opens the block itself."""

    def thinks(body: Body, reply: Reply) -> Reply:
        begin = "" if opened else "<think>"
        return {**reply, "content": f"{begin}先想一想 A。</think>\n\n{reply['content']}"}

    config = only("missing", questions=3, thinking=True)
    report = taught(tmp_path, config, ScriptedTeacher(thinks))
    assert report["rows"] == 3
    for row in rows_of(tmp_path):
        assert row.messages[1].reasoning == "先想一想 A。"
        assert all("think" not in message.content for message in row.messages)


def test_the_instructions_to_the_teacher_are_no_part_of_a_row(tmp_path: Path) -> None:
    taught(tmp_path, only("single", questions=3))
    assert all(row.messages[0].role == "user" for row in rows_of(tmp_path))


# -- what is refused -------------------------------------------------------------------------------


def changed(step: str, **fields: Any) -> Change:
    def change(body: Body, reply: Reply) -> Reply:
        return {**reply, **fields} if step_of(body) == step else reply

    return change


def calls_other_values(body: Body, reply: Reply) -> Reply:
    """The second sample only: what the dice of a request change."""
    if step_of(body) == "reply" and body["seed"] % 2:
        (call,) = reply["tool_calls"]
        values = json.loads(call["function"]["arguments"])
        swapped = {"a": values["b"], "b": values["a"]}
        function = {"name": "add_numbers", "arguments": json.dumps(swapped)}
        return {**reply, "tool_calls": [{**call, "function": function}]}
    return reply


@pytest.mark.parametrize(
    ("kind", "change", "reason", "asked"),
    [
        ("single", changed("question", content="Add 1 and 2"), "wrong language", 1),
        ("single", changed("question", content="用 add_numbers 算 1 加 2"), "names a tool", 1),
        ("single", changed("question", content=""), "no question", 1),
        ("single", changed("question", finish="length"), "cut off", 1),
        ("single", changed("reply", finish="length"), "cut off", 3),
        ("single", changed("reply", tool_calls=[], content="三。"), "other calls", 3),
        ("single", calls_other_values, "samples disagree", 3),
        ("single", changed("answer", content=""), "no answer", 4),
        ("single", changed("answer", content="这是结果。"), "simplified", 4),
        ("single", changed("answer", finish="length"), "cut off", 4),
        ("missing", changed("reply", content="不行。"), "does not ask back", 3),
    ],
)
def test_what_does_not_stand_a_check_is_refused_and_no_more_is_paid_for_it(
    tmp_path: Path, kind: str, change: Change, reason: str, asked: int
) -> None:
    chat = ScriptedTeacher(change)
    report = taught(tmp_path, only(kind, questions=1), chat, offers=own(add))
    assert (report["rows"], report["rejected"]) == (0, {reason: 1})
    assert len(chat.asked) == asked
    (refused,) = read_rejects(tmp_path / "rejects.jsonl")
    assert (refused.where, refused.reason) == ("teacher-0-0", reason)
    assert refused.source == "teacher:wise" and refused.detail
    assert refused.row is not None, "it can be looked at"
    assert (tmp_path / "rows.jsonl").read_text(encoding="utf-8") == ""


def test_calls_that_are_no_json_are_refused_and_survive_in_the_journal(tmp_path: Path) -> None:
    class Torn(ScriptedTeacher):
        async def reply(self, request: ChatRequest) -> ChatReply:
            reply = await super().reply(request)
            calls = tuple(replace(call, arguments="{") for call in reply.message.tool_calls)
            return replace(reply, message=replace(reply.message, tool_calls=calls))

    report = taught(tmp_path, only("single", questions=2), Torn(), offers=own(add))
    assert report["rejected"] == {"cannot be written": 2}
    again = taught(tmp_path, only("single", questions=2), Torn(), offers=own(add))
    assert again == report
    assert [line.row and line.row["id"] for line in read_rejects(tmp_path / "rejects.jsonl")] == [
        "teacher-0-0",
        "teacher-0-1",
    ]


def test_a_call_that_fails_when_it_is_run_is_refused(tmp_path: Path) -> None:
    async def fails(call: ToolCall) -> str:
        raise DataError("add_numbers: error: out of order")

    report = taught(tmp_path, only("single", questions=1), offers=own(fails))
    assert report["rejected"] == {"does not run": 1}
    (refused,) = read_rejects(tmp_path / "rejects.jsonl")
    assert refused.detail == "add_numbers: error: out of order"


def test_a_question_that_was_asked_before_is_a_duplicate(tmp_path: Path) -> None:
    def always(body: Body, reply: Reply) -> Reply:
        if step_of(body) == "question":
            return {**reply, "content": "今天是幾月幾日？"}
        return {"role": "assistant", "content": "我沒有日曆。"}

    class Fixed(ScriptedTeacher):
        async def reply(self, request: ChatRequest) -> ChatReply:
            self._brain._means["今天是幾月幾日？"] = []
            return await super().reply(request)

    report = taught(tmp_path, only("irrelevant", questions=3), Fixed(always))
    assert (report["rows"], report["rejected"]) == (1, {"duplicate": 2})
    assert [line.detail for line in read_rejects(tmp_path / "rejects.jsonl")] == [
        "teacher-0-0 asks the same."
    ] * 2


def test_a_request_that_does_not_fit_the_teacher_is_refused(tmp_path: Path) -> None:
    class Small(ScriptedTeacher):
        async def reply(self, request: ChatRequest) -> ChatReply:
            raise ContextError(5000, 1024, 4096)

    report = taught(tmp_path, only("single", questions=2), Small())
    assert report["rejected"] == {"too long": 2}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(faults=st.lists(st.sampled_from(["good", "empty", "torn", "words", "cut", "same"]),
                       min_size=1, max_size=5))  # fmt: skip
def test_every_question_is_a_row_or_has_a_reason(
    tmp_path_factory: pytest.TempPathFactory, faults: list[str]
) -> None:
    def errs(body: Body, reply: Reply) -> Reply:
        match faults[body["seed"] % len(faults)]:
            case "empty":
                return {"role": "assistant", "content": ""}
            case "words":
                return {"role": "assistant", "content": "好 <|im_end|> 的"}
            case "cut":
                return {**reply, "finish": "length"}
            case "torn" if reply.get("tool_calls"):
                return {**reply, "tool_calls": reply["tool_calls"][:1] * 2}
        return reply

    class Errs(ScriptedTeacher):
        async def reply(self, request: ChatRequest) -> ChatReply:
            for message in request.messages:
                self._brain._means.setdefault(message.content, [])
            return await super().reply(request)

    folder = tmp_path_factory.mktemp("taught")
    report = taught(folder, TeacherConfig(questions=12), Errs(errs))
    assert report["rows"] + sum(report["rejected"].values()) == report["questions"] == 12
    assert report["not_done"] == 0
    for row in rows_of(folder):
        validate_row(row)
    assert len(list(read_rejects(folder / "rejects.jsonl"))) == sum(report["rejected"].values())


# -- one journal, and going on ---------------------------------------------------------------------


def test_the_same_journal_gives_the_same_bytes_however_many_are_asked_at_a_time(
    tmp_path: Path,
) -> None:
    config = TeacherConfig(questions=25)
    files = []
    for concurrency in (1, 7):
        folder, chat = tmp_path / str(concurrency), ScriptedTeacher()
        taught(folder, config, chat, concurrency=concurrency)
        assert chat.most <= 2 * concurrency
        assert chat.most > 2 or concurrency == 1
        files.append([(folder / name).read_bytes() for name in ("rows.jsonl", "rejects.jsonl",
                                                                "report.json")])  # fmt: skip
    assert files[0] == files[1]


def test_a_run_that_is_done_asks_nothing_when_it_is_run_again(tmp_path: Path) -> None:
    config = TeacherConfig(questions=6)
    first = taught(tmp_path, config)
    before = (tmp_path / "journal.jsonl").read_bytes()
    chat = ScriptedTeacher()
    assert taught(tmp_path, config, chat) == first
    assert chat.asked == [] and (tmp_path / "journal.jsonl").read_bytes() == before


def test_a_run_can_be_made_longer(tmp_path: Path) -> None:
    taught(tmp_path / "a", TeacherConfig(questions=4))
    chat = ScriptedTeacher()
    taught(tmp_path / "a", TeacherConfig(questions=9), chat)
    taught(tmp_path / "b", TeacherConfig(questions=9))
    rows = [(tmp_path / name / "rows.jsonl").read_bytes() for name in "ab"]
    assert rows[0] == rows[1]
    assert sum(step_of(body) == "question" for body in chat.asked) == 5


@settings(max_examples=30, deadline=None)
@given(cut=st.floats(0, 1), torn=st.integers(0, 40))
def test_a_journal_cut_anywhere_goes_on_to_the_same_rows_and_asks_only_what_is_not_in_it(
    tmp_path_factory: pytest.TempPathFactory, cut: float, torn: int
) -> None:
    folder = tmp_path_factory.mktemp("taught")
    config, whole = TeacherConfig(questions=6), ScriptedTeacher()
    report = taught(folder, config, whole, concurrency=3)
    rows, journal = (folder / "rows.jsonl").read_bytes(), folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = lines[: int(cut * len(lines))]
    rest = b"".join(lines[len(kept) :])[:torn]
    journal.write_bytes(b"".join(kept) + (rest if b"\n" not in rest else b""))
    replies = sum(json.loads(line)["type"] == "reply" for line in kept)

    class Same(ScriptedTeacher):
        """Knows the questions that were asked before."""

        def __init__(self) -> None:
            super().__init__()
            self._brain = whole._brain

    chat = Same()
    assert taught(folder, config, chat, concurrency=2) == report
    assert (folder / "rows.jsonl").read_bytes() == rows
    assert len(chat.asked) == len(whole.asked) - replies


def test_a_result_is_not_computed_twice(tmp_path: Path) -> None:
    """A tool may be slow, or give another result tomorrow."""
    ran: list[str] = []

    async def counted(call: ToolCall) -> str:
        ran.append(call.arguments)
        return await add(call)

    class Fails(ScriptedTeacher):
        async def reply(self, request: ChatRequest) -> ChatReply:
            if request.messages[-1].role == "tool":
                raise EngineError("gone")
            return await super().reply(request)

    first = Fails()
    config = only("single", questions=1)
    taught(tmp_path, config, first, offers=own(counted))
    chat = ScriptedTeacher()
    report = taught(tmp_path, config, chat, offers=own(counted))
    assert report["rows"] == 1 and len(ran) == 1 and len(chat.asked) == 1


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"seed": 1}, "seed"),
        ({"temperature": 0.9}, "temperature"),
        ({"topics": ("報稅",)}, "topics"),
        ({"kinds": {"single": 1.0}}, "kinds"),
    ],
)
def test_answers_to_other_requests_are_not_taken_for_these(
    tmp_path: Path, change: dict[str, Any], key: str
) -> None:
    config = TeacherConfig(questions=2)
    taught(tmp_path, config)
    with pytest.raises(DataError, match=f"other requests: {key} was"):
        taught(tmp_path, config.model_copy(update=change))
    assert taught(tmp_path, config)["rows"] == 2, "and nothing was overwritten"


def test_other_tools_or_another_teacher_are_other_requests(tmp_path: Path) -> None:
    config = only("single", questions=1)
    taught(tmp_path, config, offers=own(add))
    with pytest.raises(DataError, match="tools was"):
        taught(tmp_path, config)
    with pytest.raises(DataError, match="teacher was 'wise'"):
        asyncio.run(teach(Teacher(ScriptedTeacher(), "other"), own(add), config, tmp_path))


@pytest.mark.parametrize(
    "line", ['{"type": "reply"}', '{"type": "note", "seed": "s"}', "[]", '"x"',
             '{"type": "done", "seed": "s", "row": {"id": 5}, "rejection": null}'],
)  # fmt: skip
def test_a_damaged_journal_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    taught(tmp_path, TeacherConfig(questions=1))
    with (tmp_path / "journal.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"journal.jsonl:\d+ is no record"):
        taught(tmp_path, TeacherConfig(questions=1))


def test_two_at_once_do_not_write_the_same_folder(tmp_path: Path) -> None:
    class Asks(ScriptedTeacher):
        async def reply(self, request: ChatRequest) -> ChatReply:
            inner = Teacher(ScriptedTeacher(), "wise")
            with pytest.raises(DataError, match="Somebody else is writing"):
                await teach(inner, few, config, tmp_path)
            return await super().reply(request)

    config = TeacherConfig(questions=1)
    assert taught(tmp_path, config, Asks())["rows"] == 1


def test_a_folder_that_can_t_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="Cannot write"):
        taught(tmp_path / "file" / "taught", TeacherConfig(questions=1))


# -- a teacher that fails --------------------------------------------------------------------------


class Failing(ScriptedTeacher):
    """Fails at every request from the n-th on, or at those whose dice it does not like."""

    def __init__(self, fails: Callable[[int, Body], bool]) -> None:
        super().__init__()
        self._fails, self._count = fails, 0

    async def reply(self, request: ChatRequest) -> ChatReply:
        reply = await super().reply(request)
        self._count += 1
        if self._fails(self._count, self.asked[-1]):
            raise EngineError("teacher broke off.", "start it again")
        return reply


def test_a_seed_that_the_teacher_fails_at_is_left_for_the_next_run(tmp_path: Path) -> None:
    said: list[str] = []
    config = TeacherConfig(questions=10)
    chat = Failing(lambda count, body: count == 4)
    report = taught(tmp_path, config, chat, say=said.append)
    assert report["not_done"] == len(report["failed"]) == 1 and report["rows"] == 9
    (name,) = report["failed"]
    assert said == [f"{name}: teacher broke off."]
    after = Failing(lambda count, body: False)
    after._brain = chat._brain
    again = taught(tmp_path, config, after)
    assert again["rows"] == 10 and again["failed"] == {}
    assert 1 <= len(after.asked) <= 4


def test_the_other_reply_is_kept_where_one_of_two_fails(tmp_path: Path) -> None:
    """It is paid for, too."""
    config = only("single", questions=1)
    chat = Failing(lambda count, body: step_of(body) == "reply" and count == 2)
    taught(tmp_path, config, chat, offers=own(None))
    after = ScriptedTeacher()
    after._brain = chat._brain
    taught(tmp_path, config, after, offers=own(None))
    assert len(after.asked) == 1


def test_a_teacher_that_is_gone_is_left_alone_and_its_answers_are_kept(tmp_path: Path) -> None:
    config = TeacherConfig(questions=40)
    chat = Failing(lambda count, body: count > 30)
    with pytest.raises(EngineError, match=f"failed {PATIENCE} times in a row") as error:
        taught(tmp_path, config, chat, concurrency=1)
    assert error.value.hint == "start it again"
    assert len(chat.asked) <= 30 + 2 * PATIENCE
    report = read_json(tmp_path / "report.json")
    assert report["rows"] == len(rows_of(tmp_path)) >= 6, "what was made is written"
    assert report["not_done"] == 40 - report["rows"]
    after = ScriptedTeacher()
    after._brain = chat._brain
    assert taught(tmp_path, config, after)["rows"] == 40


def test_a_request_that_no_try_can_mend_stops_at_once(tmp_path: Path) -> None:
    class Refuses(ScriptedTeacher):
        async def reply(self, request: ChatRequest) -> ChatReply:
            await super().reply(request)
            raise UnsupportedError("seed", "not known here")

    chat = Refuses()
    with pytest.raises(UnsupportedError):
        taught(tmp_path, TeacherConfig(questions=50), chat, concurrency=2)
    assert len(chat.asked) <= 4


def test_a_full_disk_is_one_sentence_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, count = JsonLines.append, Counter[str]()

    def fills_up(self: JsonLines, record: Any) -> int:
        count["records"] += 1
        if count["records"] == 12:
            raise UserError("The disk is full.")
        return append(self, record)

    config, chat = TeacherConfig(questions=8), ScriptedTeacher()
    with monkeypatch.context() as patched:
        patched.setattr(JsonLines, "append", fills_up)
        with pytest.raises(UserError, match="disk is full"):
            taught(tmp_path, config, chat, concurrency=2)
    after = ScriptedTeacher()
    after._brain = chat._brain
    assert taught(tmp_path, config, after)["rows"] == 8


# -- tokens and money ------------------------------------------------------------------------------


def test_tokens_and_money_of_all_answers_are_counted(tmp_path: Path) -> None:
    chat = ScriptedTeacher(usage=Usage(2000, 500))
    report = taught(tmp_path, only("missing", questions=10), chat, prices=Prices(0.5, 2.0))
    assert report["tokens"] == {"prompt": 60_000, "reply": 15_000, "requests": 30, "unknown": 0}
    assert report["cost"] == pytest.approx(0.03 + 0.03)
    again = taught(tmp_path, only("missing", questions=10), prices=Prices(1.0, 0.0))
    assert again["tokens"] == report["tokens"], "also those of the run before"
    assert again["cost"] == pytest.approx(0.06)


def test_answers_without_counts_are_told_apart(tmp_path: Path) -> None:
    report = taught(tmp_path, only("missing", questions=1), ScriptedTeacher(usage=None))
    assert report["tokens"] == {"prompt": 0, "reply": 0, "requests": 3, "unknown": 3}
    assert report["cost"] is None, "no price was named"


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimate_is_never_below_what_a_tokenizer_could_make_of_it(
    tmp_path: Path, kind: str
) -> None:
    """A tokenizer that makes a token of every two bytes, and a teacher that writes all it may."""
    config = only(kind, questions=5, max_tokens=64)

    class Wordy(ScriptedTeacher):
        async def reply(self, request: ChatRequest) -> ChatReply:
            reply = await super().reply(request)
            sent = json.dumps(self.asked[-1]["messages"] + self.asked[-1]["tools"],
                              ensure_ascii=False)  # fmt: skip
            return replace(reply, usage=Usage(len(sent.encode()) // 2, 64))

    for offers in (few, own(add)):
        if kind == "parallel_multiple" and offers is not few:
            continue
        report = taught(tmp_path / str(offers), config, Wordy(), offers=offers)
        most = estimate(make_seeds(config, offers), config)
        assert report["rows"] == 5
        assert report["tokens"]["requests"] <= most.requests
        assert report["tokens"]["prompt"] <= most.prompt
        assert report["tokens"]["reply"] <= most.reply == most.requests * 64


def test_no_seed_is_begun_beyond_the_budget(tmp_path: Path) -> None:
    said: list[str] = []
    how: dict[str, Any] = {"prices": Prices(10.0, 0.0), "concurrency": 1}
    chat = ScriptedTeacher(usage=Usage(100_000, 0))  # each answer costs 1
    config = only("missing", questions=10)
    report = taught(tmp_path, config, chat, budget=7.0, say=said.append, **how)
    assert (report["cost"], report["rows"], report["not_done"]) == (9.0, 3, 7)
    assert said == ["the budget of 7 is spent"]
    report = taught(tmp_path, config, ScriptedTeacher(usage=Usage(0, 0)), budget=9.5, **how)
    assert report["rows"] == 10


def test_money_needs_both_prices() -> None:
    tokens = Tokens(1_000_000, 2_000_000, 3)
    assert Prices(1.0, 10.0).of(tokens) == 21.0
    assert Prices(1.0).of(tokens) is None and Prices(reply=1.0).of(tokens) is None


def test_the_report_says_who_wrote_the_rows_and_under_which_terms(tmp_path: Path) -> None:
    report = taught(tmp_path / "a", only("missing", questions=2), licence="MIT")
    assert (report["teacher"], report["licence"]) == ("wise", "MIT")
    assert report["base_url"] == "http://teacher/v1"
    assert report["kinds"] == {"missing": 2} and report["languages"] == {"zh-TW": 2}
    report = taught(tmp_path / "b", only("missing", questions=1), ScriptedTeacher(same))
    assert report["licence"] == "unknown: the terms of wise decide"
