"""The report for people, line by line, and how claims are put together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.card.checks.finding import CODES, Finding, found
from formosa.card.verify import Report
from formosa.cli.card_report import ROWS, report_lines, verdict

PATH = Path("README.md")


@pytest.fixture(autouse=True)
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def lines(*findings: Finding, claims: int = 0, claimed: bool = False) -> list[str]:
    return list(report_lines(PATH, Report(findings, claims, 0), claimed=claimed))


def claim(line: int, where: str, check: str = "") -> Finding:
    return found("number-without-claim", line, where, "1.5 has no log.", check=check)


def test_a_card_about_which_nothing_is_to_be_said() -> None:
    assert lines() == ["README.md: verified: 0 errors, 0 warnings, 0 notes; 0 claims, of which "
                       "0 supported"]  # fmt: skip


@pytest.mark.parametrize(
    ("codes", "claims", "supported", "words"),
    [
        ([], 3, 3, "verified: "),
        (["key-unknown"], 3, 3, "verified: 0 errors, 1 warning, 0 notes"),
        ([], 3, 2, "nothing wrong, but not every figure has a source: "),
        (["verified"], 3, 3, "NOT verified: 1 error, "),
        (["verified", "verified", "code-ran"], 1, 0, "NOT verified: 2 errors, 0 warnings, 1 note; "
                                                     "1 claim, of which 0 supported"),
    ],
)  # fmt: skip
def test_the_last_line(codes: list[str], claims: int, supported: int, words: str) -> None:
    findings = tuple(found(code, 1, "x", "y") for code in codes)
    assert verdict(Report(findings, claims, supported)).startswith(words)


def test_a_finding_has_its_line_code_place_and_sentence() -> None:
    made = lines(found("license-link", 7, "licence", "It leads elsewhere."))
    assert made[:4] == [
        "warnings (1)",
        "  line 7 · license-link · licence",
        "      It leads elsewhere.",
        "",
    ]
    assert "  license-link · licence" in lines(found("license-link", 0, "licence", "x"))


def test_long_sentences_are_wrapped_and_commands_are_not() -> None:
    command = "formosa eval run " + "x" * 200
    made = lines(
        found("license-link", 7, "licence", "word " * 60),
        claim(9, "table 1: m: s", command),
    )
    assert all(len(line) <= 100 for line in made if "formosa eval" not in line)
    assert f"      to check: {command}" in made


def test_severities_come_in_their_order_and_lines_within() -> None:
    made = lines(
        found("code-ran", 1, "n", "."),
        found("key-unknown", 9, "w2", "."),
        found("verified", 5, "e", "."),
        found("key-unknown", 2, "w1", "."),
    )
    heads = [line for line in made if line.endswith(")") and not line.startswith(" ")]
    assert heads == ["errors (1)", "warnings (2)", "notes (1)"]
    assert made.index("  line 2 · key-unknown · w1") < made.index("  line 9 · key-unknown · w2")


def test_claims_of_one_row_are_one_entry() -> None:
    made = lines(
        claim(3, "table 1: m · box: A", "ask a"),
        claim(3, "table 1: m · box: B", "ask b"),
        claim(3, "table 1: m · box: C", "ask a"),
        claim(4, "table 1: n: A"),
        found("model-index-without-claim", 3, "model-index: d · e", "1.5 has no log."),
        claims=5,
    )
    assert made[:10] == [
        "claimed: nothing here supports these, and nothing contradicts them (5)",
        "  line 3 · table 1: m · box",
        "      A 1.5; B 1.5; C 1.5",
        "      to check: ask a",
        "      to check: ask b",
        "  line 3 · model-index",
        "      d · e 1.5",
        "  line 4 · table 1: n",
        "      A 1.5",
        "",
    ]


def test_claimed_lists_every_figure() -> None:
    made = lines(claim(3, "t: A"), claim(3, "t: B"), claims=2, claimed=True)
    assert sum("number-without-claim" in line for line in made) == 2
    assert sum("1.5 has no log." in line for line in made) == 2


def test_rows_beyond_those_that_anybody_reads_are_counted() -> None:
    made = lines(*(claim(i, f"t: r{i}: A") for i in range(ROWS + 7)))
    assert "  … and 7 more rows" in made
    every = lines(*(claim(i, f"t: r{i}: A") for i in range(ROWS + 7)), claimed=True)
    assert not any("more rows" in line for line in every)


@given(st.text())
def test_a_strangers_words_stay_in_their_lines(words: str) -> None:
    """No newline of theirs begins a line of ours."""
    made = lines(found("license-link", 7, "licence", words))
    assert all(line.startswith("      ") for line in made[2 : made.index("")])
    assert not any("\x1b" in line for line in made)


def test_each_code_has_a_finding_of_its_severity() -> None:
    for code, (severity, _) in CODES.items():
        assert found(code, 0, "x", "y").severity == severity
