"""Claimed results against logs of one's own: reproduced, or differing.

`formosa card verify CARD --rerun` and `formosa eval run` leave logs. A result is held against the
newest finished log of the same data set (by its hub id), by the log's first scorer, which the log
names before anything was asked. Another log, another scorer or another prompt may say otherwise:
what was compared is always said, with the model that answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from formosa.card.sheet.values import Result, Sheet, State, clean
from formosa.errors import CardError, UserError
from formosa.files import sha256_file
from formosa.results.log import EvalLog, read_log
from formosa.results.metrics import score

MOST_LOGS = 1_000
_DATA_SETS = "https://huggingface.co/datasets/"
_MISFITS = (UserError, KeyError, TypeError, ValueError, AttributeError, OSError, ArithmeticError)


class _Measured(NamedTuple):
    """One log, as far as a result needs it; values in percent."""

    value: float
    low: float
    high: float
    words: str


def with_logs(sheet: Sheet, folder: Path) -> Sheet:
    """The sheet, its claimed results held against the logs at `folder`.

    Args:
        sheet: of a card, or of a model with one.
        folder: a log, or a folder of logs; files that are no logs are passed over.

    Raises:
        CardError: there is nothing at `folder`.
    """
    if not folder.exists():
        raise CardError(f"{folder} does not exist.", "name the folder with the logs: --logs logs")
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.jsonl"))[:MOST_LOGS]
    measured = _by_data_set(files)
    results = tuple(
        _judged(result, measured[result.dataset]) if result.dataset in measured else result
        for result in sheet.results
    )
    return replace(sheet, results=results)


def _by_data_set(files: Iterable[Path]) -> dict[str, _Measured]:
    """The newest finished log of each data set of the hub."""
    found: dict[str, tuple[str, EvalLog, Path]] = {}
    for file in files:
        try:
            log = read_log(file)
            source = str(log.start["task"]["source"])
            finished = str(log.end["finished"]) if log.end else ""
        except _MISFITS:
            continue
        if not finished or not source.startswith(_DATA_SETS):
            continue
        name = source.removeprefix(_DATA_SETS).strip("/")
        if name not in found or found[name][0] < finished:
            found[name] = finished, log, file
    made: dict[str, _Measured] = {}
    for name, (_, log, file) in found.items():
        try:
            made[name] = _measured(log, file)
        except _MISFITS:
            continue
    return made


def _measured(log: EvalLog, file: Path) -> _Measured:
    scorer = log.scorers[0]
    result = score(log, scorer)
    original = log.start["plan"].get("original") or result.questions
    value, low, high = (100 * share for share in (result.value, result.low, result.high))
    model, task = (str(log.start[key]["name"]) for key in ("model", "task"))
    words = (
        f"{model} got {value:.2f} ({low:.2f} to {high:.2f}; {scorer}, {result.questions} of "
        f"{original} questions × {result.repeats}) in {file.name}, sha256 "
        f"{sha256_file(file)[:12]}; formosa eval run {task}"
    )
    return _Measured(value, low, high, clean(words, 400))


def _judged(result: Result, measured: _Measured) -> Result:
    """Traced results stay: their log is the card's own."""
    value = result.value
    if result.state == "traced" or isinstance(value, bool) or not isinstance(value, int | float):
        return result
    inside = measured.low - 0.005 <= value <= measured.high + 0.005  # two decimals are usual
    state: State = "reproduced" if inside else "differs"
    return replace(result, state=state, because=measured.words)
