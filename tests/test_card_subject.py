"""What a card is about: its names, its rows, its lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from card_foreign import BODY, CARD, HEAD, changed
from formosa.card.checks.subject import (
    Subject,
    cell_hub_id,
    cell_text,
    looks_like_name,
    row_name,
    row_text,
    same_name,
)
from formosa.card.parts import read_parts
from formosa.card.values import node_of
from formosa.card.verify import read_subject


def subject(folder: Path, text: str = CARD) -> Subject:
    (folder / "README.md").write_text(text)
    return read_subject(folder / "README.md")[0]


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("# Model Card for Tiny-3B (a.k.a __T__)", "Tiny-3B"),
        ("# Tiny-3B", "Tiny-3B"),
        ("# **Tiny-3B**", "Tiny-3B"),
        ("# example/Tiny-3B", "Tiny-3B"),
        ("# Tiny-3B: a small model", "Tiny-3B"),
        ("# Tiny-3B（小）", "Tiny-3B"),
        ("# Model Card", ""),
        ("# Introduction", ""),
        ("# 3-step guide for everybody", ""),
        ("# 模型", ""),
        ("#", ""),
        ("no heading", ""),
    ],
)
def test_the_name_in_a_title(tmp_path: Path, title: str, name: str) -> None:
    assert subject(tmp_path, f"{title}\n").title_name[0] == name


def test_the_name_that_most_places_agree_on(tmp_path: Path) -> None:
    card = subject(tmp_path)
    assert card.own_name == "Tiny-3B-Instruct"
    assert card.index_names == ("Tiny-3B-Instruct",)
    other = subject(tmp_path, changed("- name: Tiny-3B-Instruct", "- name: Tiny-1B"))
    assert other.own_name == "Tiny-3B-Instruct"


def test_a_card_that_says_no_name_has_none(tmp_path: Path) -> None:
    card = subject(tmp_path, "words\n")
    assert (card.own_name, card.own_id, card.repository) == ("", "", ("", 0))


def test_the_repository_counts_before_rows(tmp_path: Path) -> None:
    card = subject(tmp_path)
    assert card.own_id == "example/Tiny-3B-Instruct"
    without = "\n".join(line for line in CARD.split("\n") if "Repository" not in line)
    assert subject(tmp_path, without).own_id == "example/Tiny-3B-Instruct"  # from its row


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("org/Tiny-3B", "Tiny-3B"),
        ("Tiny-3B-GGUF", "tiny-3b"),
        ("Tiny-3B-GGUF:Q4_K_M", "Tiny-3B"),
        ("Tiny-3B-AWQ", "other/Tiny-3B"),
        ("Tiny-3B-Q4_K_M", "Tiny-3B"),
        ("Tiny-3B.gguf", "Tiny-3B"),
    ],
)
def test_names_of_one_model(a: str, b: str) -> None:
    assert same_name(a, b)


@pytest.mark.parametrize(
    ("a", "b"), [("Tiny-3B", "Tiny-1B"), ("Tiny-3B", "Tiny-3B-Instruct"), ("Tiny", "")]
)
def test_names_of_two_models(a: str, b: str) -> None:
    assert not same_name(a, b)


@given(st.text(), st.text())
def test_same_name_is_fair(a: str, b: str) -> None:
    assert same_name(a, a)
    assert same_name(a, b) == same_name(b, a)


@pytest.mark.parametrize("text", ["Llama-3.2-3B", "a/b1", "gpt_4"])
def test_what_looks_like_a_name(text: str) -> None:
    assert looks_like_name(text)


@pytest.mark.parametrize("text", ["Introduction", "4", "", "x-y", "1" + "-" * 200])
def test_what_does_not(text: str) -> None:
    assert not looks_like_name(text)


# -- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("🌟[org/Tiny-3B](https://huggingface.co/org/Tiny-3B) (ours)", "org/Tiny-3B"),
        ("**Tiny-3B**", "Tiny-3B"),
        ("Tiny-3B（ours）", "Tiny-3B"),
        ("`Tiny-3B`", "Tiny-3B"),
    ],
)
def test_the_model_that_a_first_cell_names(cell: str, name: str) -> None:
    assert row_name(cell) == name


@pytest.mark.parametrize(
    ("first", "own"),
    [
        ("Something (ours)", True),
        ("本模型", True),
        ("Tiny-3B-Instruct", True),
        ("example/Tiny-3B-Instruct", True),
        ("[x](https://huggingface.co/x/y) (Ours)", True),
        ("Tiny-3B-Instruct-v2", False),
        ("colours", False),
        ("Other-7B", False),
    ],
)
def test_which_rows_are_the_cards_own(tmp_path: Path, first: str, own: bool) -> None:
    table = f"\n| m | s |\n|---|---|\n| {first} | 1 |\n"
    card = subject(tmp_path, HEAD + BODY + table)
    mine = [row for row in card.own_rows if row[0] is card.document.tables[-1]]
    assert bool(mine) == own


def test_cells_for_people() -> None:
    assert cell_text("[a](b) c") == "a c"
    assert len(cell_text("x" * 500)) == 60
    assert cell_hub_id("[a](https://huggingface.co/a/b)") == "a/b"
    assert cell_hub_id("a/b") == ""
    assert row_text(("a", "b", "c", "d"), lambda cell: False) == "a · b · c"
    assert row_text(("a", "1", "c"), str.isdigit) == "a"
    assert row_text(("1",), str.isdigit) == "a row"


# -- lines --------------------------------------------------------------------------------------


def test_lines_of_the_front_matter(tmp_path: Path) -> None:
    card = subject(tmp_path)
    lines = CARD.split("\n")
    assert lines[card.line_of("license") - 1] == "license: llama3.2"
    assert lines[card.line_of("language", 1) - 1] == "- zh"
    assert lines[card.line_of("model-index", 0, "results", 1) - 1].strip() == "- task:"
    assert card.line_of("model-index", 0, "nothing") == card.line_of("model-index", 0)
    assert card.line_of("nothing") == 1


def test_lines_of_flow_style_are_near(tmp_path: Path) -> None:
    head = "---\nlicense: mit\nlanguage: [en, zh]\nmodel-index:\n- {name: x, results: []}\n---\n"
    card = subject(tmp_path, head)
    assert card.line_of("language", 1) == 3
    assert card.line_of("model-index", 0, "name") == 5


def test_a_card_without_front_matter_has_no_lines_of_it(tmp_path: Path) -> None:
    assert subject(tmp_path, "x\n").line_of("license") == 0


def test_nodes_are_read_within_the_same_limits() -> None:
    assert node_of("a: 1") is not None
    assert node_of("x" * (1 << 20)) is None


def test_tables_are_called_by_name_or_number(tmp_path: Path) -> None:
    card = subject(tmp_path, "| a |\n|---|\n\n<!-- formosa:table t -->\n\n| b |\n|---|\n| 1 |\n")
    assert [card.table_title(table) for table in card.document.tables] == ["table 1", "table t"]
    assert card.table_line(card.document.tables[1], 0) == 8


# -- parts --------------------------------------------------------------------------------------


def test_blocks_with_other_fences_and_open_ones() -> None:
    text = "~~~~Python {x}\na\n```\n~~~~\n````\n```\nb\n````\n```bash\nc"
    blocks = read_parts(text, 10).blocks
    assert [(b.language, b.text, b.line) for b in blocks] == [
        ("python", "a\n```", 12),
        ("", "```\nb", 16),
        ("bash", "c", 20),
    ]


def test_an_empty_block_and_one_that_ends_the_text() -> None:
    blocks = read_parts("```\n```\n```").blocks
    assert [block.text for block in blocks] == ["", ""]


def test_headings_and_prose_leave_code_and_comments_out() -> None:
    text = "# A #\n```\n# B\n```\n<!--\n# C\n-->\n## D\nwords\n"
    parts = read_parts(text)
    assert [(h.level, h.text, h.line) for h in parts.headings] == [(1, "A", 1), (2, "D", 8)]
    assert [line for line, words in parts.prose if words] == [1, 8, 9]


@given(st.text(alphabet="`~#[]()<>!-a\n\r 1|\\"))
def test_any_text_has_parts_with_lines_inside_it(text: str) -> None:
    parts = read_parts(text)
    count = len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    lines = [block.line - 1 for block in parts.blocks]
    lines += [link.line for link in parts.links] + [head.line for head in parts.headings]
    assert all(1 <= line <= count for line in lines)
    assert len(parts.prose) <= count
