"""Data on standard output, talk on standard error, and model output is never read as markup."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from formosa.cli.output import Output, columns, command_output

ROWS: list[dict[str, Any]] = [
    {"name": "a[/b]", "score": 0.51234, "n": 3},
    {"name": "臺", "score": None, "n": 12},
]


def run(action: Callable[[Output], None], *arguments: str) -> Result:
    @click.command()
    @command_output
    def command(out: Output) -> None:
        action(out)

    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_json_is_one_document_on_standard_output() -> None:
    def action(out: Output) -> None:
        out.say("working …")
        out.hint("next: formosa run")
        out.data({"城市": "臺北", "x": [1, None]}, "for people")

    result = run(action, "--json")
    assert result.stdout == '{"城市": "臺北", "x": [1, null]}\n'
    assert "working …" in result.stderr
    assert "hint: next: formosa run" in result.stderr


def test_people_get_words_and_no_json() -> None:
    result = run(lambda out: out.data({"x": 1}, "one"))
    assert (result.stdout, result.stderr) == ("one\n", "")
    assert run(lambda out: out.data({"x": 1})).stdout == '{\n  "x": 1\n}\n'


def test_a_table_is_rows_for_people_and_a_list_for_programs() -> None:
    assert json.loads(run(lambda out: out.table(ROWS), "--json").stdout) == ROWS
    lines = run(lambda out: out.table(ROWS, title="Scores [x]")).stdout.splitlines()
    assert lines[0].strip() == "Scores [x]"
    assert lines[1].split() == ["name", "score", "n"]
    assert lines[2].split() == ["a[/b]", "0.512", "3"]
    assert lines[3].split() == ["臺", "–", "12"]


def test_a_table_without_rows_says_so() -> None:
    assert run(lambda out: out.table([])).stdout == "(nothing)\n"
    assert run(lambda out: out.table([]), "--json").stdout == "[]\n"


def test_numbers_stand_on_the_right() -> None:
    rows = [{"n": 1, "s": "x"}, {"n": 100, "s": "y"}]
    lines = run(lambda out: out.table(rows)).stdout.splitlines()
    assert [line[:3] for line in lines] == ["  n", "  1", "100"]


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/]", "list[str]", ":smile:", "a\\[b"])
def test_what_a_model_wrote_is_shown_as_it_is(text: str) -> None:
    """rich reads `[...]` as markup, drops it, or fails on a closing tag that was never opened."""

    def action(out: Output) -> None:
        out.data(text, text)
        out.text(text)
        out.table([{text: text}])
        out.say(text)
        out.hint(text)

    result = run(action)
    assert result.stdout.count(text) == 4
    assert result.stderr.count(text) == 2


def test_text_is_not_wrapped_and_gets_no_line_break() -> None:
    long = "字" * 500 + " " + "word " * 100
    assert run(lambda out: out.text(long)).stdout == long


def test_long_cells_are_kept_whole() -> None:
    cell = "x" * 300
    out = run(lambda out: out.table([{"a": cell, "b": 1}])).stdout
    assert out.count("x") == 300


def test_a_progress_bar_is_silent_where_there_is_no_terminal() -> None:
    def action(out: Output) -> None:
        for download in (True, False):
            with out.progress(download=download) as progress:
                task = progress.add_task("x", total=2)
                progress.advance(task)

    result = run(action)
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, "–"),
        ("x", "x"),
        (3, "3"),
        (True, "true"),
        (0.05678, "0.0568"),
        (12.345, "12.3"),
        (["臺"], '["臺"]'),
    ],
)
def test_cells(value: Any, cell: str) -> None:
    assert run(lambda out: out.table([{"k": value}])).stdout.split() == ["k", cell]


def test_columns_are_chosen_in_order() -> None:
    assert columns([{"a": 1, "b": 2, "c": 3}, {"b": 4}], ["b", "a"]) == [
        {"b": 2, "a": 1},
        {"b": 4, "a": None},
    ]


def test_text_is_printed_to_the_character() -> None:
    """rich expands tabs and drops carriage returns; a rendered prompt must be its very bytes."""
    words = "a\tb\r\n c  \n\n"
    assert run(lambda out: out.text(words)).stdout_bytes.decode() == words


def test_no_word_of_a_remark_or_a_table_steers_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A server's error and a model's answer are shown to people by every command."""
    out = Output()
    out.say("say \x1b]0;owned\x07")
    out.hint("hint \x1b[2J")
    out.table([{"answer\x1b[1A": "cell \x1b[31m", "n": 1}], title="t\u202eitle")
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert "␛[31m" in shown.out and "␛[2J" in shown.err
