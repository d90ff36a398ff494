"""Cards that mean harm: whatever stands in one is a finding or a sentence, in linear time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from card_foreign import BODY, CARD, HEAD, check, codes
from formosa.card import verify as module
from formosa.card.checks.finding import Finding, found
from formosa.card.checks.subject import Subject
from formosa.card.values import MAX_CARD
from formosa.card.verify import MOST, check_card, read_subject
from formosa.errors import CardError

BOMB = "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b, *b]\n"


@pytest.mark.parametrize(
    "head",
    [
        BOMB,
        "a: " + "[" * 5_000 + "]" * 5_000,
        "a: " + "{a: " * 5_000,
        "license: !!python/object/apply:os.system [echo]",
        "license: [[[mit]]]\nlanguage: {a: b}\nbase_model: 7\ndatasets: [1, null]",
        "model-index: [{name: x, results: [{task: 1}]}]",
        "model-index: [[[]]]",
        "license: \x07",
        "? [a, b]\n: c",
        "1: 2\nnull: x\ntrue: y",
        "model-index:\n- name: 7\n  results:\n  - task: {type: a}\n    dataset: {type: 7, name: 8, "
        "revision: [1]}\n    metrics:\n    - {type: 9, value: [1], verified: maybe}",
    ],
)
def test_front_matter_that_means_harm(tmp_path: Path, head: str) -> None:
    """The rest of the card is still checked."""
    report = check(tmp_path, f"---\n{head}\n---\n{BODY}")
    assert report.findings
    assert "number-without-claim" in codes(report, "claimed")


PIECES = [
    "| a | b |\n|---|---|\n| 1 | 2 |\n", "```python\n", "```", "```bash\nvllm serve ", "--flag",
    "<!--", "-->", "<a href='", "[x](", "https://huggingface.co/a/b", "\x1b[2J", "\u202e", "\0",
    "44.11 (±0.0179)", "(ours)", "TMMLU+", "@misc{x, title = {", "\\url{", "'", '"', "\\\n", "$ ",
    "tool_calls[0]", "zip(", "**json.loads(", "\n", " ", "# Model Card for A-1", "{%", "🌟",
    "---\n", "<<EOF\n", "Function(arguments='", "name='f'", "license", "base model",
    "formosa:claims",
]  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_any_mixture_of_what_checks_look_for(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for card in (text, HEAD + text):
        report = check(folder, card)
        assert all(0 <= f.line <= card.count("\n") + 2 for f in report.findings)
        assert not any(f.code == "check-failed" for f in report.findings)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_any_change_of_a_whole_card(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut, doubled or with something in the middle."""
    start = data.draw(st.integers(0, len(CARD)))
    end = data.draw(st.integers(start, len(CARD)))
    middle = data.draw(st.sampled_from([*PIECES, CARD[start:end] * 2, ""]))
    check(tmp_path_factory.getbasetemp(), CARD[:start] + middle + CARD[end:])


@pytest.mark.parametrize(
    "text",
    [
        "# " + " " * 400_000 + "x",
        "#" * 400_000,
        "[" * 400_000,
        "[a](" * 100_000,
        "![a](" * 100_000,
        "<a " * 130_000,
        "<a href " * 50_000,
        "`" * 400_000,
        "https://" * 50_000,
        "44.1 " * 80_000 + "TMMLU+",
        "(±" * 200_000,
        ("| " + "9" * 60 + " ") * 6_000,
        "```python\n" + "(" * 200_000,
        "```python\n" + "x = " + "-" * 100_000 + "1\n```",
        "```json\n" + "[" * 200_000 + "\n```",
        "```jinja\n" + "{% if x %}" * 5_000 + "\n```",
        "```jinja\n{{ " + "(" * 50_000 + "\n```",
        "```yaml\n" + "- " * 50_000 + "\n```",
        "```bash\n" + "vllm serve " + "--a " * 40_000 + "\n```",
        "```bash\n" + "vllm serve x --a\n" * 20_000 + "```",
        "```text\n" + "Function(arguments='" * 10_000 + "\n```",
        "```bibtex\n" + "@misc{" * 60_000 + "\n```",
        "```python\n" + "a.tool_calls[0]\n" * 10_000 + "```",
        "base model [a](https://huggingface.co/a/b)\n" * 8_000,
        "license mit\n" * 30_000,
        "> " * 200_000,
        "| a | overall | b | c |\n|---|---|---|---|\n" + "| m | 9 | 1 | 2 |\n" * 20_000,
        "| a | b |\n|---|---|\n| m | 500% |\n\n" * 8_000,
    ],
    ids=lambda text: f"{text[:24]!r} and {len(text)} more",
)
def test_what_grows_is_read_in_linear_time(tmp_path: Path, text: str) -> None:
    """A card of half a megabyte; MAX_CARD is sixteen times that."""
    began = time.process_time()
    report = check(tmp_path, HEAD + text)
    assert time.process_time() - began < 15
    counts = [f.code for f in report.findings if f.severity != "claimed"]
    assert all(counts.count(code) <= MOST + 1 for code in set(counts))


def test_a_card_that_is_too_large_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"x" * (MAX_CARD + 1))
    with pytest.raises(CardError, match="too large"):
        read_subject(tmp_path / "README.md")


def test_more_findings_than_anybody_reads_are_counted(tmp_path: Path) -> None:
    text = HEAD + "| m | accuracy |\n|---|---|\n" + "| a | 500 |\n" * (MOST + 50)
    report = check(tmp_path, text)
    shown = [f for f in report.findings if f.code == "value-above-100"]
    (left_out,) = [f for f in report.findings if f.code == "too-many"]
    assert len(shown) == MOST
    assert left_out.severity == "error"
    assert "value-above-100" in left_out.message


def test_a_check_that_goes_too_deep_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deep(card: Subject) -> list[Finding]:
        return deep(card)

    def last(card: Subject) -> list[Finding]:
        return [found("code-ran", 0, "x", "reached")]

    monkeypatch.setattr(module, "CHECKS", (deep, last))
    (tmp_path / "README.md").write_text(CARD)
    report = check_card(*read_subject(tmp_path / "README.md"))
    assert [f.code for f in report.findings] == ["check-failed", "code-ran"]
