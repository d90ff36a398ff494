"""A reply as a record of the log, and back again, so that a new scorer can judge an old reply.

Kept: the raw text where it is known, the message, how it ended, tokens, defects, and the
log-probabilities where they were asked for (texts and values; numbers of tokens are not kept).
Texts that look like a key are taken out of errors, since some servers quote what they refuse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from formosa.chat.message import Message, ToolCall
from formosa.chat.reply import Defect
from formosa.engines.protocol import ChatReply, Logprob, TokenLogprob, Usage
from formosa.errors import LogError
from formosa.evals.task import Sample, Task
from formosa.zh.purity import measure

_KEY = re.compile(
    r"\b(?:sk|pk|hf|gsk|xai|ghp|nvapi|key|AIza)[-_][A-Za-z0-9_-]{8,}|\bAIza[A-Za-z0-9_-]{20,}"
    r"|(?i:bearer|api[-_ ]?key|token|authorization)[\s:=\"']+[A-Za-z0-9._~+/-]{12,}=*"
)


def without_keys(text: str) -> str:
    """`text` with everything that looks like a key replaced."""
    return _KEY.sub("[key]", text)


def reply_record(task: Task[Any], reply: ChatReply) -> Mapping[str, Any]:
    """What the log keeps of a reply; of a private task's, no text."""
    usage = list(reply.usage) if reply.usage else None
    if task.private:
        kept = dict(task.keep(reply)) if task.keep else {}
        return {"private": kept, "finish": reply.finish, "usage": usage}
    record: dict[str, Any] = {
        "text": reply.text,
        "message": reply.message.to_openai(),
        "finish": reply.finish,
        "usage": usage,
    }
    if reply.defects:
        record["defects"] = [list(defect) for defect in reply.defects]
    if reply.logprobs:
        record["logprobs"] = [
            [_token(one.chosen), [_token(other) for other in one.top]] for one in reply.logprobs
        ]
    return record


def reply_from_record(record: Mapping[str, Any], where: str) -> ChatReply:
    """The reply that `reply_record` wrote.

    Raises:
        LogError: its text was not kept, or the record has another shape.
    """
    try:
        if "private" in record:
            # Of a private task, there is at most what its scorers read.
            read = record["private"].get("read")
            if read is None:
                raise LogError(f"{where}: this reply was not kept, so it can't be scored again.")
            return ChatReply(Message("assistant", str(read)), record["finish"])
        value = record["message"]
        calls = tuple(
            ToolCall(
                str(call["function"]["name"]), str(call["function"]["arguments"]), str(call["id"])
            )
            for call in value.get("tool_calls") or ()
        )
        message = Message(
            "assistant",
            content=str(value.get("content") or ""),
            reasoning=str(value.get("reasoning_content") or ""),
            tool_calls=calls,
        )
        usage = record.get("usage")
        return ChatReply(
            message,
            record["finish"],
            Usage(*usage) if usage else None,
            str(record.get("text") or ""),
            tuple(Defect(*defect) for defect in record.get("defects") or ()),
            tuple(
                Logprob(_from_token(chosen), tuple(_from_token(other) for other in top))
                for chosen, top in record.get("logprobs") or ()
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LogError(f"{where}: the reply is damaged: {type(error).__name__} {error}.") from error


def purity_record(reply: ChatReply) -> list[int]:
    """Han characters in the reply (reasoning left out); of them Simplified-only ones; and of them
    those in words of the mainland."""
    found = measure(reply.message.content)
    return [found.han, found.simplified_only, found.mainland_han]


def scores(
    task: Task[Any], sample: Sample[Any], repeat: int, seed: int, reply: ChatReply
) -> dict[str, dict[str, Any]]:
    """What every scorer of the task makes of a reply. A bug in one names the sample."""
    try:
        return {
            name: {"outcome": made.outcome, "answer": made.answer, "why": made.why}
            for name, scorer in task.scorers.items()
            if (made := scorer(sample, repeat, seed, reply))
        }
    except Exception as error:
        error.add_note(f"while scoring the sample {sample.id} of {task.name}")
        raise


def failed_scores(task: Task[Any], why: str) -> dict[str, dict[str, Any]]:
    """What the scorers say where there is no reply."""
    return {name: {"outcome": "failed", "answer": None, "why": why} for name in task.scorers}


def _token(token: TokenLogprob) -> list[Any]:
    return [token.text, token.logprob]


def _from_token(value: Any) -> TokenLogprob:
    text, logprob = value
    return TokenLogprob(text, float(logprob), text.encode("utf-8", "surrogatepass"))
