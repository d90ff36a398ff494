"""`formosa card` as people and scripts use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from card_run import make_run
from formosa.cli.card import card
from formosa.errors import CardError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def call(*args: str) -> Result:
    return CliRunner().invoke(card, args)


def test_write_then_verify(run: Path) -> None:
    result = call("write", str(run))
    assert result.exit_code == 0
    assert "figures, each with its source" in result.stdout
    assert f"formosa card verify {run / 'README.md'}" in result.stderr
    result = call("verify", str(run))  # a run folder means its card
    assert (result.exit_code, result.stderr) == (0, "")
    assert "verified (0 error, 0 warning, 0 claimed)" in result.stdout


def test_a_card_with_an_error_exits_1(run: Path) -> None:
    call("write", str(run))
    path = run / "README.md"
    path.write_text(path.read_text().replace("trained | 75.0 [", "trained | 95.0 [", 1))
    result = call("verify", str(path))
    assert result.exit_code == 1
    assert "error text-differs: scores: bfcl-simple · ast · trained" in result.stdout
    assert "NOT verified (1 error, 0 warning, 0 claimed)" in result.stdout
    result = call("verify", str(path), "--json")
    assert result.exit_code == 1
    value = json.loads(result.stdout)
    assert (value["passed"], value["counts"]["error"]) == (False, 1)
    assert value["findings"][0]["code"] == "text-differs"
    assert set(value["findings"][0]) == {"code", "severity", "where", "message"}


def test_claimed_figures_are_counted_and_listed_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        "---\nlicense: mit\nlanguage: zh\n---\n| m | s |\n|---|---|\n| a | 1.5 |\n| b | 2 |\n"
    )
    result = call("verify", str(path))
    assert result.exit_code == 0
    # A card whose figures rest on nothing is not called verified.
    assert (
        "nothing wrong, but not every figure has a source (0 error, 0 warning, 2" in result.stdout
    )
    assert "1.5" not in result.stdout
    assert "--claimed" in result.stderr
    result = call("verify", str(path), "--claimed")
    assert "claimed number-without-claim: table 1: a: s: 1.5 has no log." in result.stdout
    assert result.stderr == ""


def test_a_strangers_card_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        '---\nlicense: "\\e[31mred\\ud800"\nwhen: 2026-01-01\n---\n'
        "| \x1b]0;title\x07 | s |\n|---|---|\n| \x1b[2J | 1.5 |\n"
    )
    for args in (["show"], ["show", "--json"], ["verify", "--claimed"], ["verify", "--json"]):
        result = call(args[0], str(path), *args[1:])
        assert not isinstance(result.exception, UnicodeError)
        assert "\x1b" not in result.output
        assert "\\u001b" not in result.output


def test_what_is_no_card_is_a_sentence(tmp_path: Path) -> None:
    for args in (["verify", "missing.md"], ["show", "missing.md"], ["write", str(tmp_path)]):
        error = call(*args).exception
        assert isinstance(error, CardError)
        assert error.hint
    error = call("verify", str(tmp_path)).exception
    assert isinstance(error, CardError)
    assert "formosa card write" in error.hint


@pytest.mark.parametrize("args", [[], ["write"], ["verify"], ["show"]])
def test_help_begins_with_lines_to_paste(args: list[str]) -> None:
    result = call(*args, "--help")
    assert result.exit_code == 0
    assert "formosa card " in result.output
