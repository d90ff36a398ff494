"""Two logs question by question: by subject, what became of what, and the answers that changed.

Outcomes are compared answer by answer, a question's repeat with the same repeat in the other log;
differences are compared question by question, as in `metrics.py`. Answers are read from the file
one by one, so that a page of changed answers costs no more in a log of 100,000.

Knows logs and figures. Knows no HTML.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from formosa.results.log import OUTCOMES, Outcome, Record
from formosa.results.metrics import difference, question_differences
from formosa.web.compare.sides import Paired, Side, with_holm

ANSWER = 80  # characters of an answer in a table
REPLY = 1500  # characters of a reply beside another one


class Point(NamedTuple):
    """A place in the scatter: shares of 1 for the reference (a) and the other (b)."""

    what: str
    a: float
    b: float
    questions: int  # that it stands for


class Changed(NamedTuple):
    """An answer whose outcome is another one in the other log, by its place in both."""

    id: str
    repeat: int
    subject: str
    a: Outcome
    b: Outcome
    place_a: int
    place_b: int


class Answer(NamedTuple):
    """One side's answer, cut to what a table takes."""

    outcome: Outcome
    answer: str
    why: str
    reply: str
    cut: int  # characters of the reply that are not shown


class Both(NamedTuple):
    """Both answers to a question."""

    changed: Changed
    gold: str
    a: Answer
    b: Answer


def by_subject(a: Side, b: Side, scorer: str) -> list[Paired]:
    """The difference of every subject, p-values Holm's over all of them; [] where there is one."""
    exact = question_differences(a.shares[scorer], b.shares[scorer])
    groups: dict[str, list[str]] = {}
    for id, subject in subjects_of(a).items():
        if id in exact:
            groups.setdefault(subject, []).append(id)
    if len(groups) < 2:
        return []
    made = []
    for subject in sorted(groups):
        found = difference([exact[id] for id in groups[subject]])
        made.append(Paired(subject, found, found.p, 1))
    return with_holm(made)


def subjects_of(side: Side) -> dict[str, str]:
    """Question → subject."""
    return {short.id: short.subject for short in side.log.briefs}


def subject_points(a: Side, b: Side, scorer: str) -> list[Point]:
    """A point for each subject, over the questions that both hold."""
    groups: dict[str, list[str]] = {}
    for id, subject in subjects_of(a).items():
        if id in a.shares[scorer] and id in b.shares[scorer]:
            groups.setdefault(subject, []).append(id)
    return [
        Point(
            subject,
            float(sum(a.shares[scorer][id] for id in ids) / len(ids)),
            float(sum(b.shares[scorer][id] for id in ids) / len(ids)),
            len(ids),
        )
        for subject, ids in sorted(groups.items())
    ]


def question_points(a: Side, b: Side, scorer: str) -> list[Point]:
    """A point for each pair of shares, with how many questions have it; [] without repeats."""
    shared = a.shares[scorer].keys() & b.shares[scorer].keys()
    counted = Counter((float(a.shares[scorer][id]), float(b.shares[scorer][id])) for id in shared)
    if all(value in (0.0, 1.0) for pair in counted for value in pair):
        return []
    return [Point("", x, y, count) for (x, y), count in sorted(counted.items())]


def became(a: Side, b: Side, scorer: str) -> dict[Outcome, dict[Outcome, int]]:
    """Outcome with a → outcome with b → answers; every outcome is there."""
    counts = {one: dict.fromkeys(OUTCOMES, 0) for one in OUTCOMES}
    for _, was, now, _, _ in _together(a, b, scorer):
        counts[was][now] += 1
    return counts


def changed(
    a: Side, b: Side, scorer: str, *, was: str = "", now: str = "", subject: str | None = None
) -> list[Changed]:
    """The answers whose outcome changed, in the order of the reference's log.

    Args:
        a: the reference.
        b: the other.
        scorer: which outcome; both logs have it.
        was: only those of this outcome in a; `not-correct` stands for four of them.
        now: likewise in b.
        subject: only of this one.
    """
    found = []
    for id, one, other, place_a, place_b in _together(a, b, scorer):
        if one == other or not _is(one, was) or not _is(other, now):
            continue
        about = a.log.briefs[place_a].subject
        if subject is None or about == subject:
            repeat = a.log.briefs[place_a].repeat
            found.append(Changed(id, repeat, about, one, other, place_a, place_b))
    return found


def both(a: Side, b: Side, scorer: str, rows: Sequence[Changed]) -> list[Both]:
    """Both answers of each row, read from the files."""
    made = []
    for row in rows:
        one, other = a.log.samples[row.place_a], b.log.samples[row.place_b]
        gold = json.dumps(other.get("gold"), ensure_ascii=False)
        if isinstance(other.get("gold"), str):
            gold = str(other["gold"])
        made.append(Both(row, _cut(gold)[0], answer(one, scorer), answer(other, scorer)))
    return made


def answer(record: Record, scorer: str) -> Answer:
    """What a sample says, cut."""
    made: Mapping[str, Any] = record["scores"][scorer]
    found = made.get("answer")
    shown, cut = _cut(reply_text(record), REPLY)
    return Answer(
        made["outcome"],
        "" if found is None else _cut(str(found))[0],
        _cut(str(made.get("why") or ""), 200)[0],
        shown,
        cut,
    )


def reply_text(record: Record) -> str:
    """What the model wrote; where the log does not hold it, the message as JSON, or the error."""
    reply = record.get("reply")
    if not isinstance(reply, dict):
        return str(record.get("error") or "")
    if isinstance(reply.get("text"), str) and reply["text"]:
        return str(reply["text"])
    message = reply.get("message")
    if not isinstance(message, dict):
        return ""
    content, calls = message.get("content"), message.get("tool_calls")
    thought = message.get("reasoning_content")
    parts = [str(part) for part in (thought, content) if part]
    if calls:
        parts.append(json.dumps(calls, ensure_ascii=False, indent=1))
    return "\n".join(parts)


def _together(a: Side, b: Side, scorer: str) -> Iterator[tuple[str, Outcome, Outcome, int, int]]:
    """(question, outcome in a, outcome in b, place in a, place in b) of what both answered."""
    place_a, place_b = a.log.scorers.index(scorer), b.log.scorers.index(scorer)
    other = {short.key: i for i, short in enumerate(b.log.briefs)}
    for i, short in enumerate(a.log.briefs):
        j = other.get(short.key)
        if j is not None:
            was, now = short.outcomes[place_a], b.log.briefs[j].outcomes[place_b]
            yield short.id, was, now, i, j


def _is(outcome: Outcome, wanted: str) -> bool:
    return wanted in ("", outcome) or (wanted == "not-correct" and outcome != "correct")


def _cut(text: str, longest: int = ANSWER) -> tuple[str, int]:
    return (text, 0) if len(text) <= longest else (f"{text[:longest]}…", len(text) - longest)
