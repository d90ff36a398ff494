"""What the template of a comparison shows: figures and addresses of one task's logs.

What is compared and how is `sides.py`'s and `pair.py`'s. Pure functions, but that
the answers which are shown are read from their files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formosa.evals.registry import known_bad
from formosa.results.log import OUTCOMES, EvalLog
from formosa.web.compare.charts import MOST_BARS, Bar, Dot, bars, scatter
from formosa.web.compare.figures import interval, number, p_text, percent, points, signed
from formosa.web.compare.pair import (
    Both,
    Point,
    became,
    both,
    by_subject,
    changed,
    question_points,
    subject_points,
)
from formosa.web.compare.query import Query
from formosa.web.compare.sides import Against, Comparison, Paired, Said, Side, compare, states
from formosa.web.page import address
from formosa.web.site import Site
from formosa.web.words import Words

PAGE = 50  # changed answers on a page
IN_FILE = 200  # changed answers in an exported file

Values = dict[str, Any]


def asked(logs: Sequence[EvalLog], query: Query) -> tuple[Comparison, Query, int]:
    """The comparison that a query asks for, the query with what it left open, and how many
    questions there are that nobody can get right."""
    bad = {
        id
        for log in logs
        for id in {short.id for short in log.briefs} & known_bad(str(log.start["task"].get("name")))
    }
    if query.bad and bad:
        logs = [log.without(bad) for log in logs]
    made = compare(logs, query.ref)
    able = [one for one in made.others if one.paired]
    other = next((one for one in able if one.side.letter == query.other), None)
    other = other or (able[0] if able else None)
    scorers = list(other.paired) if other else list(made.scorers)
    scorer = query.scorer if query.scorer in scorers else (scorers or [""])[0]
    fixed = query._replace(
        ref=made.reference.letter, other=other.side.letter if other else "", scorer=scorer
    )
    return made, fixed, len(bad)


def values_of(site: Site, words: Words, logs: Sequence[EvalLog], query: Query) -> Values:
    """What the template shows."""
    made, query, bad = asked(logs, query)
    paths = [str(side.log.path) for side in made.sides]
    task = str(made.reference.log.start["task"].get("name"))
    other = next((one for one in made.others if one.side.letter == query.other), None)
    paired = other.paired.get(query.scorer) if other else None
    return {
        "task": task,
        "slug": "comparison",
        "outcomes": OUTCOMES,
        "query": query,
        "logs": [_log_row(site, made, i) for i in range(len(made.sides))],
        "purity": any(cost.purity.han for cost in made.costs),
        "reference": made.reference.label,
        "refusals": [
            {"other": one.side.label, "reference": made.reference.label, "why": one.refusal}
            for one in made.others
            if one.refusal
        ],
        "cautions": [
            {"other": one.side.label, "why": why} for one in made.others for why in one.cautions
        ],
        "choices": [(side.letter, side.name) for side in made.sides],
        "scorers": list(other.paired) if other else [],
        "known_bad": bad,
        "kept": [("log", path) for path in paths],
        "kept_with_pair": [
            *(("log", path) for path in paths),
            *(
                (name, value)
                for name, value in query.pairs(was="", now="", subject=None, first=0).items()
                if value
            ),
        ],
        "csv_differences": address("/compare.csv", log=paths, what="differences", **query.pairs()),
        "csv_changed": address("/compare.csv", log=paths, what="changed", **query.pairs()),
        "parts": [
            _part(words, made, scorer, i) for i, scorer in enumerate(made.scorers)
            if made.rows[scorer]
        ],
        "pair": _pair(site, words, made, other.side, query) if other and paired else None,
    }  # fmt: skip


def look_of(side: Side) -> str:
    return f"c{(ord(side.letter) - ord('A')) % 6}"


def _log_row(site: Site, made: Comparison, place: int) -> Values:
    side, cost = made.sides[place], made.costs[place]
    plan = side.log.start["plan"]
    questions = len({short.id for short in side.log.briefs})
    return {
        "letter": side.letter,
        "name": side.name,
        "reference": side is made.reference,
        "states": states(side),
        "log": "/".join(side.log.path.parts[-3:]) if site.served else side.log.path.name,
        "href": address("/evals/log", path=side.log.path) if site.served else "",
        "asked": f"{questions} × {plan.get('repeats', 1)}",
        "tokens": number(cost.effort.completion_tokens),
        "tokens_each": number(cost.tokens_each),
        "seconds": number(cost.effort.median_s),
        "simplified": "–" if cost.purity.simplified is None else percent(cost.purity.simplified),
        "mainland": "–" if cost.purity.mainland is None else percent(cost.purity.mainland),
    }


def _part(words: Words, made: Comparison, scorer: str, place: int) -> Values:
    """One scorer: sentences, scores, differences."""
    rows = made.rows[scorer]
    others = [one for one in made.others if scorer in one.paired]
    return {
        "scorer": scorer,
        "sentences": [sentence(made.reference, one, scorer) for one in others],
        "bars": bars(
            f"scores-{place}",
            words("Scores by {scorer}", scorer=scorer),
            words("Each model's share of correct answers with its interval."),
            [
                Bar.of(
                    row.side.label,
                    row.score,
                    look_of(row.side),
                    f"{percent(row.score.value)} ({interval(row.score)})",
                )
                for row in rows
            ],
            share=True,
        ),
        "scores": [
            {
                "letter": row.side.letter,
                "name": row.side.name,
                "look": look_of(row.side),
                "score": f"{percent(row.score.value)} ({interval(row.score)})",
                "outcomes": list(row.outcomes),
            }
            for row in rows
        ],
        "differences": [
            {
                "letter": one.side.letter,
                "name": one.side.name,
                "look": look_of(one.side),
                **difference_row(one.paired[scorer]),
            }
            for one in others
        ],
        "family": others[0].paired[scorer].family if others else 0,
    }  # fmt: skip


def difference_row(paired: Paired) -> Values:
    made = paired.difference
    return {
        "points": points(made),
        "better": made.better,
        "worse": made.worse,
        "questions": made.questions,
        "p": p_text(paired.p),
        "verdict": paired.verdict,
    }


def sentence(reference: Side, one: Against, scorer: str) -> Said:
    """The difference in words."""
    paired = one.paired[scorer]
    made = paired.difference
    text = {
        "better": "{other} is {points} points better than {reference} (95 %: {low} to {high}; "
        "p {p}): more than chance explains.",
        "worse": "{other} is {points} points worse than {reference} (95 %: {low} to {high}; "
        "p {p}): more than chance explains.",
        "noise": "{other} minus {reference} is {points} points (95 %: {low} to {high}; p {p}): "
        "inside the noise. These {n} questions can't tell the two apart.",
    }[paired.verdict]
    shown = p_text(paired.p)
    return Said(
        text,
        {
            "other": one.side.label,
            "reference": reference.label,
            "points": signed(made.value) if paired.verdict == "noise" else percent(abs(made.value)),
            "low": signed(made.low),
            "high": signed(made.high),
            "p": shown if shown.startswith("<") else f"= {shown}",
            "n": made.questions,
        },
    )


def _pair(site: Site, words: Words, made: Comparison, other: Side, query: Query) -> Values:
    """One side against the reference in detail."""
    a, scorer = made.reference, query.scorer
    every = changed(a, other, scorer)
    found = every
    if query.was or query.now or query.subject is not None:
        found = changed(a, other, scorer, was=query.was, now=query.now, subject=query.subject)
    size = PAGE if site.served else IN_FILE
    first = query.first if query.first < len(found) else 0
    rows = found[first : first + size]
    paths = [str(side.log.path) for side in made.sides]

    def to(first: int) -> str:
        return address("/compare", log=paths, **query.pairs(first=first)) + "#changed"

    return {
        "reference": a.label,
        "other": other.label,
        "labels": (a.label, other.label),
        "reference_letter": a.letter,
        "other_letter": other.letter,
        "reference_look": look_of(a),
        "other_look": look_of(other),
        **_subjects(site, words, made, other, query),
        "became": _became(site, made, other, query),
        "subject_names": sorted({one.subject for one in every}),
        "matching": len(found),
        "all_changed": len(every),
        "first": first + 1,
        "last": first + len(rows),
        "changed": [_changed_row(site, a, other, one) for one in both(a, other, scorer, rows)],
        "left_out": 0 if site.served else len(found) - len(rows),
        "previous": to(max(0, first - size)) if site.served and first else "",
        "next": to(first + size) if site.served and first + size < len(found) else "",
    }


def _subjects(site: Site, words: Words, made: Comparison, other: Side, query: Query) -> Values:
    a, scorer = made.reference, query.scorer
    subjects = by_subject(a, other, scorer)
    places = {point.what: point for point in subject_points(a, other, scorer)}
    drawn = sorted(subjects, key=lambda one: -abs(one.difference.value))[:MOST_BARS]
    paths = [str(side.log.path) for side in made.sides]
    labels = (a.label, other.label)
    by_question = question_points(a, other, scorer)
    return {
        "subjects": [
            {
                "subject": one.what or "–",
                "href": address(
                    "/compare", log=paths, **query.pairs(subject=one.what, was="", now="", first=0)
                ) + "#changed" if site.served else "",
                "a": percent(places[one.what].a),
                "b": percent(places[one.what].b),
                **difference_row(one),
            }
            for one in subjects
        ],
        "drawn": len(drawn),
        "subjects_left": len(subjects) - len(drawn),
        "subject_bars": bars(
            "subjects",
            words("Difference by subject"),
            words(
                "Difference by subject, points with the 95 % interval: right of zero, {other} is "
                "better",
                other=other.label,
            ),
            [
                Bar.of(
                    one.what or "–",
                    one.difference,
                    one.verdict,
                    f"{MARKS[one.verdict]} {points(one.difference)}",
                )
                for one in drawn
            ],
        ) if drawn else None,
        "scatter": _scatter(
            words, "scatter-subjects", "Scatter by subject", list(places.values()), labels
        ) if len(places) > 1 else None,
        "question_scatter": _scatter(
            words, "scatter-questions", "Scatter by question", by_question, labels
        ) if by_question else None,
    }  # fmt: skip


MARKS = {"better": "▲", "worse": "▼", "noise": "≈"}


def _scatter(
    words: Words, name: str, title: str, found: Sequence[Point], labels: tuple[str, str]
) -> Any:
    about = (
        words("Share of correct repeats by question, %: larger circles are more questions.")
        if name == "scatter-questions"
        else words(
            "Correct by subject, %: above the line, {other} is better. Larger circles are more "
            "questions.",
            other=labels[1],
        )
    )
    dots = [
        Dot(
            100 * point.a,
            100 * point.b,
            point.questions,
            words(
                "{what}: {a} % and {b} %, {n} questions"
                if point.what
                else "{n} questions: {a} % and {b} %",
                what=point.what, a=percent(point.a), b=percent(point.b), n=point.questions,
            ),
        )
        for point in found
    ]  # fmt: skip
    return scatter(name, words(title), about, dots, f"{labels[0]} %", f"{labels[1]} %")


def _became(site: Site, made: Comparison, other: Side, query: Query) -> list[Values]:
    counts = became(made.reference, other, query.scorer)
    paths = [str(side.log.path) for side in made.sides]
    return [
        {
            "outcome": was,
            "cells": [
                {
                    "outcome": now,
                    "n": n,
                    "same": was == now,
                    "href": address(
                        "/compare", log=paths,
                        **query.pairs(was=was, now=now, subject=None, first=0),
                    ) + "#changed" if site.served and n and was != now else "",
                }
                for now, n in row.items()
            ],
        }
        for was, row in counts.items()
    ]  # fmt: skip


def _changed_row(site: Site, a: Side, b: Side, one: Both) -> Values:
    row = one.changed
    repeats = max(side.log.start["plan"].get("repeats", 1) for side in (a, b))
    return {
        "id": row.id,
        "repeat": row.repeat if repeats > 1 else None,
        "subject": row.subject,
        "was": row.a,
        "now": row.b,
        "gold": one.gold,
        "a": one.a,
        "b": one.b,
        "hrefs": [
            address("/evals/sample", path=side.log.path, id=row.id, repeat=row.repeat)
            if site.served
            else ""
            for side in (a, b)
        ],
    }
