"""One answer: in a line of the list, and whole with its question and its repeats.

Pure: from a record to values. All texts are a model's or a data set's, so hostile; the template
escapes them. Nothing of a record is trusted to have its shape but what `check_sample` checks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formosa.results.log import Outcome, Record
from formosa.web.evals.questions import Missing, Option, Question
from formosa.web.evals.reasons import find_quote, quoted, sentence
from formosa.web.words import Lang

SHORT = 160  # characters of a text in a list
LONG = 6000  # characters of a text, from which on only its ends are shown at once
END = 1500  # characters of such a text's end
MOST = 200_000  # characters of a text that a page holds at all


@dataclass(frozen=True)
class Line:
    """An answer in a list."""

    id: str
    repeat: int
    subject: str
    question: str
    outcome: Outcome
    answer: str
    gold: str
    why: str
    href: str


@dataclass(frozen=True)
class Text:
    """A text in pieces, so that huge ones are folded: `begin`, what is folded, `end`.

    Attributes:
        before, marked, after: the beginning, in which a part may be marked.
        folded: the middle of a huge text.
        end: its end.
        left_out: characters that the page does not hold.
    """

    before: str = ""
    marked: str = ""
    after: str = ""
    folded: str = ""
    end: str = ""
    left_out: int = 0

    def __bool__(self) -> bool:
        return bool(self.before or self.marked or self.after or self.end)


@dataclass(frozen=True)
class Call:
    """A tool call: its parameters as JSON texts, or the text that is no JSON object."""

    name: str
    parameters: tuple[tuple[str, str], ...]
    raw: str = ""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a tool, from its schema."""

    name: str
    kind: str
    about: str
    required: bool


@dataclass(frozen=True)
class Described:
    """A tool that the model was offered."""

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    schema: str


@dataclass(frozen=True)
class Verdict:
    """What one scorer says, or several that say the same.

    Attributes:
        calls: what it read, where that are tool calls.
        words: its reason as the log has it; `why` is the same in the page's language.
    """

    scorers: tuple[str, ...]
    outcome: Outcome
    answer: str
    calls: tuple[Call, ...]
    why: str
    words: str


@dataclass(frozen=True)
class Reply:
    """What the model wrote."""

    content: Text
    reasoning: Text
    calls: tuple[Call, ...]
    raw: Text
    error: str
    finish: str
    private: tuple[tuple[str, str], ...]
    defects: tuple[str, ...]


def line(record: Record, question: Question | Missing, scorer: str, lang: Lang, href: str) -> Line:
    """An answer for the list."""
    made = record["scores"][scorer]
    return Line(
        record["id"],
        record["repeat"],
        str(record.get("subject") or ""),
        "" if isinstance(question, str) else short(question.first_line),
        made["outcome"],
        short(_called(read_calls(made.get("answer"))) or _answer(made.get("answer"))),
        short(gold_text(record.get("gold"))),
        short(sentence(str(made.get("why") or record.get("error") or ""), lang)),
        href,
    )


@dataclass(frozen=True)
class Shown:
    """An answer whole.

    Attributes:
        question: None where it can't be shown, and then `missing` says why.
        gold: the right answer, where it is no calls; `gold_calls` where it is.
        facts: (name, value) of how the reply came about; names are words of the pages.
    """

    id: str
    repeat: int
    subject: str
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    reply: Reply
    question: Question | None
    missing: Missing | None
    messages: tuple[tuple[str, Text], ...]
    tools: tuple[Described, ...]
    gold: str
    gold_calls: tuple[Call, ...]
    facts: tuple[tuple[str, str], ...]


def shown(record: Record, question: Question | Missing, scorer: str, lang: Lang) -> Shown:
    """An answer with its question.

    Args:
        record: whose scores were checked.
        question: as it was asked, or why it can't be shown.
        scorer: whose outcome stands for the answer.
        lang: of the reasons.
    """
    asked = None if isinstance(question, str) else question
    said = _mapping(record.get("reply"))
    usage = _list(said.get("usage"))
    seconds = record.get("seconds")
    facts = [
        ("seconds", f"{seconds:.2f}" if isinstance(seconds, int | float) else ""),
        ("tokens of the prompt", str(usage[0]) if usage else ""),
        ("tokens of the reply", str(usage[1]) if len(usage) > 1 else ""),
        ("ended by", _text(said.get("finish"))),
    ]
    gold = record.get("gold")
    return Shown(
        record["id"],
        record["repeat"],
        str(record.get("subject") or ""),
        record["scores"][scorer]["outcome"],
        tuple(verdicts(record, lang)),
        reply(record, scorer),
        asked,
        question if isinstance(question, str) else None,
        tuple((m.role, folded(m.content)) for m in asked.messages) if asked else (),
        tuple(described(asked.tools)) if asked else (),
        "" if gold_calls(gold) else gold_text(gold),
        gold_calls(gold),
        tuple((name, value) for name, value in facts if value),
    )


def short(text: str) -> str:
    """The beginning of a text, on one line."""
    text = " ".join(text[: 4 * SHORT].split())
    return text if len(text) <= SHORT else text[:SHORT] + "…"


def verdicts(record: Record, lang: Lang) -> list[Verdict]:
    """What all scorers say; those that say the same stand together."""
    made: dict[tuple[Any, ...], Verdict] = {}
    for name, score in record["scores"].items():
        words = str(score.get("why") or record.get("error") or "")
        calls = read_calls(score.get("answer"))
        answer = "" if calls else _answer(score.get("answer"))
        key = (score["outcome"], answer, calls, words)
        scorers = (*(made[key].scorers if key in made else ()), str(name))
        why = sentence(words, lang)
        made[key] = Verdict(scorers, score["outcome"], answer, calls, why, words)
    return list(made.values())


def reply(record: Record, scorer: str) -> Reply:
    """What the model wrote; the place that the scorer read is marked in its content."""
    said = _mapping(record.get("reply"))
    message = _mapping(said.get("message"))
    content = _text(message.get("content"))
    why = str(record["scores"][scorer].get("why") or "")
    raw = _text(said.get("text"))
    return Reply(
        folded(content, quoted(why)),
        folded(_text(message.get("reasoning_content"))),
        tuple(_call(call) for call in _list(message.get("tool_calls"))),
        folded(raw) if raw != content else Text(),
        _text(record.get("error")),
        _text(said.get("finish")),
        tuple((str(k), _text(v) or json_text(v)) for k, v in _mapping(said.get("private")).items()),
        tuple(json_text(defect) for defect in _list(said.get("defects"))),
    )


def folded(text: str, mark: str = "") -> Text:
    """A text in pieces.

    Args:
        text: of any length.
        mark: words in it to be marked, if they stand in what is shown at once.
    """
    left_out = max(0, len(text) - MOST)
    if left_out:  # the end is what a scorer reads
        text = text[: MOST - LONG] + text[-LONG:]
    begin, middle, end = text, "", ""
    if len(text) > LONG:
        begin, middle, end = text[: LONG - END], text[LONG - END : -END], text[-END:]
    place = find_quote(begin, mark) if mark else None
    if place is None:
        return Text(begin, "", "", middle, end, left_out)
    return Text(
        begin[: place.start],
        begin[place.start : place.end],
        begin[place.end :],
        middle,
        end,
        left_out,
    )


def read_calls(answer: Any) -> tuple[Call, ...]:
    """The calls of an extracted answer, `[{"f": {"a": 1}}, …]`; none where it is something else."""
    if not isinstance(answer, str) or not answer.startswith("[{"):
        return ()
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return ()
    return _calls(value)


def gold_calls(gold: Any) -> tuple[Call, ...]:
    """The accepted calls of a right answer, each parameter with all that is accepted for it."""
    return _calls(gold)


def _calls(value: Any) -> tuple[Call, ...]:
    if not isinstance(value, list) or not value:
        return ()
    made = []
    for one in value:
        if not isinstance(one, dict) or len(one) != 1:
            return ()
        ((name, given),) = one.items()
        if not isinstance(given, dict):
            return ()
        made.append(Call(str(name), tuple((str(k), json_text(v)) for k, v in given.items())))
    return tuple(made)


def gold_text(gold: Any) -> str:
    """A right answer on a line; of calls, the first value that is accepted for each parameter."""
    if gold is None:
        return ""
    if gold_calls(gold):
        first = [
            {name: {k: v[0] for k, v in given.items() if isinstance(v, list) and v}}
            for one in gold
            for name, given in one.items()
        ]
        return _called(_calls(first))
    return gold if isinstance(gold, str) else json_text(gold)


def _called(calls: Sequence[Call]) -> str:
    """`f(a=1) g(b="x")`"""
    return " ".join(
        f"{call.name}({', '.join(f'{name}={value}' for name, value in call.parameters)})"
        for call in calls
    )


def described(tools: Sequence[Any]) -> list[Described]:
    """Tools with their parameters out of their schemas."""
    made = []
    for tool in tools:
        try:
            schema = json.loads(tool.parameters)
        except (ValueError, RecursionError):
            schema = {}
        properties = _mapping(_mapping(schema).get("properties"))
        required = _list(_mapping(schema).get("required"))
        made.append(
            Described(
                tool.name,
                tool.description,
                tuple(
                    Parameter(
                        str(name),
                        _kind(about),
                        _text(_mapping(about).get("description")),
                        name in required,
                    )  # fmt: skip
                    for name, about in properties.items()
                ),
                json.dumps(schema, ensure_ascii=False, indent=2),
            )
        )
    return made


def _kind(schema: Any) -> str:
    """`string`, `array<integer>`, `"a" | "b"`."""
    said = _mapping(schema)
    if choices := _list(said.get("enum")):
        return " | ".join(json_text(choice) for choice in choices[:20])
    kind = said.get("type")
    name = kind if isinstance(kind, str) else json_text(kind) if kind else "–"
    inner = _mapping(said.get("items")).get("type")
    return f"{name}<{inner}>" if isinstance(inner, str) else name


@dataclass(frozen=True)
class Repeat:
    """One repeat beside the others."""

    repeat: int
    outcome: Outcome
    answer: str
    gold: str
    why: str
    href: str
    here: bool
    seconds: str
    options: tuple[Option, ...]


def options_of(repeats: Sequence[Repeat]) -> list[tuple[str, bool, list[str]]]:
    """For each option its text, whether it is right, and its letter in each repeat.

    Empty where the question has no options, or they are not known for every repeat.
    """
    if not repeats or not all(repeat.options for repeat in repeats):
        return []
    return [
        (
            option.text,
            option.right,
            [
                next((o.letter for o in repeat.options if o.place == option.place), "")
                for repeat in repeats
            ],
        )
        for option in sorted(repeats[0].options, key=lambda option: option.place)
    ]


def _call(value: Any) -> Call:
    function = _mapping(_mapping(value).get("function"))
    name, raw = _text(function.get("name")), function.get("arguments")
    try:
        given = json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        return Call(name, (), raw if isinstance(raw, str) else json_text(raw))
    return Call(name, tuple((str(k), json_text(v)) for k, v in given.items()))


def json_text(value: Any) -> str:
    """A JSON value on one line."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def _answer(answer: Any) -> str:
    return "" if answer is None else answer if isinstance(answer, str) else json_text(answer)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
