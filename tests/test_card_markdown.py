"""Tables and comments of a card, found as GitHub finds them, and never inside a quotation."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.card.markdown import code_block, draw_table, escaped, read_document

TABLE = """\
| a | b |
|---|:-:|
| 1 | **2** |
| 3 |
"""


def test_a_table_is_read() -> None:
    (table,) = read_document("# Title\n\n" + TABLE + "\nText\n").tables
    assert table.heads == ("a", "b")
    assert table.rows == (("1", "**2**"), ("3",))
    assert (table.name, table.line) == ("", 3)


@pytest.mark.parametrize(
    "text",
    [
        "a | b\n---|---\n1 | 2",  # no pipes around
        "  | a | b |\n | - | -: | \n|1|2|",
        "| a | b |\r\n|---|---|\r\n| 1 | 2 |\r\n",
        "Text\n| a | b |\n|---|---|\n| 1 | 2 |",  # a table may end a paragraph
    ],
)
def test_githubs_ways_to_write_a_table(text: str) -> None:
    (table,) = read_document(text).tables
    assert (table.heads, table.rows) == (("a", "b"), (("1", "2"),))


@pytest.mark.parametrize(
    "text",
    [
        "| a | b |\n| 1 | 2 |",  # no line of dashes
        "| a | b |\n|---|\n| 1 | 2 |",  # another number of columns
        "a | b",
        "a\n---\nb",  # a heading
        "```\n" + TABLE + "```\n",
        "~~~~ text\n" + TABLE + "~~~\n" + TABLE + "~~~~\n",
        "````\n```\n" + TABLE + "```\n````",
        "```\n" + TABLE,  # a fence that is never closed goes to the end
        "<!--\n" + TABLE + "-->",
        "<!-- " + TABLE,
    ],
)
def test_what_is_no_table(text: str) -> None:
    assert read_document(text).tables == ()


@pytest.mark.parametrize("after", ["", "# Head", "> quote", "```", "<!-- x -->"])
def test_a_table_ends_where_something_else_begins(after: str) -> None:
    (table,) = read_document(f"| a | b |\n|---|---|\n| 1 | 2 |\n{after}\n| 3 | 4 |").tables
    assert table.rows == (("1", "2"),)


def test_a_line_without_pipes_still_belongs_to_the_table() -> None:
    """As on GitHub: a number smuggled in below a table is a row of it."""
    (table,) = read_document(TABLE + "99.9\n\n5").tables
    assert table.rows[-1] == ("99.9",)


def test_a_backtick_in_the_info_text_opens_no_code_block() -> None:
    assert len(read_document("``` a`b\n\n" + TABLE).tables) == 1


def test_an_escaped_pipe_is_part_of_its_cell() -> None:
    (table,) = read_document("| a | b |\n|---|---|\n| 1 \\| 2 | 3 |").tables
    assert table.rows == (("1 \\| 2", "3"),)


def test_cells_beyond_the_heads_are_kept() -> None:
    """GitHub does not show them, but somebody may have put them there."""
    (table,) = read_document("| a | b |\n|---|---|\n| 1 | 2 | 3 |").tables
    assert table.rows == (("1", "2", "3"),)


def test_a_mark_names_the_table_below_it_and_no_other() -> None:
    document = read_document(
        f"<!-- formosa:table one -->\n\n{TABLE}\n{TABLE}"
        f"\n<!-- formosa:table two -->\nText\n\n{TABLE}"
        f"\n<!-- formosa:table three -->\n<!-- other -->\n{TABLE}"
    )
    assert [table.name for table in document.tables] == ["one", "", "", ""]


def test_comments_are_read_in_their_order_and_not_from_code() -> None:
    document = read_document(
        "<!-- one -->\n```\n<!-- two -->\n```\n<!-- three\nfour\n-->\ntext <!-- five -->\n"
    )
    assert document.comments == (" one ", " three\nfour\n")


def test_only_real_line_ends_end_a_line() -> None:
    """`str.splitlines` also splits at U+2028, where no browser does."""
    (table,) = read_document("| a | b |\n|---|---|\n| 1\u2028| 2 |\n").tables
    assert len(table.rows) == 1
    assert table.rows[0][1] == "2"


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_escaped_text_is_one_line_without_markup(text: str) -> None:
    shown = escaped(text)
    assert "\n" not in shown
    assert "<" not in shown
    assert all(c.isprintable() for c in shown)


CELLS = st.lists(st.lists(st.text().map(escaped), min_size=2, max_size=2), max_size=4)


@settings(deadline=None)  # the machine may be busy
@given(CELLS)
def test_a_drawn_table_is_read_again(rows: list[list[str]]) -> None:
    """The promise that a claim's text can be found: whatever the run's files hold."""
    (table,) = read_document(draw_table("x", ["a", "b"], rows)).tables
    assert table.name == "x"
    assert [list(row) for row in table.rows] == rows


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_nothing_inside_a_code_block_can_leave_it(text: str) -> None:
    """A model may write fences, tables and claims of its own."""
    document = read_document(
        code_block(text + "\n" + TABLE + "<!-- formosa:claims -->") + "\n\n" + TABLE
    )
    assert len(document.tables) == 1
    assert document.comments == ()


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="|-: `~<!>\n\\ab1#"))
def test_any_text_can_be_read(text: str) -> None:
    read_document(text)


@pytest.mark.parametrize(
    "text",
    [
        "|" * 1_000_000,
        "a|b\n" + " " * 1_000_000 + "|",
        "a|b\n" + "|-" * 300_000 + "x",
        "`" * 1_000_000,
        "<!--" * 200_000,
        "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 50_000,
    ],
)
def test_reading_takes_linear_time(text: str) -> None:
    """A stranger's card must not keep a checker busy: quadratic work here would take hours."""
    began = time.process_time()
    read_document(text)
    assert time.process_time() - began < 10
