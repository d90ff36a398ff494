"""docs/sheet.md says what the commands do: keys, options, limits."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from formosa.card.sheet import probe
from formosa.card.sheet.registry import to_json
from formosa.card.sheet.repository import MOST_DERIVATIVES
from formosa.card.sheet.values import LONGEST, MOST, Sheet, TemplateFeatures
from formosa.cli.card_show import diff, show

PAGE = (Path(__file__).parent.parent / "docs" / "sheet.md").read_text(encoding="utf-8")
EMPTY = to_json(Sheet("card", "x", "x"))


def test_every_key_of_the_json_is_on_the_page() -> None:
    missing = [key for key in (*EMPTY, *EMPTY["normalized"]) if f"`{key}`" not in PAGE]
    assert [key for key in missing if key not in ("metadata", "name")] == []
    for key in EMPTY["normalized"]["card_data"]:
        assert f"`{key}`" in PAGE


def test_the_table_of_keys_names_no_others() -> None:
    table = PAGE.partition("## The JSON")[2].partition("`normalized` and")[0]
    named = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    keys = [key for cell in named for key in re.findall(r"`(\w+)`", cell)]
    assert set(keys) == set(EMPTY) - {"normalized", "source_payload_excerpt", "name"}


def test_the_limits_are_those_of_the_code() -> None:
    assert f"{MOST:,} entries" in PAGE
    assert f"{LONGEST:,}\ncharacters" in PAGE
    assert f"at most\n{MOST_DERIVATIVES}." in PAGE
    assert probe.SECONDS == 10
    assert "ten seconds" in PAGE
    assert probe.MEMORY == 1 << 30
    assert "1 GiB" in PAGE


def test_every_feature_that_is_tried_is_explained() -> None:
    tried = [field.name for field in fields(TemplateFeatures)]
    assert len(tried) == 9  # with where, sha256, ours and problem: else the page's table grows
    for words in ("tools", "parallel calls", "system message", "reasoning", "a switch"):
        assert f"\n| {words}" in PAGE


@pytest.mark.parametrize("command", [show, diff])
def test_options_on_the_page_exist(command: object) -> None:
    assert command in (show, diff)
    known = {option for p in (*show.params, *diff.params) for option in p.opts}
    shown = set(re.findall(r"formosa card (?:show|diff) [^|\n]*?(--[a-z-]+)", PAGE))
    assert shown <= known
