"""`formosa card` as people and scripts use it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from card_foreign import changed, write
from card_run import make_run, write_log
from formosa.cli.card import card
from formosa.errors import CardError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def call(*args: str) -> Result:
    """`cli.main` makes the exit code of what `verify` returns; here it is `return_value`."""
    return CliRunner().invoke(card, args, standalone_mode=False)


def test_write_then_verify(run: Path) -> None:
    result = call("write", str(run))
    assert result.exit_code == 0
    assert "figures, each with its source" in result.stdout
    assert f"formosa card verify {run / 'README.md'}" in result.stderr
    result = call("verify", str(run))  # a run folder means its card
    assert (result.return_value, result.stderr) == (0, "")
    assert ": verified: 0 errors, 0 warnings, 0 notes; " in result.stdout


def test_a_card_with_an_error_exits_1(run: Path) -> None:
    call("write", str(run))
    path = run / "README.md"
    path.write_text(path.read_text().replace("trained | 75.0 [", "trained | 95.0 [", 1))
    result = call("verify", str(path))
    assert result.return_value == 1
    assert "text-differs · scores: bfcl-simple · ast · trained" in result.stdout
    assert "NOT verified: 1 error, 0 warnings, 0 notes" in result.stdout
    result = call("verify", str(path), "--json")
    assert result.return_value == 1
    value = json.loads(result.stdout)
    assert (value["passed"], value["counts"]["error"]) == (False, 1)
    assert 0 < value["claims"]["supported"] < value["claims"]["total"]
    finding = value["findings"][0]
    assert set(finding) == {"code", "severity", "where", "message", "line", "check"}
    assert finding["code"] == "text-differs"
    assert "95.0" in path.read_text().split("\n")[finding["line"] - 1]


def test_claimed_figures_are_put_together_by_row(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        "---\nlicense: mit\nlanguage: zh\n---\n| m | s | t |\n|---|---|---|\n| a | 1.5 | 7 |\n"
    )
    result = call("verify", str(path))
    assert result.return_value == 0
    # A card whose figures rest on nothing is not called verified.
    assert "nothing wrong, but not every figure has a source" in result.stdout
    assert "2 claims, of which 0 supported" in result.stdout
    assert "  line 7 · table 1: a\n      s 1.5; t 7\n" in result.stdout
    assert "--claimed" in result.stderr
    result = call("verify", str(path), "--claimed")
    assert "line 7 · number-without-claim · table 1: a: s\n      1.5 has no log." in result.stdout
    assert result.stderr == ""


def test_the_report_is_grouped_by_severity_then_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, changed("--port 8001", "--prot 1").replace("c30699e8356d", "c30"))
    out = call("verify", str(path)).stdout
    places = [out.index(word) for word in ("errors (1)", "warnings (1)", "notes (", "claimed: ")]
    assert places == sorted(places)
    claimed = out.split("claimed: ")[1].split("\n")
    lines = [int(line.split()[1]) for line in claimed if line.startswith("  line ")]
    assert lines == sorted(lines)
    assert claimed[-2].endswith("11 claims, of which 0 supported")


def test_many_rows_of_claims_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    rows = "".join(f"| m{i} | {i}.5 |\n" for i in range(100))
    path.write_text(f"---\nlicense: mit\nlanguage: zh\n---\n| m | s |\n|---|---|\n{rows}")
    assert "… and 60 more rows" in call("verify", str(path)).stdout
    assert "m99" in call("verify", str(path), "--claimed").stdout


def test_logs_support_a_foreign_card(tmp_path: Path) -> None:
    path = write(tmp_path)
    log = tmp_path / "logs/x.jsonl"
    letters = "C" * 368 + "W" * 32
    write_log(log, task="bfcl-simple", model="Tiny-3B-Instruct", outcomes={"ast": [letters]})
    value = json.loads(call("verify", str(path), "--logs", str(log.parent), "--json").stdout)
    assert value["claims"] == {"total": 11, "supported": 1}
    assert value["model"] == "example/Tiny-3B-Instruct"


def test_asking_again_needs_somebody_to_ask(tmp_path: Path) -> None:
    result = call("verify", str(write(tmp_path)), "--rerun")
    assert isinstance(result.exception, click.UsageError)
    assert "--base-url" in result.exception.message


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
