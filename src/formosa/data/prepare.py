"""From sources to training files, in two passes and in bounded memory.

    train.jsonl      rows to learn from, in shuffled order
    heldout.jsonl    rows to measure on: no question of theirs is in train.jsonl
    rejects.jsonl    rows that were refused, each with the reason
    report.json      what came in, what went out, and why the rest did not

The first pass reads, cleans and judges every row and spools what stays (`reading.py`); the second
decides by what only the whole shows (`selection.py`): duplicates, limits, held-out rows, mixture,
order. The same recipe and files give the same bytes.

The files are written beside the old ones and take their place together; the report comes last. Its
presence says that the others are whole and belong to it. What is stopped begins again.
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from formosa.data import cleaning, duplicates
from formosa.data.account import account
from formosa.data.config import DataConfig
from formosa.data.decontaminate import Benchmark
from formosa.data.duplicates import Duplicates
from formosa.data.judging import Checks, Kept
from formosa.data.reading import read_source
from formosa.data.rejects import FILE as REJECTS
from formosa.data.rejects import RejectPile
from formosa.data.report import Report, Share, SourceReport
from formosa.data.selection import Selection, heldout_parts, shuffled
from formosa.data.spool import Spool, working_folder
from formosa.data.synth.generate import generate
from formosa.data.synth.stage import SOURCE
from formosa.data.workers import Workers
from formosa.data.writing import Ids, Written, write_split
from formosa.errors import DataError
from formosa.files import explain_os_error, write_json
from formosa.wheels import Say

OWN_LICENCE = "Apache-2.0"  # the generator's texts are part of this package
SPLITS = ("train", "heldout")
FILES = ("train.jsonl", "heldout.jsonl", REJECTS)  # in the order in which they take their place

Progress = Callable[[int, int, str], None]


def prepare(
    config: DataConfig,
    folder: Path,
    *,
    root: Path | None = None,
    skip_bad: bool = False,
    benchmarks: Sequence[Benchmark] = (),
    workers: int = 1,
    say: Say | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write train.jsonl, heldout.jsonl, rejects.jsonl and report.json into `folder`.

    Args:
        config: the `data:` part of a recipe.
        folder: where the four files go; made if missing.
        root: where relative paths of sources begin; the current folder if not given.
        skip_bad: leave out and count bad rows of sources (also on if the config says so).
        benchmarks: what must not be trained on (`config.decontaminate.benchmarks` are names;
            `formosa.run.benchmarks` has their texts).
        workers: processes that judge rows of large sources; the bytes are the same for any number.
            With more than one, a script that calls this needs `if __name__ == "__main__":`.
        say: gets remarks for people.
        progress: gets (rows done, rows in all, what is done) while rows are `generated`, and
            again while they are `written`.

    Raises:
        DataError: a source can't be read, a row is bad and bad rows are not skipped, or nothing is
            left.
        UserError: the disk is full, or another process prepares data in the folder.
    """
    with working_folder(folder) as work:
        pile_path = work / REJECTS
        try:
            with (
                pile_path.open("wb") as file,
                Spool(work) as spool,
                Workers(config, benchmarks, workers) as judges,
            ):
                job = _Job(config, folder, work, spool, RejectPile(file, config.rejects))
                job.benchmarks = tuple(benchmarks)
                job.say = say or job.say
                job.progress = progress or job.progress
                job.read(root or Path(), judges, skip_bad or config.skip_bad)
                report = job.finish()
        except OSError as error:  # the pile and the indices; others explain their own
            raise explain_os_error(error, work) from error
        _publish(work, folder, report)
    return report


@dataclass
class _Job:
    """One preparation: what the two passes share."""

    config: DataConfig
    folder: Path
    work: Path
    spool: Spool
    pile: RejectPile
    benchmarks: tuple[Benchmark, ...] = ()
    say: Say = lambda text: None
    progress: Progress = lambda done, total, what: None
    reports: list[SourceReport] = field(default_factory=list)  # by number of the source
    fixed: range = range(0)  # the generator's held-out rows
    parts: dict[str, int] = field(default_factory=dict)  # held-out rows by source

    @property
    def names(self) -> list[str]:
        return [item.source for item in self.config.sources] + [SOURCE]

    def read(self, root: Path, workers: Workers, skip_bad: bool) -> None:
        """The first pass."""
        config = self.config
        self.duplicates = Duplicates(self.work, config.duplicates)
        for number, source in enumerate(config.sources):
            self.reports.append(
                read_source(
                    source,
                    config,
                    root=root,
                    workers=workers,
                    pile=self.pile,
                    keep=partial(self._keep, source=number),
                    skip_bad=skip_bad,
                    say=self.say,
                    written=[self.folder / name for name in FILES],
                )
            )
        self._share_heldout()
        self._generate(Checks(config, "keep", workers.index))

    def finish(self) -> Report:
        """The second pass."""
        config, spool = self.config, self.spool
        generated = len(config.sources)
        chosen = Selection(spool, self.names, self.pile, frozenset(self.fixed), generated)
        chosen.drop_duplicates(self.duplicates.resolve(self._compared))
        for number, source in enumerate(config.sources):
            if source.limit is not None:
                chosen.limit(number, source.limit, config.seed)
        wanted = {
            number: self.parts.get(source.source, 0) for number, source in enumerate(config.sources)
        }
        chosen.hold_out(wanted, config.seed, self.say)
        shares: dict[str, Share] = {}
        if config.mixture is None:
            train = chosen.every()
        else:
            weights = {number: source.weight for number, source in enumerate(config.sources)}
            if config.synth.rows:
                weights[generated] = config.synth.weight
            train, shares = chosen.mix(
                weights,
                config.mixture.rows,
                config.seed,
                repeat=config.mixture.repeat,
                say=self.say,
            )
        if not train:
            raise self._nothing_left()
        return self._write(shuffled(train, config.seed), sorted(chosen.heldout), shares)

    def _keep(self, row: Kept, where: str, *, source: int) -> None:
        number = self.spool.append(row.entry, source, where)
        self.duplicates.take(number, row.fingerprint)

    def _compared(self, number: int) -> str:
        return duplicates.compared_text(self.spool.row(number))

    def _share_heldout(self) -> None:
        """How many held-out rows come from the generator and from each source: by size, or by
        weight in a mixture."""
        config = self.config
        spooled = Counter(self.spool.source)
        rows = {
            source.source: min(spooled[number], source.limit or spooled[number])
            for number, source in enumerate(config.sources)
        }
        weights = {source.source: source.weight for source in config.sources}
        if config.synth.rows:
            rows[SOURCE] = 2 * max(config.synth.rows, config.heldout)  # it makes what is wanted
            weights[SOURCE] = config.synth.weight
        sizes = weights if config.mixture else {**rows, SOURCE: config.synth.rows}
        self.parts = heldout_parts(config.heldout, sizes, {SOURCE: 0, **rows})
        if (held := sum(self.parts.values())) < config.heldout:
            self.say(
                f"{held:,} rows are held out, not {config.heldout:,}: at most half of a source is"
            )

    def _generate(self, checks: Checks) -> None:
        """Rows of our own. They come after the sources', since only then it is known how many of
        them are held out; and these are not searched for duplicates: they stay as they are."""
        config = self.config
        report = SourceReport(SOURCE, OWN_LICENCE)
        self.reports.append(report)
        if not config.synth.rows:
            return
        source = len(config.sources)
        heldout = self.parts.get(SOURCE, 0)
        seen: set[str] = set()
        for held_out, count in ((False, config.synth.rows), (True, heldout)):
            first, asked = len(self.spool), len(seen)
            for row in generate(
                count,
                config.seed,
                kinds=config.synth.kinds,
                languages=config.synth.languages,
                held_out=held_out,
                seen=seen,
                # A twin asks the same again: it teaches, and measures nothing more.
                thinking=0.0 if held_out else config.synth.thinking,
                max_tools=config.synth.max_tools,
                manuals=config.synth.manuals,
                chinese_docs=config.synth.chinese_docs,
                # Held-out rows have tools of their own each: they measure more.
                questions=1 if held_out else config.synth.questions,
            ):
                report.rows_in += 1
                row = cleaning.scored(row)
                refused = checks.own(row, row.id)  # a row of our own that is bad is a bug
                if refused:
                    self.pile.add(SOURCE, refused, where=row.id, row=row.to_json())
                    continue
                number = self.spool.add(row, source, row.id)
                if not held_out:
                    self.duplicates.add(number, row, near=False)
                total = max(report.rows_in, config.synth.rows + heldout)
                self.progress(report.rows_in, total, "generated")
            if len(seen) - asked < count:
                self.say(f"{SOURCE}: only {len(seen) - asked:,} of {count:,} questions differ")
            if held_out:
                self.fixed = range(first, len(self.spool))

    def _nothing_left(self) -> DataError:
        counts = self.pile.counts.most_common(3)
        why = "; ".join(
            f"{count:,} of {name}: {reason}, as {self.pile.examples[name, reason]}"
            for (name, reason), count in counts
        )
        return DataError(
            "No training row is left" + (f" ({why})." if why else "."),
            "take back what refuses them" if why else "give synth.rows, or sources with rows",
        )

    def _write(
        self, train: Sequence[int], heldout: Sequence[int], shares: Mapping[str, Share]
    ) -> Report:
        """Write both splits into the working folder; the report of it all."""
        used = bytearray(len(self.spool))
        for number in itertools.chain(train, heldout):
            used[number] = 1
        ids = Ids(self.spool, array("I", (i for i, flag in enumerate(used) if flag)))
        total, done = len(train) + len(heldout), 0
        written: dict[str, Written] = {}
        for name, numbers in zip(SPLITS, (train, heldout), strict=True):
            written[name] = write_split(
                self.work / f"{name}.jsonl",
                self.spool,
                numbers,
                ids,
                partial(self._wrote, before=done, total=total),
            )
            done += len(numbers)
        report = account(
            self.config,
            self.spool,
            self.reports,
            self.pile,
            train=train,
            heldout=heldout,
            written=written,
            benchmarks=self.benchmarks,
            shares=shares,
        )
        for source in report.sources:
            self.say(source.sentence())
        return report

    def _wrote(self, count: int, *, before: int, total: int) -> None:
        self.progress(before + count, total, "written")


def _publish(work: Path, folder: Path, report: Report) -> None:
    """The files take the place of the old ones. The old report goes first: it must not vouch for
    others' files."""
    try:
        (folder / "report.json").unlink(missing_ok=True)
        for name in FILES:
            (work / name).replace(folder / name)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    write_json(folder / "report.json", report.to_json())
