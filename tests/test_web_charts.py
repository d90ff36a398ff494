"""Bars in table cells: in proportion, seen when they are small, and said in words."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.web.charts import BAR, Part, interval, stacked

KINDS = ("correct", "wrong", "unparsed", "truncated", "failed")


def widths(svg: str) -> list[float]:
    return [float(rect.get("width") or 0) for rect in ElementTree.fromstring(svg).iter("rect")]


def test_a_bar_is_as_long_as_its_value_and_has_its_interval() -> None:
    made = interval(0.25, 0.1, 0.5, "25 %")
    assert widths(made) == [BAR, BAR / 4]
    assert "M20.0 7.0H100.0" in made
    assert 'aria-label="25 %"' in made


@given(st.lists(st.integers(0, 10**6), min_size=5, max_size=5).filter(any))
def test_the_parts_of_a_whole_fill_it_and_each_can_be_seen(counts: list[int]) -> None:
    made = stacked([Part(n, kind, kind) for n, kind in zip(counts, KINDS, strict=True)], "")
    found = widths(made)
    assert len(found) == sum(count > 0 for count in counts)
    assert sum(found) == pytest.approx(BAR, abs=0.1)
    assert min(found) > 2.5
    assert re.findall(r'class="(\w+)" x', made) == [
        kind for count, kind in zip(counts, KINDS, strict=True) if count
    ]


def test_nothing_yet_is_an_empty_bar() -> None:
    assert widths(stacked([Part(0, kind, kind) for kind in KINDS], "nothing")) == []


def test_words_in_a_chart_are_escaped() -> None:
    attack = '"><script>alert(1)</script>'
    for made in (interval(0, 0, 1, attack), stacked([Part(1, "wrong", attack)], attack)):
        assert "<script" not in made
        ElementTree.fromstring(made)
