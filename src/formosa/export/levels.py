"""One checkpoint at several levels: size, speed, and what is lost.

Every file is written, checked and measured against the same checkpoint, and the result is one
table (levels.json) with a plot (levels.svg). Scores of tasks are added by whoever asks them
(`with_scores`): this room knows no benchmarks.

A level that fails its check is an error, and the table is not written: a damaged file has no place
in a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from formosa.errors import ModelError
from formosa.export.about import Value
from formosa.export.config import Quantisation
from formosa.export.gguf import write_gguf
from formosa.export.importance import importance
from formosa.export.parity import check_parity_now
from formosa.export.plot import draw
from formosa.export.reference import TEXT, Reference
from formosa.files import read_json, sha256_text, write_json, write_text
from formosa.wheels import Say

MEGABYTE = 1_000_000
TABLE, PLOT = "levels.json", "levels.svg"


class Row(NamedTuple):
    """One file, measured.

    Attributes:
        level: such as Q4_K_M.
        file: its name.
        bytes: its size.
        sha256: of the file.
        divergence: Kullback-Leibler, nats per token of the fixed text.
        same_first: share of tokens with the same first choice, 0 to 1.
        tokens_per_second: one token at a time, on the machine that measured.
        scores: by task: `value`, `low` and `high` (0 to 1), and `samples`.
    """

    level: str
    file: str
    bytes: int
    sha256: str
    divergence: float
    same_first: float
    tokens_per_second: float
    scores: Mapping[str, Mapping[str, float]]


def file_of(folder: Path, level: Quantisation) -> Path:
    return folder / f"model-{level}.gguf"


def report_of(folder: Path, level: Quantisation) -> Path:
    """Where the checks of a further level are written."""
    return folder / f"parity-{level}.json"


def export_levels(
    checkpoint: Path,
    folder: Path,
    levels: Sequence[Quantisation],
    *,
    name: str,
    metadata: Mapping[str, Value] | None = None,
    calibration: Sequence[str] = (),
    greedy_tokens: int = 24,
    main_report: Path | None = None,
    say: Say = lambda line: None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Row]:
    """Write and check a file for each level; the table and the plot where there are several.

    Args:
        checkpoint: the folder that they are written from.
        folder: where they go: model-LEVEL.gguf, parity-LEVEL.json, levels.json, levels.svg.
        levels: which; the first one is the one that is served.
        name: the model's name inside the files.
        metadata: further header values.
        calibration: texts to note on which columns matter below 8 bits; all alike without any.
        greedy_tokens: for each prompt of the check.
        main_report: where the first level's checks are written instead.
        say: told what goes on.
        progress: called after every tensor.

    Raises:
        UserError: what `write_gguf` and `check_parity` raise.
    """
    reference = Reference(checkpoint)
    noted = importance(reference, calibration, progress=progress) if calibration else None
    if noted:
        say(f"noted which columns matter, on {noted.tokens} tokens")
    rows = []
    for number, level in enumerate(levels):
        path = file_of(folder, level)
        report = main_report if number == 0 and main_report else report_of(folder, level)
        write_gguf(
            checkpoint,
            path,
            level,
            name=name,
            metadata=metadata,
            importance=noted,
            progress=progress,
        )
        checks = check_parity_now(
            checkpoint, path, greedy_tokens=greedy_tokens, report=report, reference=reference
        )
        for check in checks:
            say(f"parity of {check.name} at {level}: {check.detail}")
        rows.append(row_of(read_json(report), reference.measured[path].tokens_per_second))
    if len(rows) > 1:
        write_levels(folder, rows)
    return rows


def row_of(report: Mapping[str, Any], tokens_per_second: float) -> Row:
    """A row from what `check_parity` wrote, and the speed that was measured with it."""
    measured = report["divergence"]
    return Row(
        level=report["quantisation"],
        file=report["file"],
        bytes=report["bytes"],
        sha256=report["sha256"],
        divergence=measured["mean"],
        same_first=measured["same_first"],
        tokens_per_second=tokens_per_second,
        scores={},
    )


def files_of(folder: Path, levels: Sequence[Quantisation], main_report: Path) -> list[Path]:
    """What `export_levels` leaves, the file that is served first."""
    first, *others = levels
    found = [file_of(folder, first), main_report]
    for level in others:
        found += [file_of(folder, level), report_of(folder, level)]
    return [*found, folder / TABLE, folder / PLOT] if others else found


def write_levels(folder: Path, rows: Sequence[Row]) -> None:
    """The table as JSON and as a picture."""
    about = {
        "schema": 1,
        "reference": "the checkpoint in float32",
        "text_sha256": sha256_text(TEXT),
        "levels": [row._asdict() for row in rows],
    }
    write_json(folder / TABLE, about)
    write_text(folder / PLOT, draw(rows))


def read_levels(folder: Path) -> list[Row]:
    """The table of a folder.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    value = read_json(folder / TABLE)
    try:
        return [Row(**row) for row in value["levels"]]
    except (TypeError, KeyError) as error:
        raise ModelError(f"{folder / TABLE} is no table of levels.") from error


def with_scores(rows: Sequence[Row], scores: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """The rows with the scores of tasks, by level and task."""
    return [row._replace(scores={**row.scores, **scores.get(row.level, {})}) for row in rows]


def shown(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The table for people: megabytes, tokens a second, nats, percent."""
    tasks = list(dict.fromkeys(task for row in rows for task in row.scores))
    largest = max((row.bytes for row in rows), default=1)
    return [
        {
            "level": row.level,
            "MB": round(row.bytes / MEGABYTE, 1),
            "size": f"{row.bytes / largest:.0%}",
            "tok/s": round(row.tokens_per_second, 1),
            "nats": f"{row.divergence:.5f}",
            "same first": f"{row.same_first:.1%}",
            **{task: _score(row.scores.get(task)) for task in tasks},
        }
        for row in rows
    ]


def _score(score: Mapping[str, float] | None) -> str | None:
    if score is None:
        return None
    return f"{score['value']:.1%} [{score['low']:.1%}, {score['high']:.1%}]"
