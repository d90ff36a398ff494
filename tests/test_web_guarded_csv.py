"""CSV that a spreadsheet opens without running what a model wrote."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.web.guarded_csv import csv_text, guarded


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "  =1", "＝1", "\r=1", "-"]
)
def test_what_a_spreadsheet_runs_gets_an_apostrophe(cell: str) -> None:
    assert guarded(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-1.5", "+4", "1e-9", "-.5", "B", "", "a=b", "−1.2"])
def test_numbers_and_plain_words_stay_as_they_are(cell: str) -> None:
    assert guarded(cell) == cell


def test_nothing_is_empty_and_a_broken_character_is_replaced() -> None:
    assert (guarded(None), guarded(0.5), guarded("a\ud800\x00")) == ("", "0.5", "a?\ufffd")


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=6))
def test_every_cell_comes_back_and_none_is_a_formula(rows: list[list[str]]) -> None:
    text = csv_text(["a", "b"], rows)
    assert text.startswith("\ufeff")
    found = list(csv.reader(io.StringIO(text[1:], newline="")))
    assert found[0] == ["a", "b"]
    assert found[1:] == [[guarded(cell) for cell in row] for row in rows]
    for row in found:
        for cell in row:
            assert not cell.lstrip(" ").startswith(("=", "@"))
