"""report.json: figures that are right, and a shape that others can rely on."""

from __future__ import annotations

import io
import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message
from formosa.data.account import account
from formosa.data.config import DataConfig
from formosa.data.decontaminate import Benchmark
from formosa.data.rejects import Rejection, RejectPile
from formosa.data.report import (
    STEPS,
    Purity,
    PurityGauge,
    Report,
    Share,
    SourceReport,
    lengths,
    totals,
)
from formosa.data.rows import Row
from formosa.data.spool import Spool
from formosa.data.writing import Written

SHARES = st.floats(0, 1, allow_nan=False)


@given(st.lists(st.one_of(SHARES, st.just(math.nan), st.just(1.0)), max_size=40))
def test_purity_is_of_the_rows_that_have_one(values: list[float]) -> None:
    found = Purity.of(values)
    known = [value for value in values if not math.isnan(value)]
    assert found.rows == len(known)
    if known:
        assert found.mean == pytest.approx(statistics.fmean(known), abs=1e-6)
        assert found.min == pytest.approx(min(known), abs=1e-6)
        assert found.pure == pytest.approx(sum(v == 1 for v in known) / len(known), abs=1e-6)
    else:
        assert found == Purity()


def test_a_row_that_is_nearly_pure_is_not_pure() -> None:
    gauge = PurityGauge()
    for value in (1.0, 0.9999):
        gauge.add(value)
    assert gauge.purity().pure == 0.5


@given(st.lists(st.integers(1, 10**9), max_size=60))
def test_every_length_is_in_one_class(values: list[int]) -> None:
    found = lengths(values)
    assert found["total"] == sum(values) and found["longest"] == max(values, default=0)
    classes = found["histogram"]
    assert sum(item["rows"] for item in classes) == len(values)
    tops = [item["to"] for item in classes]
    assert tops == sorted(set(tops)) and all(item["rows"] for item in classes)
    for value in values:
        assert any(value <= top for top in tops)


@pytest.mark.parametrize(
    ("length", "top"), [(1, 10), (10, 10), (11, 20), (200, 200), (201, 500), (5001, 10_000)]
)
def test_classes_end_at_round_numbers(length: int, top: int) -> None:
    assert lengths([length])["histogram"] == [{"to": top, "rows": 1}]
    assert top in STEPS


def test_a_row_longer_than_all_classes_ends_its_own() -> None:
    assert lengths([3 * 10**9])["histogram"] == [{"to": 3 * 10**9, "rows": 1}]


def test_totals_have_the_most_frequent_reason_first() -> None:
    one = SourceReport("a", "MIT", dropped={"too long": 2, "duplicate": 5})
    two = SourceReport("b", "MIT", dropped={"cut off": 5, "too long": 1})
    assert list(totals([one, two]).items()) == [("cut off", 5), ("duplicate", 5), ("too long", 3)]


def test_a_source_in_a_sentence() -> None:
    report = SourceReport("mine", "MIT", rows_in=12_000, rows_out=11_000)
    assert report.sentence() == "mine: 12,000 rows in, 11,000 out"
    report.dropped = {"too long": 1, "duplicate": 999}
    assert report.sentence().endswith("(999 duplicate, 1 too long)")


def test_changes_count_rows_and_characters_by_rule() -> None:
    report = SourceReport("mine", "MIT")
    for counts in ({"space": 3, "script": 40}, {"space": 1}, {}):
        report.change(counts)
    assert report.changed == {
        "space": {"rows": 2, "characters": 4},
        "script": {"rows": 1, "characters": 40},
    }


def rows() -> Iterator[tuple[int, Row]]:
    """Four rows of `a`, two documents of `b`, one of the generator."""
    for number in range(4):
        turns = (Message("user", f"Question {number}"), Message("assistant", "x" * 50 * number))
        scores = {"purity": 1.0 if number % 2 else 0.5}
        yield 0, Row.of(turns, id=f"a{number}", kind="chat", scores=scores)
    for number in range(2):
        yield 1, Row.of(text=f"第{number}份文件", id=f"b{number}")
    yield 2, Row.of((Message("user", "Hi"), Message("assistant", "Hello")), kind="chat")


@pytest.fixture
def found(tmp_path: Path) -> Report:
    """Of these, one is refused, one held out, and one is trained on three times."""
    config = DataConfig.model_validate(
        {
            "sources": [
                {"path": "a.jsonl", "licence": "MIT", "weight": 2},
                {"path": "b.jsonl", "licence": "CC0-1.0"},
            ],
            "synth": {"rows": 1},
            "mixture": {"rows": 7, "repeat": True},
        }
    )
    reports = [SourceReport(name, "MIT") for name in ("a", "b", "synth")]
    pile = RejectPile(io.BytesIO())
    with Spool(tmp_path) as spool:
        for source, row in rows():
            reports[source].rows_in += 1
            spool.add(row, source, "x")
        pile.add("a", Rejection("benchmark: own", "It is asked."), where="x", row={"id": "a3"})
        return account(
            config,
            spool,
            reports,
            pile,
            train=[0, 1, 5, 0, 6, 0],
            heldout=[2, 4],
            written={"train": Written(6, "ab"), "heldout": Written(2, "cd")},
            benchmarks=[
                Benchmark("own", ("one", "two"), (("t", "d"),)),
                Benchmark("other", ("x",)),
            ],
            shares={"a": Share(2.0, 4, 3, 4)},
        )


def test_every_row_is_accounted_for(found: Report) -> None:
    own, a, b = found.sources
    assert (own.name, a.name, b.name) == ("synth", "a", "b"), "the generator comes first"
    assert (a.rows_in, a.rows_out, a.heldout, a.repeated) == (4, 3, 1, 2)
    assert a.dropped == {"benchmark: own": 1} and a.examples == {"benchmark: own": "a3"}
    assert (b.rows_out, b.heldout, b.repeated) == (2, 1, 0)
    assert (own.rows_in, own.rows_out) == (1, 1)
    for source in found.sources:
        assert source.rows_in == source.rows_out + sum(source.dropped.values())
    used = sum(source.rows_out + source.repeated for source in found.sources)
    assert used == sum(found.rows.values())


def test_kinds_languages_and_purity_are_of_the_rows_that_are_used(found: Report) -> None:
    assert found.kinds == {"chat": 4, "text": 2}
    assert found.languages == {"zh-TW": 2, "en": 4}
    assert found.purity == Purity(rows=3, mean=round(2 / 3, 6), min=0.5, pure=round(1 / 3, 6))
    assert found.sources[1].purity == found.purity and found.sources[2].purity == Purity()
    assert found.characters["longest"] == len("Question 2") + 100


def test_each_benchmark_is_named_also_where_nothing_was_found(found: Report) -> None:
    """A card that names only those with findings would hide what was not compared."""
    assert found.contamination == [
        {"benchmark": "own", "texts": 2, "tools": 1, "rows": 1},
        {"benchmark": "other", "texts": 1, "tools": 0, "rows": 0},
    ]
    assert found.dropped == {"benchmark: own": 1}
    assert found.duplicates == {"duplicate": 0, "near duplicate": 0}


def test_the_mixture_and_the_rules_are_on_record(found: Report) -> None:
    assert found.mixture == {
        "rows": 7,
        "repeat": True,
        "sources": {"a": {"weight": 2.0, "wanted": 4, "available": 3, "got": 4}},
    }
    assert set(found.versions) == {
        "formosa", "cleaning", "quality", "duplicates", "decontaminate",
    }  # fmt: skip


def test_the_report_is_json_and_has_every_field(found: Report) -> None:
    value = found.to_json()
    assert json.loads(json.dumps(value)) == value
    assert set(value) == {"schema", *(item.name for item in fields(Report))}
    # What a model card reads, since its first version:
    assert {"sources", "kinds", "languages", "rows", "sha256", "seed"} <= set(value)
    assert {"name", "licence", "rows_in", "rows_out", "dropped"} <= set(value["sources"][0])


def test_a_recipe_without_generated_rows_has_no_generator_in_its_report(tmp_path: Path) -> None:
    config = DataConfig.model_validate({"sources": [{"path": "a.jsonl", "licence": "MIT"}]})
    reports = [SourceReport("a", "MIT", rows_in=1), SourceReport("synth", "Apache-2.0")]
    with Spool(tmp_path) as spool:
        spool.add(Row.of(text="one"), 0, "x")
        report = account(
            config, spool, reports, RejectPile(io.BytesIO()), train=[0], heldout=[],
            written={"train": Written(1, ""), "heldout": Written(0, "")},
        )  # fmt: skip
    assert [source.name for source in report.sources] == ["a"]
    assert report.mixture is None and report.contamination == []
