"""The Berkeley Function Calling Leaderboard as tasks: bfcl-simple, bfcl-multiple, ….

Source:  https://github.com/ShishirPatil/gorilla, read from the wheel bfcl-eval 2026.3.23 (v4 data)
Licence: Apache-2.0
Version: 1 — raise it when the tools shown, the decoder or the rules change

The tool-call mode of the reference: the question as it is, without a system prompt, and the
function docs as tools. `bfcl-simple` is the Python part, not the mean over three languages.

The five outcomes. `correct` and `wrong` are the checker's. `unparsed`: there was no call to be
read, which the reference counts as wrong, too. `truncated`: not correct, and the reply was cut at
the token limit. For irrelevance a reply without a readable call is correct, as in the reference,
even where a call was tried and went wrong: `why` tells these apart. A request that failed is the
runner's, and never a verdict (the reference counts it as correct irrelevance).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from formosa.chat.message import json_text
from formosa.engines.protocol import ChatReply
from formosa.errors import DataError
from formosa.evals.bfcl.checker import NOT_CALLS, NOT_DECODED, check
from formosa.evals.bfcl.decode import DECODER, decode
from formosa.evals.bfcl.docs import tools
from formosa.evals.bfcl.items import LICENCE, BfclItem, load
from formosa.evals.task import Asked, Sample, ScoreRecord, Task, unread
from formosa.wheels import Say

TASKS: Mapping[str, str] = {
    "bfcl-simple": "simple_python",
    "bfcl-multiple": "multiple",
    "bfcl-parallel": "parallel",
    "bfcl-parallel-multiple": "parallel_multiple",
    "bfcl-irrelevance": "irrelevance",
}
"""Name of the task → category of the data."""


def bfcl_task(name: str, *, data_dir: Path | None = None, say: Say | None = None) -> Task[BfclItem]:
    """A task by its name.

    Args:
        name: one of `TASKS`.
        data_dir: see `formosa.evals.bfcl.items.load`.
        say: told about a download.

    Raises:
        DataError: an unknown name; the data cannot be read.
        ModelError: the wheel cannot be fetched, or its files are not the pinned ones.
    """
    if name not in TASKS:
        raise DataError(f"There is no BFCL task {name}.", f"one of {', '.join(TASKS)}")
    data = load(TASKS[name], data_dir=data_dir, say=say)
    return Task(
        name=name,
        version=1,
        source=data.source,
        revision=data.revision,
        licence=LICENCE,
        language="en",
        samples=[Sample(item.id, item, data.category) for item in data.items],
        ask=ask,
        scorers={"ast": ast_scorer},
    )


def ask(sample: Sample[BfclItem], repeat: int, seed: int) -> Asked:
    """The question and its tools. Nothing is shuffled: repeats differ by the sampling seed only."""
    item = sample.content
    return Asked(item.messages, tools(item.functions), gold=list(item.answers))


def ast_scorer(sample: Sample[BfclItem], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
    """The reference's verdict as one of the outcomes; `why` begins with the error type."""
    item = sample.content
    decoded = decode(reply.message, reply.defects)
    if decoded.calls is None:
        why = f"{NOT_DECODED} — {decoded.reason} ({DECODER})"
        if item.category == "irrelevance":
            return ScoreRecord("correct", None, f"no call, as it should be; {why}")
        return unread(reply, why)
    answer = json_text(decoded.calls)
    # Tool-call mode shows `a_b` for `a.b`, so that is the name that the model has to call.
    verdict = check(item.functions, decoded.calls, item.answers, item.category, dots_replaced=True)
    if verdict.ok:
        return ScoreRecord("correct", answer, "the calls are among the accepted ones")
    why = f"{verdict.kind} — {verdict.detail}"
    if verdict.kind == NOT_CALLS:
        return unread(reply, why)
    if reply.finish == "length":
        # Half a list of parallel calls is no proof that the model could not have written the rest.
        return ScoreRecord("truncated", answer, f"{why}; the reply was cut at the token limit")
    return ScoreRecord("wrong", answer, why)
