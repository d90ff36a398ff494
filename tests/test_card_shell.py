"""Command lines as people write them into cards: prompts, comments, continued lines, quotes."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.card.checks.shell import LONGEST, MOST, commands, quotes_error

WORD = st.text(alphabet="abcXYZ019-_./:=@,+%", min_size=1, max_size=12)


def words(text: str) -> list[tuple[str, ...]]:
    return [command.words for command in commands(text, 1)]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("a b", [("a", "b")]),
        ("$ a b", [("a", "b")]),
        ("❯ a b", [("a", "b")]),
        ("# $ a b", []),
        ("a b  # words", [("a", "b")]),
        ("a 'b c' \"d e\"", [("a", "b c", "d e")]),
        ("a b\\ c", [("a", "b c")]),
        ("A=1 B='2 3' a", [("a",)]),
        ("sudo nohup a &", [("a",)]),
        ("uv run a", [("a",)]),
        ("env A=1 a", [("a",)]),
        ("a && b || c; d | e", [("a",), ("b",), ("c",), ("d",), ("e",)]),
        ("A=1", []),
        ("", []),
        ("\n\n", []),
        ("a \\\n  b \\\n  c\nd", [("a", "b", "c"), ("d",)]),
        ("a \\", [("a",)]),
        ("a 'open\nb", [("b",)]),
        ("a <<EOF\nb\nEOF\nc", [("a", "<<EOF"), ("c",)]),
        ("a <<-'END'\nb\nEND\nc", [("a", "<<-END"), ("c",)]),
        ("a <<EOF\nnever ends", [("a", "<<EOF")]),
    ],
)
def test_how_lines_become_commands(text: str, made: list[tuple[str, ...]]) -> None:
    assert words(text) == made


def test_every_word_has_the_line_it_stands_in() -> None:
    (first, second) = commands("a \\\n  b \\\n  c d\n\ne f", 5)
    assert first.lines == (5, 6, 7, 7)
    assert second.lines == (9, 9)


@given(st.lists(WORD, min_size=1, max_size=6))
def test_a_line_of_words_is_split_as_the_shell_does(line: list[str]) -> None:
    text = shlex.join(line)
    made = words(text)
    # What stands before a command, such as A=1, is left out.
    assert len(made) <= 1
    assert not made or list(made[0]) == line[-len(made[0]) :]


@given(st.lists(WORD.filter(lambda word: "=" not in word), min_size=2, max_size=6))
def test_breaking_a_line_changes_nothing(line: list[str]) -> None:
    assert words(" ".join(line)) == words(" \\\n    ".join(line))


@given(st.text(alphabet="ab '\"\\$#;&|<>EOF\n="))
def test_any_text_can_be_read(text: str) -> None:
    for command in commands(text, 1):
        assert command.words
        assert len(command.words) == len(command.lines)
        assert all(1 <= line <= text.count("\n") + 1 for line in command.lines)
    quotes_error(text)


def test_blocks_without_end_are_cut() -> None:
    assert len(words("a\n" * (MOST + 100))) == MOST
    assert words("a" * (LONGEST + 1)) == []


@pytest.mark.parametrize(
    "text",
    ["a 'b'", 'a "b"', "# it's a comment", "a  # it's", "a <<EOF\nit's\nEOF", "$ a 'b'", ""],
)
def test_quotes_that_are_closed(text: str) -> None:
    assert quotes_error(text) == ""


@pytest.mark.parametrize("text", ["a 'b", 'a "b', "a\nb 'c\nd"])
def test_quotes_that_are_open(text: str) -> None:
    assert "quotation" in quotes_error(text)
