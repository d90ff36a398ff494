"""A log's facts and figures as a page shows them. Pure: from an index to values.

The scores are those of `formosa.results`, the texts are as the log has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from formosa.evals.registry import known_bad
from formosa.results.effort import Effort, Purity
from formosa.results.index import LogIndex
from formosa.results.log import OUTCOMES, Outcome
from formosa.results.metrics import Outcomes, Score
from formosa.results.report import percent
from formosa.web.charts import Part, interval, stacked

Spoken = Callable[..., str]

NAMES: Mapping[Outcome, str] = {
    "correct": "correct",
    "wrong": "wrong",
    "unparsed": "not readable",
    "truncated": "cut off",
    "failed": "no reply",
}
"""What the pages call the five outcomes; keys of the words."""

SETTINGS = ("temperature", "top_p", "top_k", "min_p", "seed", "max_tokens", "stop",
            "presence_penalty", "frequency_penalty", "repetition_penalty")  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """One scorer's figures."""

    scorer: str
    score: Score | None
    counts: Outcomes
    bar: Markup
    parts: Markup

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Subject:
    """One subject's score."""

    name: str
    score: Score
    bar: Markup


@dataclass(frozen=True)
class Figures:
    """What stands above the list of answers.

    Attributes:
        without: the scores without questions that nobody can get right; empty where there are
            none.
        left_out: how many questions those are.
        disagrees: scorers for which the log's last record says something else than its answers.
    """

    scored: tuple[Scored, ...]
    effort: Effort
    purity: Purity
    without: tuple[Scored, ...]
    left_out: int
    disagrees: tuple[str, ...]


def figures(index: LogIndex, say: Spoken) -> Figures:
    """All of them, for every scorer.

    Args:
        index: of the log.
        say: the page's words.
    """
    bad = known_bad(str(index.start["task"].get("name"))) & set(index.ids)
    return Figures(
        tuple(_scored(index, name, say) for name in index.scorers),
        index.effort(),
        index.purity(),
        tuple(_scored(index, name, say, bad) for name in index.scorers) if bad else (),
        len(bad),
        tuple(name for name in index.scorers if _disagrees(index, name)),
    )


def _scored(
    index: LogIndex, name: str, say: Spoken, without: frozenset[str] | set[str] = frozenset()
) -> Scored:
    counts = index.outcomes(name, without=without)
    return scored(name, index.score(name, without=without), counts, say)


def scored(name: str, score: Score | None, counts: Outcomes, say: Spoken) -> Scored:
    """A scorer's figures with their bars."""
    parts = [
        Part(count, outcome, say(NAMES[outcome]))
        for outcome, count in zip(OUTCOMES, counts, strict=True)
    ]
    says = ", ".join(f"{part.label} {part.number:,}" for part in parts if part.number)
    return Scored(name, score, counts, score_bar(score, say), stacked(parts, says))


def score_bar(score: Score | None, say: Spoken) -> Markup:
    """A bar with its interval; nothing where there is no score yet."""
    if score is None:
        return Markup()
    value, low, high = (percent(part) for part in score[:3])
    says = say("{value} %, 95 % interval {low} to {high}", value=value, low=low, high=high)
    return interval(score.value, score.low, score.high, says)


SubjectOrder = Literal["name", "worst", "best", "most"]
SUBJECT_ORDERS: tuple[SubjectOrder, ...] = ("name", "worst", "best", "most")


def subjects(index: LogIndex, scorer: str, order: str, say: Spoken) -> list[Subject]:
    """A score for every subject.

    Args:
        index: of the log.
        scorer: whose.
        order: one of `SUBJECT_ORDERS`; by name where it is none.
        say: the page's words.
    """
    found = [
        Subject(name, score, score_bar(score, say))
        for name, score in index.by_subject(scorer).items()
    ]
    if order == "worst":
        found.sort(key=lambda subject: subject.score.value)
    elif order == "best":
        found.sort(key=lambda subject: -subject.score.value)
    elif order == "most":
        found.sort(key=lambda subject: -subject.score.questions)
    return found


def _disagrees(index: LogIndex, scorer: str) -> bool:
    """Whether the log's last record has another score for its answers."""
    said = (index.end or {}).get("scores")
    told = said.get(scorer) if isinstance(said, dict) else None
    value = told.get("value") if isinstance(told, dict) else None
    score = index.score(scorer)
    return isinstance(value, int | float) and score is not None and abs(value - score.value) > 1e-9


def facts(index: LogIndex, sha256: str | None, say: Spoken) -> list[tuple[str, str]]:
    """What the log says of its making: (name in the page's language, value), nothing empty."""
    start = index.start
    task, model, plan = start["task"], start["model"], start["plan"]
    details = _mapping(model.get("details"))
    code = _mapping(start.get("code"))
    shard = _mapping(plan.get("shard"))
    rows = [
        ("task", f"{task.get('name')} · {say('version')} {task.get('version')}"),
        ("data", _joined(task.get("source"), task.get("revision"), task.get("licence"))),
        ("replies read by", task.get("decoder")),
        ("model", model.get("name")),
        ("file", model.get("path")),
        ("sha256 of the model", model.get("sha256")),
        ("chat template", model.get("template_sha256")),
        ("engine", _joined(details.get("engine"), details.get("version"))),
        (
            "model details",
            ", ".join(
                f"{name} {value}"
                for name, value in details.items()
                if name not in ("engine", "version") and isinstance(value, str | int | float)
            ),
        ),
        ("sampling", sampling(start["request"])),
        (
            "plan",
            say(
                "{samples} of {original} questions × {repeats}, seed {seed}",
                samples=plan.get("samples"),
                original=plan.get("original"),
                repeats=plan.get("repeats"),
                seed=plan.get("seed"),
            ),
        ),
        ("part", f"{shard.get('number')} / {shard.get('of')}" if shard else None),
        ("begun", start.get("started")),
        ("ended", (index.end or {}).get("finished")),
        ("made by", _joined("Formosa " + str(code.get("version") or "?"), code.get("git"))),
        ("sha256 of the log", sha256),
    ]
    return [(say(name), str(value)) for name, value in rows if value not in (None, "")]


def sampling(request: Mapping[str, Any]) -> str:
    """The settings that are not the engine's own, `temperature 0.0, max_tokens 64`."""
    return ", ".join(
        f"{name} {request[name]}"
        for name in SETTINGS
        if request.get(name) not in (None, [], {}, "")
    )


def _joined(*parts: Any) -> str:
    return " · ".join(str(part) for part in parts if part not in (None, ""))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def counted(counts: Outcomes) -> Sequence[tuple[Outcome, int]]:
    """The five outcomes by name."""
    return list(zip(OUTCOMES, counts, strict=True))
