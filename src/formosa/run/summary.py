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
    rows = []
    for path in sorted(logs.glob("trained-*.jsonl")):
        trained = read_log(path)
        base = read_log(path.with_name(path.name.replace("trained-", "base-", 1)))
        for scorer in trained.start["scorers"]:
            difference = paired_difference(base, trained, scorer)
            rows.append(
                {
                    "task": trained.start["task"]["name"],
                    "read by": scorer,
                    "questions": difference.questions,
                    "base": _percent(base, scorer),
                    "trained": _percent(trained, scorer),
                    "difference": f"{100 * difference.value:+.1f} "
                    f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]",
                    "base outcomes": _counts(base, scorer),
                    "trained outcomes": _counts(trained, scorer),
                }
            )
    return rows


def _percent(log: EvalLog, scorer: str) -> str:
    value = score(log, scorer)
    return f"{100 * value.value:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def _counts(log: EvalLog, scorer: str) -> str:
    """Correct, wrong, unparsed, truncated and failed answers, as `3✓ 10✗ 2? 0… 0!`."""
    return " ".join(
        f"{count}{mark}" for count, mark in zip(outcomes(log, scorer), "✓✗?…!", strict=True)
    )
