"""What a run gave, in one value: scores before and after, times, and where the files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from formosa.results.log import EvalLog, read_log
from formosa.results.metrics import outcomes, paired_difference, score
from formosa.run.state import State


def summarise(folder: Path, state: State) -> dict[str, Any]:
    """`scores` (a row for each task and scorer), `seconds` by stage, `files` by what they are."""
    files = {
        "card": folder / "README.md",
        "model": next(iter(sorted(folder.glob("gguf/*.gguf")))),
        "checkpoint": folder / "checkpoint",
        "logs": folder / "logs",
    }
    return {
        "name": folder.name,
        "scores": _scores(folder / "logs"),
        "seconds": state.seconds(),
        "files": {what: str(path) for what, path in files.items()},
    }


def _scores(logs: Path) -> list[dict[str, Any]]:
    """A row for each task and reading; shares of 1, intervals of 95 %."""
    rows = []
    for path in sorted(logs.glob("trained-*.jsonl")):
        trained = read_log(path)
        base = read_log(path.with_name(path.name.replace("trained-", "base-", 1)))
        for scorer in trained.start["scorers"]:
            difference = paired_difference(base, trained, scorer)
            rows.append(
                {
                    "task": trained.start["task"]["name"],
                    "scorer": scorer,
                    "questions": difference.questions,
                    "repeats": trained.start["plan"]["repeats"],
                    "base": _figures(base, scorer),
                    "trained": _figures(trained, scorer),
                    "difference": difference._asdict(),
                }
            )
    return rows


def _figures(log: EvalLog, scorer: str) -> dict[str, Any]:
    found = score(log, scorer)
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "outcomes": outcomes(log, scorer)._asdict(),
    }


def score_table(scores: list[dict[str, Any]]) -> list[dict[str, str | int]]:
    """The scores for people, in percent, narrow enough for a terminal of 80 columns.

    A lenient second reading is left out; `--json`, the logs and `formosa eval view` have it.
    """
    return [
        {
            "task": row["task"],
            "read": row["scorer"],
            "asked": f"{row['questions']}×{row['repeats']}",
            "base": _percent(row["base"]),
            "trained": _percent(row["trained"]),
            "difference": _points(row["difference"]),
        }
        for row in _shown(scores)
    ]


def outcome_table(scores: list[dict[str, Any]]) -> list[dict[str, str | int]]:
    """What became of every answer that was asked for."""
    return [
        {"task": row["task"], "read": row["scorer"], "model": who, **row[who]["outcomes"]}
        for row in _shown(scores)
        for who in ("base", "trained")
    ]


def _shown(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in scores if not row["scorer"].endswith("_lenient")]


def _percent(figures: dict[str, Any]) -> str:
    value, low, high = (100 * figures[key] for key in ("value", "low", "high"))
    return f"{value:.0f} ({low:.0f}–{high:.0f})"


def _points(difference: dict[str, Any]) -> str:
    value, low, high = (100 * difference[key] for key in ("value", "low", "high"))
    return f"{value:+.0f} ({low:+.0f} to {high:+.0f})"
