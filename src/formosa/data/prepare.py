"""From sources to training files: read, check, drop what is double, hold some back, report.

    train.jsonl      rows to learn from, in shuffled order
    heldout.jsonl    rows to measure on: no question of theirs is in train.jsonl
    report.json      what came in, what went out, and why the rest did not

The report is written last. Its presence says that the other two are whole.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from formosa.data.config import DataConfig, FileConfig
from formosa.data.rows import LANGUAGES, Row, scan_rows, write_rows
from formosa.data.synth.generate import SOURCE, generate, shares
from formosa.data.validate import BadRowError, characters, validate_row
from formosa.errors import DataError
from formosa.files import sha256_file, write_json

SCHEMA = 1
SHOWN = 5  # bad rows that are told one by one
OWN_LICENCE = "Apache-2.0"  # the generator's texts are part of this package

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class SourceReport:
    """What came in from one source and went out; `dropped` counts by reason."""

    name: str
    licence: str
    rows_in: int = 0
    rows_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, count: int = 1) -> None:
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


@dataclass(frozen=True, slots=True)
class Report:
    """The content of report.json."""

    sources: list[SourceReport]
    kinds: dict[str, int]
    languages: dict[str, int]
    rows: dict[str, int]
    sha256: dict[str, str]
    seed: int

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}


def prepare(
    config: DataConfig,
    folder: Path,
    *,
    root: Path | None = None,
    skip_bad: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write train.jsonl, heldout.jsonl and report.json into `folder`.

    Args:
        config: the `data:` part of a recipe.
        folder: where the three files go; made if missing.
        root: where relative paths of files begin; the current folder if not given.
        skip_bad: drop and count bad rows of files (also on if the config says so).
        say: gets remarks for people.
        progress: gets (rows done, rows in all).

    Raises:
        DataError: a file or a row is bad and bad rows are not skipped, or nothing is left.
    """
    remark: Say = say or (lambda text: None)
    skip = skip_bad or config.skip_bad
    files = [_read_file(item, config, root or Path(), skip, remark) for item in config.files]
    file_rows = [row for rows, _ in files for row in rows]
    from_synth, from_files = _heldout_shares(config, len(file_rows))
    synth = SourceReport(SOURCE, OWN_LICENCE)
    train, heldout = _synth(config, from_synth, synth, progress)
    sources = {item.source: report for item, (_, report) in zip(config.files, files, strict=True)}
    _add_files(file_rows, from_files, train, heldout, sources, config.seed)
    if not train:
        raise DataError(
            "No training row is left.", "give synth.rows, or a file with rows, in the recipe"
        )
    reports = ([synth] if config.synth.rows else []) + list(sources.values())
    kept = Counter(row.source for row in (*train, *heldout))
    for report in reports:
        report.rows_out = kept[report.name]
        lost = ", ".join(f"{count} {reason}" for reason, count in sorted(report.dropped.items()))
        remark(
            f"{report.name}: {report.rows_in} rows in, {report.rows_out} out"
            + (f" ({lost})" if lost else "")
        )
    random.Random(f"formosa order {config.seed}").shuffle(train)
    return _write(folder, train, heldout, reports, config.seed)


def _heldout_shares(config: DataConfig, file_rows: int) -> tuple[int, int]:
    """How many held-out rows come from the generator and from the files."""
    if not config.synth.rows or not file_rows:
        return (config.heldout, 0) if config.synth.rows else (0, config.heldout)
    parts = shares(config.heldout, {"synth": config.synth.rows, "files": file_rows})
    return parts["synth"], parts["files"]


def _synth(
    config: DataConfig, heldout: int, report: SourceReport, progress: Progress | None
) -> tuple[list[Row], list[Row]]:
    """The generator's training and held-out rows."""
    if not config.synth.rows:
        return [], []
    seen: set[str] = set()
    wanted = config.synth.rows + heldout
    splits: list[list[Row]] = [[], []]
    for split, count in enumerate((config.synth.rows, heldout)):
        made = 0
        for row in generate(
            count,
            config.seed,
            kinds=config.synth.kinds,
            languages=config.synth.languages,
            held_out=bool(split),
            seen=seen,
        ):
            made += 1
            validate_row(row)  # a row of our own that fails is a bug, and says where
            if _fits(row, config.max_characters, report):
                splits[split].append(row)
            if progress:
                progress(report.rows_in + made, wanted)
        report.rows_in += count
        report.drop("same question", count - made)
    return splits[0], splits[1]


def _read_file(
    item: FileConfig, config: DataConfig, root: Path, skip: bool, say: Say
) -> tuple[list[Row], SourceReport]:
    """The good rows of a file, at most its limit."""
    report = SourceReport(item.source, item.licence)
    rows: list[Row] = []
    bad: list[DataError] = []
    for where, entry in scan_rows(root / item.path):
        report.rows_in += 1
        try:
            if isinstance(entry, DataError):
                raise entry
            validate_row(entry, where)
        except DataError as error:
            bad.append(error)
            report.drop(error.reason if isinstance(error, BadRowError) else "no row")
            continue
        row = replace(entry, source=item.source)
        if _fits(row, config.max_characters, report):
            rows.append(row)
    if bad and not skip:
        more = f" {len(bad) - 1} more of its rows are bad." if len(bad) > 1 else ""
        raise DataError(
            bad[0].message + more, "put it right, or keep only the good rows with --skip-bad"
        ) from bad[0]
    for problem in bad[:SHOWN]:
        say(f"skipped {problem.message}")
    if len(bad) > SHOWN:
        say(f"skipped {len(bad) - SHOWN} more bad rows of {item.path}")
    if item.limit is not None and len(rows) > item.limit:
        report.drop("over the limit", len(rows) - item.limit)
        random.Random(f"formosa limit {config.seed} {item.source}").shuffle(rows)
        rows = rows[: item.limit]
    return rows, report


def _fits(row: Row, limit: int | None, report: SourceReport) -> bool:
    if limit is None or characters(row) <= limit:
        return True
    report.drop("too long")
    return False


def _add_files(
    rows: list[Row],
    wanted: int,
    train: list[Row],
    heldout: list[Row],
    sources: Mapping[str, SourceReport],
    seed: int,
) -> None:
    """Share the rows of files out to the splits: no row twice, no question in both."""
    known = {row.content_sha256() for row in (*train, *heldout)}
    fresh = []
    for row in rows:
        digest = row.content_sha256()
        if digest in known:
            sources[row.source].drop("duplicate")
        else:
            known.add(digest)
            fresh.append(row)
    order = list(range(len(fresh)))
    random.Random(f"formosa heldout {seed}").shuffle(order)
    trained = {row.question for row in train}
    chosen = set([i for i in order if fresh[i].question not in trained][:wanted])
    heldout += [fresh[i] for i in sorted(chosen)]
    held = {row.question for row in heldout}
    for i, row in enumerate(fresh):
        if i in chosen:
            continue
        if row.question in held:
            sources[row.source].drop("question is held out")
        else:
            train.append(row)


def _write(
    folder: Path,
    train: Sequence[Row],
    heldout: Sequence[Row],
    sources: list[SourceReport],
    seed: int,
) -> Report:
    (folder / "report.json").unlink(missing_ok=True)  # it must not vouch for other files
    digests, counts = {}, {}
    for name, rows in (("train", train), ("heldout", heldout)):
        counts[name] = write_rows(folder / f"{name}.jsonl", rows)
        digests[name] = sha256_file(folder / f"{name}.jsonl")
    every = [*train, *heldout]
    report = Report(
        sources=sources,
        kinds=dict(sorted(Counter(row.kind or "other" for row in every).items())),
        languages={name: sum(row.language == name for row in every) for name in LANGUAGES},
        rows=counts,
        sha256=digests,
        seed=seed,
    )
    write_json(folder / "report.json", report.to_json())
    return report
