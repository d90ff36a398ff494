"""What became of every row: the report, made from the columns of the spool.

One walk over the rows that are used. Knows the shape of report.json (`report.py`) and nothing of
how rows were chosen.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from formosa import __version__
from formosa.data import cleaning, decontaminate, duplicates, quality
from formosa.data.config import DataConfig
from formosa.data.decontaminate import Benchmark
from formosa.data.rejects import RejectPile
from formosa.data.report import (
    BENCHMARK,
    PurityGauge,
    Report,
    Share,
    SourceReport,
    lengths,
    totals,
)
from formosa.data.rows import LANGUAGES
from formosa.data.spool import Spool
from formosa.data.writing import Written


def account(
    config: DataConfig,
    spool: Spool,
    reports: Sequence[SourceReport],
    pile: RejectPile,
    *,
    train: Sequence[int],
    heldout: Sequence[int],
    written: Mapping[str, Written],
    benchmarks: Sequence[Benchmark] = (),
    shares: Mapping[str, Share] | None = None,
) -> Report:
    """The report of a preparation.

    Args:
        config: the recipe's `data:`.
        spool: the rows.
        reports: of the sources, by their number in the spool; the generator's is the last.
        pile: what was refused.
        train: numbers of the rows to train on; a row may be there several times.
        heldout: numbers of those that are held out.
        written: the files of both.
        benchmarks: that rows were compared with.
        shares: of the sources in the mixture.
    """
    copies = array("I", bytes(4 * len(spool)))
    for number in train:
        copies[number] += 1
    held = bytearray(len(spool))
    for number in heldout:
        held[number] = 1
    kinds: Counter[int] = Counter()
    languages: Counter[int] = Counter()
    overall, gauges = PurityGauge(), [PurityGauge() for _ in reports]
    for number in _used(copies, held):
        source = spool.source[number]
        report = reports[source]
        report.rows_out += 1
        report.heldout += held[number]
        report.repeated += max(0, copies[number] - 1)
        kinds[spool.kind[number]] += 1
        languages[spool.language[number]] += 1
        overall.add(spool.purity[number])
        gauges[source].add(spool.purity[number])
    for report, gauge in zip(reports, gauges, strict=True):
        report.dropped = pile.dropped(report.name)
        report.examples = {name: pile.examples[report.name, name] for name in report.dropped}
        report.purity = gauge.purity()
    *sources, own = reports
    listed = [own, *sources] if config.synth.rows else sources
    dropped = totals(listed)
    by_language = {spool.languages.names[i]: count for i, count in languages.items()}
    return Report(
        sources=listed,
        kinds=dict(sorted((spool.kinds.names[i], count) for i, count in kinds.items())),
        languages={name: by_language.get(name, 0) for name in LANGUAGES},
        rows={name: item.rows for name, item in written.items()},
        sha256={name: item.sha256 for name, item in written.items()},
        seed=config.seed,
        dropped=dropped,
        duplicates={name: dropped.get(name, 0) for name in (duplicates.EXACT, duplicates.NEAR)},
        contamination=[
            {
                "benchmark": item.name,
                "texts": len(item.texts),
                "tools": len(item.tools),
                "rows": dropped.get(BENCHMARK + item.name, 0),
            }
            for item in benchmarks
        ],
        characters=lengths(spool.characters[i] for i in _used(copies, held)),
        purity=overall.purity(),
        mixture=_mixture(config, shares or {}),
        versions={
            "formosa": __version__,
            "cleaning": cleaning.VERSION,
            "quality": quality.VERSION,
            "duplicates": duplicates.VERSION,
            "decontaminate": decontaminate.VERSION,
        },
    )


def _used(copies: Sequence[int], held: Sequence[int]) -> Iterator[int]:
    return (i for i in range(len(held)) if copies[i] or held[i])


def _mixture(config: DataConfig, shares: Mapping[str, Share]) -> dict[str, object] | None:
    if config.mixture is None:
        return None
    return {
        "rows": config.mixture.rows,
        "repeat": config.mixture.repeat,
        "sources": {name: asdict(share) for name, share in shares.items()},
    }
