"""The reject pile: all refused rows are counted, and enough of them are kept to be looked at."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.data.rejects import LONGEST, Rejected, Rejection, RejectPile, read_rejects
from formosa.data.rows import Row
from formosa.errors import UserError

LONG = Rejection("too long", "900 characters, 800 are allowed.")


def test_a_refused_row_is_read_back_as_it_was(tmp_path: Path) -> None:
    row = Row.of(text="很長的文件", id="a", source="law").to_json()
    path = tmp_path / "rejects.jsonl"
    with path.open("wb") as file:
        RejectPile(file).add("law", LONG, where="law.jsonl:7", row=row)
    (found,) = read_rejects(path)
    assert found == Rejected("law", "law.jsonl:7", "a", LONG.reason, LONG.detail, row)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")), max_size=60),
       st.one_of(st.none(), st.integers(0, 5)))  # fmt: skip
def test_every_row_is_counted_and_the_first_ones_are_kept(
    refused: list[tuple[str, str]], most: int | None
) -> None:
    """A source of millions that is refused must not be written a second time."""
    file = io.BytesIO()
    pile = RejectPile(file, most)
    for number, (source, reason) in enumerate(refused):
        if pile.room(source, reason):
            pile.add(source, Rejection(reason, ""), where=f"{source}:{number}")
        else:
            pile.count(source, reason)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    for source in "ab":
        wanted = {reason: refused.count((source, reason)) for reason in "xyz"}
        assert pile.dropped(source) == {reason: n for reason, n in wanted.items() if n}
        for reason, count in wanted.items():
            kept = [x for x in lines if (x["source"], x["reason"]) == (source, reason)]
            assert len(kept) == (count if most is None else min(count, most))
            if count:
                assert (
                    pile.examples[source, reason] == f"{source}:{refused.index((source, reason))}"
                )


def test_an_example_is_the_id_or_else_the_place() -> None:
    pile = RejectPile(io.BytesIO(), 0)
    pile.add("a", LONG, where="a.jsonl:1", row={"id": "first"})
    pile.add("a", LONG, where="a.jsonl:2", row={"id": "second"})
    pile.add("b", LONG, where="b.jsonl:9")
    assert pile.examples == {("a", "too long"): "first", ("b", "too long"): "b.jsonl:9"}


def test_a_huge_row_is_named_without_its_text() -> None:
    file = io.BytesIO()
    pile = RejectPile(file)
    pile.add("a", LONG, where="a:1", row={"id": "big", "text": "x" * LONGEST})
    (line,) = file.getvalue().splitlines()
    assert json.loads(line)["id"] == "big" and "row" not in json.loads(line)


def test_the_pile_takes_what_stood_in_a_source_whatever_it_was(tmp_path: Path) -> None:
    """Parquet has dates, and broken JSON half characters."""
    path = tmp_path / "rejects.jsonl"
    with path.open("wb") as file:
        pile = RejectPile(file)
        pile.add("a", LONG, where="a:1", row={"day": date(2026, 1, 2), "data": b"\xff"})
        pile.add("a", LONG, where="a:2", row={"text": "half \ud83d of it"})
    one, two = read_rejects(path)
    assert one.row is not None and one.row["day"] == "2026-01-02"
    assert two.row == {"text": "half \ud83d of it"}


def test_a_file_that_is_no_pile_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text('{"messages": []}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"rejects\.jsonl:1 is no refused row"):
        list(read_rejects(path))
