"""From a seed to a row, or to the reason why there is none.

    1  the teacher writes what a user says
    2  the teacher replies, twice, neither knowing of the other: both must do what the seed is
       about, and make the same calls
    3  where every call can be run, it is, and the teacher answers from the results

Each step is checked before the next is paid for. Given the same answers the outcome is the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from formosa.chat.message import Message, ToolCall
from formosa.chat.parser import parse_reply
from formosa.chat.tags import END_THINK, THINK
from formosa.data.rejects import Rejection
from formosa.data.rows import Row
from formosa.data.teacher import checks
from formosa.data.teacher.config import TeacherConfig
from formosa.data.teacher.cost import RESULT
from formosa.data.teacher.journal import Journal, Outcome, Said
from formosa.data.teacher.prompts import answer_request, question_request, reply_request
from formosa.data.teacher.seeds import Seed
from formosa.data.validate import BadRowError, validate_row
from formosa.engines.protocol import ChatModel, ChatRequest
from formosa.errors import ContextError, DataError

CUT = Rejection("cut off", "A reply ran into its limit: --max-tokens.")


class Maker:
    """Makes rows of seeds.

    Args:
        teacher: is asked.
        config: how.
        journal: keeps every answer, and is asked first.
        source: of the rows.
    """

    def __init__(
        self, teacher: ChatModel, config: TeacherConfig, journal: Journal, source: str
    ) -> None:
        self._teacher = teacher
        self._config = config
        self._journal = journal
        self._source = source

    async def make(self, seed: Seed) -> Outcome:
        """The outcome for a seed, recorded.

        Raises:
            EngineError: the teacher failed; the seed is not done.
            UserError: it can't be asked like this.
        """
        try:
            outcome = await self._make(seed)
        except ContextError as error:
            outcome = Outcome(None, Rejection("too long", error.message))
        self._journal.add_outcome(seed.id, outcome)
        return outcome

    async def _make(self, seed: Seed) -> Outcome:
        said = await self._ask(seed, "question", question_request(seed, self._config))
        question = checks.bare_question(without_thoughts(said.message).content)
        if wrong := _cut(said) or checks.check_question(question, seed):
            return self._refused(wrong, seed, question)
        first, second = await self._two_replies(seed, question)
        reply = self._kept(first.message)
        for sample in (first, second):
            wrong = _cut(sample) or checks.check_reply(self._kept(sample.message), seed, question)
            if wrong:
                return self._refused(wrong, seed, question, self._kept(sample.message))
        if not checks.agree(first.message.tool_calls, second.message.tool_calls):
            wrong = Rejection("samples disagree", _difference(second.message.tool_calls))
            return self._refused(wrong, seed, question, reply)
        messages = [Message("user", question), reply]
        if reply.tool_calls and all(offer.execute for offer in seed.needed):
            results = await self._results(seed, reply.tool_calls)
            if isinstance(results, Rejection):
                return self._refused(results, seed, question, reply)
            messages += results
            said = await self._ask(seed, "answer", answer_request(seed, self._config, messages))
            answer = self._kept(said.message)
            if wrong := _cut(said) or checks.check_answer(answer, seed):
                return self._refused(wrong, seed, question, reply, *results, answer)
            messages.append(answer)
        row = self._row(seed, messages)
        try:
            validate_row(row)
        except BadRowError as error:
            return Outcome(row, Rejection(error.reason, f"{error.problem}."))
        return Outcome(row)

    async def _two_replies(self, seed: Seed, question: str) -> tuple[Said, Said]:
        """At the same time. Where one fails, the other is waited for: it is paid for as well."""
        requests = [reply_request(seed, self._config, question, n) for n in (1, 2)]
        first, second = await asyncio.gather(
            *(self._ask(seed, f"reply-{n}", asked) for n, asked in enumerate(requests, start=1)),
            return_exceptions=True,
        )
        for said in (first, second):
            if isinstance(said, BaseException):
                raise said
        assert isinstance(first, Said) and isinstance(second, Said)
        return first, second

    async def _ask(self, seed: Seed, step: str, request: ChatRequest) -> Said:
        known = self._journal.said(seed.id, step)
        if known is not None:
            return known
        return self._journal.add_reply(seed.id, step, await self._teacher.reply(request))

    async def _results(self, seed: Seed, calls: tuple[ToolCall, ...]) -> list[Message] | Rejection:
        """A message for each call, run once and for all."""
        contents = self._journal.results(seed.id)
        if contents is None:
            run = {offer.tool.name: offer.execute for offer in seed.needed}
            contents = []
            for call in calls:
                execute = run[call.name]
                assert execute is not None
                try:
                    contents.append((await execute(call))[:RESULT])
                except DataError as error:
                    return Rejection("does not run", error.message)
            self._journal.add_results(seed.id, contents)
        return [
            Message("tool", content, tool_call_id=call.id, name=call.name)
            for call, content in zip(calls, contents, strict=True)
        ]

    def _kept(self, message: Message) -> Message:
        """A reply as it goes into a row: ids of its calls by their place."""
        message = without_thoughts(message)
        calls = tuple(replace(call, id=f"call_{i}") for i, call in enumerate(message.tool_calls))
        reasoning = message.reasoning.strip() if self._config.thinking else ""
        return Message("assistant", message.content.strip(), reasoning=reasoning, tool_calls=calls)

    def _row(self, seed: Seed, messages: list[Message]) -> Row:
        return Row.of(
            messages,
            seed.offered,
            id=seed.id,
            source=self._source,
            kind=seed.kind,
            language=seed.language,
        )

    def _refused(self, why: Rejection, seed: Seed, question: str, *said: Message) -> Outcome:
        """With the row as far as it got, to be looked at."""
        return Outcome(self._row(seed, [Message("user", question), *said]), why)


def without_thoughts(message: Message) -> Message:
    """A message whose thoughts stand where thoughts belong: some servers leave them between tags
    in the content, or behind a tag that the prompt opened."""
    if message.reasoning or END_THINK not in message.content:
        return message
    opened = THINK not in message.content.split(END_THINK)[0]
    read = parse_reply(message.content, reasoning_open=opened, calls=False).message
    return replace(message, content=read.content, reasoning=read.reasoning)


def _cut(said: Said) -> Rejection | None:
    return CUT if said.cut else None


def _difference(calls: tuple[ToolCall, ...]) -> str:
    written = "; ".join(f"{call.name} {call.arguments}" for call in calls)
    return f"The other sample calls {written or 'nothing'}."
