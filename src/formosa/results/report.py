"""A log's figures as rows for people and programs: one row a scorer, a subject, a changed question.

Knows logs and figures. Knows no terminal: rows are mappings with the same keys, texts are as the
model wrote them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from formosa.errors import LogError
from formosa.results.effort import effort, purity
from formosa.results.log import OUTCOMES, EvalLog, Record, read_log
from formosa.results.metrics import (
    Difference,
    Score,
    by_subject,
    outcomes,
    score,
    subject_mean,
)

Row = dict[str, Any]


def percent(value: float) -> str:
    """A share of 1 in percent, one decimal; the unit is the caller's to print."""
    return f"{100 * value:.1f}"


def points(difference: Difference) -> str:
    """A difference in percentage points with its interval, as `+4.0 (−1.2 … +9.2)`."""
    value, low, high = (
        f"{100 * part:+.1f}".replace("-", "−")
        for part in (difference.value, difference.low, difference.high)
    )
    return f"{value} ({low} … {high})"


def score_row(made: Score) -> Row:
    """Narrow enough to stand beside five outcomes on 80 columns."""
    return {
        "% correct (95 %)": f"{percent(made.value)} ({percent(made.low)}–{percent(made.high)})",
        "asked": f"{made.questions}×{made.repeats}",
    }


def score_rows(log: EvalLog) -> list[Row]:
    """One row a scorer: the score, its interval and all five outcomes."""
    return [
        {"scorer": name, **score_row(score(log, name)), **outcomes(log, name)._asdict()}
        for name in log.scorers
    ]


def subject_rows(log: EvalLog, scorer: str) -> list[Row]:
    """One row a subject."""
    return [{"subject": name, **score_row(part)} for name, part in by_subject(log, scorer).items()]


def effort_row(log: EvalLog) -> Row:
    """Tokens, time, and in which Chinese the replies are."""
    spent, words = effort(log), purity(log)
    return {
        "replies": spent.answers,
        "prompt tokens": spent.prompt_tokens,
        "reply tokens": spent.completion_tokens,
        "median s": None if spent.median_s is None else f"{spent.median_s:.3g}",
        "% Simplified": None if words.simplified is None else f"{100 * words.simplified:.2f}",
        "% mainland": None if words.mainland is None else f"{100 * words.mainland:.2f}",
    }


def figures(log: EvalLog) -> Row:
    """Everything above as one JSON value; shares of 1, not percent."""
    scorers = {}
    for name in log.scorers if log.samples else ():
        scorers[name] = {
            "score": score(log, name)._asdict(),
            "outcomes": outcomes(log, name)._asdict(),
            "subjects": {key: part._asdict() for key, part in by_subject(log, name).items()},
            "subject_mean": subject_mean(log, name),
        }
    return {
        "log": str(log.path),
        "task": log.start["task"],
        "model": log.start["model"],
        "request": log.start["request"],
        "plan": log.start["plan"],
        "finished": log.finished,
        "answers": len(log.samples),
        "planned": log.planned,
        "scorers": scorers,
        "effort": effort(log)._asdict(),
        "purity": purity(log)._asdict(),
    }


def not_correct(log: EvalLog, scorer: str, outcome: str | None = None) -> Iterator[Record]:
    """The samples that did not end as correct, or only those of one outcome.

    Raises:
        LogError: no such outcome.
    """
    if outcome is not None and outcome not in OUTCOMES:
        raise LogError(f"No sample ends as {outcome!r}.", f"one of {', '.join(OUTCOMES)}")
    place = log.scorers.index(scorer)
    for index, short in enumerate(log.briefs):
        found = short.outcomes[place]
        if found == outcome or (outcome is None and found != "correct"):
            yield log.samples[index]


def changed(a: EvalLog, b: EvalLog, scorer: str) -> list[Row]:
    """The samples of both logs whose outcome is another one in `b`."""
    a_place, b_place = a.scorers.index(scorer), b.scorers.index(scorer)
    before = {short.key: i for i, short in enumerate(a.briefs)}
    rows = []
    for i, short in enumerate(b.briefs):
        j = before.get(short.key)
        if j is None or a.briefs[j].outcomes[a_place] == short.outcomes[b_place]:
            continue
        old, new = a.samples[j], b.samples[i]
        was, is_now = old["scores"][scorer], new["scores"][scorer]
        rows.append(
            {
                "id": short.id,
                "repeat": short.repeat,
                "a": was["outcome"],
                "b": is_now["outcome"],
                "a answer": was["answer"],
                "b answer": is_now["answer"],
                "right": new.get("gold"),
            }
        )
    return rows


def log_rows(folder: Path) -> tuple[list[Row], list[LogError]]:
    """One row a log below `folder`, by path; and why a file that begins like one can't be read.

    Other JSON-lines files are passed over.
    """
    rows, problems = [], []
    for path in sorted(folder.rglob("*.jsonl")):
        if not begins_like_a_log(path):
            continue
        try:
            log = read_log(path)
        except LogError as error:
            problems.append(error)
            continue
        main = log.scorers[0]
        rows.append(
            {
                "log": str(path),
                "model": log.start["model"].get("name"),
                "task": log.start["task"].get("name"),
                "scorer": main,
                "% correct": percent(score(log, main).value) if log.samples else None,
                "answers": f"{len(log.samples)}/{log.planned}",
                "failed": log.failures,
                "state": "finished" if log.finished else "interrupted",
            }
        )
    return rows, problems


def begins_like_a_log(path: Path) -> bool:
    """Whether the file's first bytes are an evaluation log's; nothing more is read."""
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b'{"type":"start"')
    except OSError:
        return False
