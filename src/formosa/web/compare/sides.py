"""Logs of one task beside each other: scores, paired differences, and what speaks against them.

One log is the reference, every other is compared with it on the questions that both hold. Three
answers are possible: a difference outside the noise, one inside it, or a refusal with its reason.
Other settings are no refusal, since comparing settings is a fair question; they are said.

With three or more logs, or many subjects, each p-value is Holm's, so that the chance of calling
any difference real where none is stays below 5 %. Intervals are those of each difference alone.

Knows logs and figures. Knows no HTML and no language: sentences are keys with values (`Said`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from formosa.results.effort import Effort, Purity, effort, purity
from formosa.results.log import EvalLog
from formosa.results.metrics import (
    CONFIDENCE,
    Difference,
    Outcomes,
    Score,
    difference,
    outcomes,
    question_differences,
    question_shares,
    score,
)
from formosa.results.several import holm

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST = len(LETTERS)  # logs on a page
UNREAD = 0.2  # share of replies, above which it is said that they could not be read

Verdict = Literal["better", "worse", "noise"]


class Said(NamedTuple):
    """A sentence of the page's words, with what stands in its placeholders."""

    text: str
    values: Mapping[str, object] = {}


class Side(NamedTuple):
    """One of the logs that are compared.

    Attributes:
        letter: short for it, in the order of the logs.
        name: of the model; made distinct where several logs have the same.
        shares: scorer → question → share of its answers that are correct.
    """

    letter: str
    name: str
    log: EvalLog
    shares: Mapping[str, Mapping[str, Fraction]]

    @property
    def label(self) -> str:
        return f"{self.letter} · {self.name}"


class Row(NamedTuple):
    """A side's own figures by one scorer."""

    side: Side
    score: Score
    outcomes: Outcomes


class Paired(NamedTuple):
    """`other` minus the reference.

    Attributes:
        what: a subject or a task where several are compared; "" for all questions.
        p: Holm's, of `family` differences; equal to `difference.p` where the family is one.
    """

    what: str
    difference: Difference
    p: float
    family: int

    @property
    def verdict(self) -> Verdict:
        made = self.difference
        if self.p >= 1 - CONFIDENCE or made.low <= 0 <= made.high:
            return "noise"
        return "better" if made.value > 0 else "worse"


class Against(NamedTuple):
    """One side against the reference: by scorer, or why not."""

    side: Side
    paired: Mapping[str, Paired]
    refusal: Said | None
    cautions: Sequence[Said]


class Cost(NamedTuple):
    """What the answers of a side cost, and in which Chinese they are."""

    side: Side
    effort: Effort
    purity: Purity

    @property
    def tokens_each(self) -> float | None:
        """Tokens of a reply, on average."""
        made = self.effort
        if made.completion_tokens is None or not made.answers:
            return None
        return made.completion_tokens / made.answers


class Comparison(NamedTuple):
    """All that can be said of the logs."""

    sides: Sequence[Side]
    reference: Side
    scorers: Sequence[str]
    rows: Mapping[str, Sequence[Row]]
    others: Sequence[Against]
    costs: Sequence[Cost]

    def side(self, letter: str) -> Side | None:
        return next((side for side in self.sides if side.letter == letter), None)


def compare(logs: Sequence[EvalLog], reference: str = "A") -> Comparison:
    """The comparison of these logs.

    Args:
        logs: one at least, in the order of their letters; no more than `MOST` are looked at.
        reference: the letter of the one that others are compared with; the first by default.
    """
    sides = sides_of(logs)
    first = next((side for side in sides if side.letter == reference), sides[0])
    scorers = list(dict.fromkeys(name for side in sides for name in side.log.scorers))
    rows = {
        name: [
            Row(side, score(side.log, name), outcomes(side.log, name))
            for side in sides
            if side.shares.get(name)
        ]
        for name in scorers
    }
    others = [against(first, side) for side in sides if side is not first]
    costs = [Cost(side, effort(side.log), purity(side.log)) for side in sides]
    return Comparison(sides, first, scorers, rows, _corrected(others), costs)


def sides_of(logs: Sequence[EvalLog]) -> list[Side]:
    """The logs with their letters and distinct names."""
    logs = logs[:MOST]
    named = [model_name(log) for log in logs]
    sides = []
    for letter, log, name in zip(LETTERS, logs, named, strict=False):
        if named.count(name) > 1:  # the same model twice, or another one of that name
            name = f"{name} ({_place(log)})"
        shares = {scorer: question_shares(log, scorer) for scorer in log.scorers}
        sides.append(Side(letter, name, log, shares))
    return sides


def model_name(log: EvalLog) -> str:
    return str(log.start["model"].get("name") or "?")


def _place(log: EvalLog) -> str:
    folder = log.path.parent
    folder = folder.parent if folder.name == "logs" else folder
    return "/".join(part for part in (folder.name, log.path.stem) if part)


def against(first: Side, side: Side, what: str = "") -> Against:
    """Every scorer's paired difference, or why there is none; `what` is their name in a table."""
    refusal = refused(first, side)
    if refusal:
        return Against(side, {}, refusal, ())
    paired = {}
    for name, shares in first.shares.items():
        exact = list(question_differences(shares, side.shares.get(name, {})).values())
        if exact:
            made = difference(exact)
            paired[name] = Paired(what, made, made.p, 1)
    return Against(side, paired, None, cautions(first, side))


def _corrected(others: Sequence[Against]) -> list[Against]:
    """Holm's p over all sides, for each scorer by itself."""
    made = [dict(one.paired) for one in others]
    for name in {name for paired in made for name in paired}:
        there = [paired for paired in made if name in paired]
        for paired, fixed in zip(there, with_holm([paired[name] for paired in there]), strict=True):
            paired[name] = fixed
    return [one._replace(paired=paired) for one, paired in zip(others, made, strict=True)]


def with_holm(found: Sequence[Paired]) -> list[Paired]:
    """The same differences with p-values that allow for their number."""
    adjusted = holm([one.difference.p for one in found])
    return [one._replace(p=p, family=len(found)) for one, p in zip(found, adjusted, strict=True)]


def refused(a: Side, b: Side) -> Said | None:
    """Why two logs can't be compared; None where they can. As `paired_difference` decides."""
    task_a, task_b = a.log.start["task"], b.log.start["task"]
    for key, text in _SAME:
        if task_a.get(key) != task_b.get(key):
            return Said(text, {"a": _short(task_a.get(key)), "b": _short(task_b.get(key))})
    if not a.log.samples or not b.log.samples:
        return Said("One of the two logs holds no answers yet.")
    if not set(a.shares) & set(b.shares):
        return Said(
            "They have no scorer in common: {a} against {b}.",
            {"a": ", ".join(a.shares), "b": ", ".join(b.shares)},
        )
    if not _ids(a) & _ids(b):
        return Said("They hold no question in common.")
    return None


_SAME = (
    ("name", "They are of different tasks: {a} and {b}."),
    ("version", "The task's version is {a} in one and {b} in the other: what is asked, or how it "
     "is scored, changed in between."),
    ("revision", "The questions are from different revisions of the data: {a} and {b}."),
)  # fmt: skip


def cautions(a: Side, b: Side) -> list[Said]:
    """What a reader should know before believing a difference."""
    found: list[Said] = []
    if settings := _differing(a.log, b.log):
        found.append(
            Said(
                "Asked with other settings ({settings}): the difference is of model and settings "
                "together.",
                {"settings": "; ".join(settings)},
            )
        )
    elif reworded := _reworded(a.log, b.log):
        found.append(
            Said("{n} answers are to another wording of the same question.", {"n": reworded})
        )
    ids_a, ids_b = _ids(a), _ids(b)
    if ids_a != ids_b:
        found.append(
            Said(
                "Only the {n} questions that both hold are compared; {a} and {b} hold {more_a} and "
                "{more_b} more.",
                {
                    "n": len(ids_a & ids_b), "a": a.letter, "b": b.letter,
                    "more_a": len(ids_a - ids_b), "more_b": len(ids_b - ids_a),
                },
            )
        )  # fmt: skip
    hashes = [side.log.start["model"].get("sha256") for side in (a, b)]
    if hashes[0] and hashes[0] == hashes[1]:
        found.append(Said("Both logs are of the same model file."))
    return found


def states(side: Side) -> list[Said]:
    """What is to be known of one log: interrupted, failed answers, unread replies, a part only."""
    log, found = side.log, []
    answers = len(log.samples)
    if not log.finished:
        found.append(Said("Interrupted: {n} of {of} answers.", {"n": answers, "of": log.planned}))
    plan = log.start["plan"]
    if (asked := plan.get("samples")) and (of := plan.get("original")) and asked < of:
        found.append(Said("A part of the task: {n} of {of} questions.", {"n": asked, "of": of}))
    if log.failures:
        found.append(Said("{n} requests failed and count as not correct.", {"n": log.failures}))
    for name in log.scorers:
        unread = outcomes(log, name).unparsed
        if answers and unread > UNREAD * answers:
            found.append(
                Said(
                    "{scorer} could not read {share} % of the replies.",
                    {"scorer": name, "share": f"{100 * unread / answers:.0f}"},
                )
            )
    return found


def _ids(side: Side) -> set[str]:
    return {id for shares in side.shares.values() for id in shares}


def _differing(a: EvalLog, b: EvalLog) -> list[str]:
    """`max_tokens: 64 / 128` for each setting that differs."""
    found = []
    for part, keys in (
        ("request", sorted({*a.start["request"], *b.start["request"]})),
        ("plan", ["seed", "repeats"]),
        ("task", ["decoder"]),
    ):
        for key in keys:
            one, other = (log.start[part].get(key) for log in (a, b))
            if one != other:
                found.append(f"{key}: {_short(one)} / {_short(other)}")
    return found


def _reworded(a: EvalLog, b: EvalLog) -> int:
    """Answers of both whose requests differ though the settings don't."""
    asked = {short.key: short.request for short in a.briefs}
    return sum(
        bool(short.request and (other := asked.get(short.key)) and other != short.request)
        for short in b.briefs
    )


def _short(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:28]}…"
