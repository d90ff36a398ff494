"""The Berkeley Function Calling Leaderboard as tasks: bfcl-simple, bfcl-live-multiple, ….

Source:  https://github.com/ShishirPatil/gorilla, read from the wheel bfcl-eval 2026.3.23 (v4 data);
         zh-TW: MediaTek Research's fork of v1, see `zhtw.py`
Licence: Apache-2.0
Version: 2 — raise it when the tools shown, the decoders or the rules change

Two modes. *Tool-call mode* (`bfcl-simple`): the question as it is, without a system prompt, and the
function docs as tools, with `_` for `.` in their names. *Prompting mode* (`bfcl-prompt-simple`):
the reference's system prompt with the docs in it; the calls are read from the text. `bfcl-simple`
is the Python part, not the mean over three languages.

The five outcomes. `correct` and `wrong` are the checker's. `unparsed`: there was no call to be
read, which the reference counts as wrong, too; `why` says what stood there and names the decoder.
`truncated`: not correct, and the reply was cut at the token limit. For irrelevance a reply without
a readable call is correct, as in the reference, even where a call was tried and went wrong: `why`
tells these apart. A request that failed is the runner's, and never a verdict (the reference counts
it as correct irrelevance).

Two scorers: `ast`, the rules of the reference, and `ast_lenient`, see `lenient.py`.

An invented item is shown in `items.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from formosa.chat.message import json_text
from formosa.engines.protocol import ChatReply
from formosa.errors import DataError
from formosa.evals.bfcl import decode, items, python_calls, source_calls, zhtw
from formosa.evals.bfcl.checker import NOT_CALLED, NOT_CALLS, NOT_DECODED, check
from formosa.evals.bfcl.decode import Decoded
from formosa.evals.bfcl.docs import shown, tools
from formosa.evals.bfcl.items import LICENCE, BfclItem
from formosa.evals.bfcl.lenient import check_lenient
from formosa.evals.bfcl.literals import language_of
from formosa.evals.bfcl.prompt import prompted
from formosa.evals.task import Asked, Sample, Scorer, ScoreRecord, Task, unread
from formosa.wheels import Say


class _Category(NamedTuple):
    category: str
    line: str


_ENGLISH: Mapping[str, _Category] = {
    "simple": _Category("simple_python", "one function, one call (400 questions)"),
    "multiple": _Category("multiple", "one call, several functions to choose from (200)"),
    "parallel": _Category("parallel", "several calls of one function (200)"),
    "parallel-multiple": _Category("parallel_multiple", "several calls of several functions (200)"),
    "irrelevance": _Category("irrelevance", "no function fits, and none must be called (240)"),
    "java": _Category("simple_java", "one Java method, arguments as source text (100)"),
    "javascript": _Category("simple_javascript", "one JavaScript function, likewise (50)"),
    "live-simple": _Category("live_simple", "questions of users, one function (258)"),
    "live-multiple": _Category("live_multiple", "questions of users, several functions (1,053)"),
    "live-parallel": _Category("live_parallel", "questions of users, several calls (16)"),
    "live-parallel-multiple": _Category(
        "live_parallel_multiple", "questions of users, several calls and functions (24)"
    ),
    "live-irrelevance": _Category("live_irrelevance", "questions of users, none fits (884)"),
    "live-relevance": _Category("live_relevance", "questions of users, some call is due (16)"),
}
_CHINESE: Mapping[str, _Category] = {
    f"zhtw-{name}": _Category(category, f"asked in Traditional Chinese: {line}")
    for name, (category, line) in _ENGLISH.items()
    if category in zhtw.CATEGORIES
}


class BfclName(NamedTuple):
    """What the name of a task says.

    Attributes:
        family: tasks of one family may be aggregated: `bfcl`, `bfcl-zhtw`, `bfcl-prompt`, ….
        category: of the data, as in `live_simple`.
    """

    family: str
    category: str
    chinese: bool
    prompting: bool


def _names() -> Mapping[str, tuple[BfclName, str]]:
    names = {}
    for prompting in (False, True):
        for chinese in (False, True):
            family = "bfcl" + "-prompt" * prompting + "-zhtw" * chinese
            for name, (category, line) in (_CHINESE if chinese else _ENGLISH).items():
                names["bfcl-" + "prompt-" * prompting + name] = (
                    BfclName(family, category, chinese, prompting),
                    ("function calls written as text: " if prompting else "function calling: ")
                    + line,
                )
    return names


_NAMES = _names()

TASKS: dict[str, str] = {name: line for name, (_, line) in _NAMES.items()}
"""Name → one line for people."""


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    revision: str | None = None,
    say: Say | None = None,
) -> Task[BfclItem]:
    """A task by its name.

    Args:
        name: one of `TASKS`.
        data_dir: see `items.load` and `zhtw.load_zhtw`; fetched and cached when left out.
        revision: the data are pinned, so none can be chosen.
        say: told about a download.

    Raises:
        DataError: an unknown name; a revision; the data cannot be read.
        ModelError: the data cannot be fetched, or the files are not the pinned ones.
    """
    what = parsed(name)
    if revision is not None:
        raise DataError(
            f"The data of {name} are pinned: there is no revision to choose.",
            "leave --revision out, or name a folder with other files: --data-dir DIR",
        )
    read = zhtw.load_zhtw if what.chinese else items.load
    data = read(what.category, data_dir=data_dir, say=say)
    return Task(
        name=name,
        version=2,
        source=data.source,
        revision=data.revision,
        licence=LICENCE,
        language="zh-TW" if what.chinese else "en",
        samples=[Sample(item.id, item, data.category) for item in data.items],
        ask=ask_prompting if what.prompting else ask,
        scorers=_scorers(what.prompting),
        decoder=decoder(what.category, prompting=what.prompting),
    )


def parsed(name: str) -> BfclName:
    """What a task's name says.

    Raises:
        DataError: it is no BFCL task.
    """
    if name not in _NAMES:
        raise DataError(f"There is no BFCL task {name}.", f"one of {', '.join(TASKS)}")
    return _NAMES[name][0]


def decoder(category: str, *, prompting: bool) -> str:
    """The name of the decoder that reads replies of this category."""
    if not prompting:
        return decode.DECODER
    return python_calls.DECODER if language_of(category) == "python" else source_calls.DECODER


def ask(sample: Sample[BfclItem], repeat: int, seed: int) -> Asked:
    """The question and its tools. Nothing is shuffled: repeats differ by the sampling seed only."""
    item = sample.content
    shown_tools = tools(item.functions, language_of(item.category))
    return Asked(item.messages, shown_tools, gold=list(item.answers))


def ask_prompting(sample: Sample[BfclItem], repeat: int, seed: int) -> Asked:
    """The question after the system prompt, which holds the function docs."""
    item = sample.content
    docs = shown(item.functions, language_of(item.category))
    return Asked(prompted(item.messages, docs), gold=list(item.answers))


def _scorers(prompting: bool) -> Mapping[str, Scorer[BfclItem]]:
    def scorer(lenient: bool) -> Scorer[BfclItem]:
        def score(
            sample: Sample[BfclItem], repeat: int, seed: int, reply: ChatReply
        ) -> ScoreRecord:
            return _score(sample.content, reply, prompting=prompting, lenient=lenient)

        return score

    return {"ast": scorer(False), "ast_lenient": scorer(True)}


def ast_scorer(sample: Sample[BfclItem], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
    """The reference's verdict on a reply in tool-call mode; `why` begins with the error type."""
    return _score(sample.content, reply, prompting=False, lenient=False)


def _score(item: BfclItem, reply: ChatReply, *, prompting: bool, lenient: bool) -> ScoreRecord:
    named = decoder(item.category, prompting=prompting)
    decoded = _decoded(item, reply, named, lenient=lenient and "relevance" not in item.category)
    if decoded.calls is None:
        why = f"{NOT_DECODED} — {decoded.reason} ({named})"
        if "irrelevance" in item.category:
            return ScoreRecord("correct", None, f"no call, as it should be; {why}")
        return unread(reply, why)
    answer = _written(decoded.calls)
    judge = check_lenient if lenient else check
    # Tool-call mode shows `a_b` for `a.b`, so that is the name that the model has to call.
    verdict = judge(
        item.functions, decoded.calls, item.answers, item.category, dots_replaced=not prompting
    )
    if verdict.ok:
        said = "the calls are among the accepted ones"
        if "relevance" in item.category:
            said = "a call, as it should be" if decoded.calls else "no call, as it should be"
        return ScoreRecord("correct", answer, said)
    why = f"{verdict.kind} — {verdict.detail}"
    if verdict.kind in (NOT_CALLS, NOT_CALLED):
        return unread(reply, why)
    if reply.finish == "length":
        # Half a list of parallel calls is no proof that the model could not have written the rest.
        return ScoreRecord("truncated", answer, f"{why}; the reply was cut at the token limit")
    return ScoreRecord("wrong", answer, why)


def _decoded(item: BfclItem, reply: ChatReply, named: str, *, lenient: bool) -> Decoded:
    if named == decode.DECODER:
        return decode.decode(reply.message, reply.defects)
    if named == source_calls.DECODER:
        return source_calls.decode_source(reply.message.content)
    return python_calls.decode_python(reply.message.content, lenient=lenient)


def _written(calls: object) -> str:
    """The calls for the log: JSON, or Python's spelling of what JSON has no word for."""
    try:
        return json_text(calls)
    except (TypeError, ValueError):
        return repr(calls)
