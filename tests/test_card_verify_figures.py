"""Figures of anybody's card: units, means, agreement of table, text and model-index, and logs."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from card_foreign import CARD, changed, check, codes, line_of, only, wrong
from card_run import write_log
from formosa.card.checks.agreement import own_figures
from formosa.card.checks.benchmarks import benchmark_of, task_benchmark, tasks_of
from formosa.card.checks.numbers import figure, half_unit, of_float, same
from formosa.card.checks.protocol import protocol_of
from formosa.card.verify import read_subject
from formosa.errors import CardError

OWN = "(ours) | box | 41.23 | 52.50 | 3 |"

# -- reading figures ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "value", "decimals", "deviation"),
    [
        ("44.11 (±0.0179)", "44.11", 2, "0.0179"),
        ("**91**", "91", 0, None),
        ("44.1 ± 1.2", "44.1", 1, "1.2"),
        ("44.1 +/- 1.2 %", "44.1", 1, "1.2"),
        ("1,240", "1240", 0, None),
        ("−3.5", "-3.5", 1, None),
        ("50.0 %", "50.0", 1, None),
        ("🏆 61.20", "61.20", 2, None),
    ],
)
def test_cells_that_are_figures(
    cell: str, value: str, decimals: int, deviation: str | None
) -> None:
    number = figure(cell)
    assert number is not None
    assert (number.value, number.decimals) == (Decimal(value), decimals)
    assert number.deviation == (None if deviation is None else Decimal(deviation))


@pytest.mark.parametrize(
    "cell", ["", "box", "Llama-3.2-3B", "2024-07-18", "1.2.3", "–", "12 of 40", "1" * 100, "±1"]
)
def test_cells_that_are_none(cell: str) -> None:
    assert figure(cell) is None


@given(st.decimals(0, 100, places=2), st.integers(0, 2))
def test_a_number_is_the_same_as_its_rounding(value: Decimal, digits: int) -> None:
    rounded = round(value, digits)
    assert same(value, 2, rounded, digits)
    assert not same(value, 2, rounded + 4 * half_unit(digits), digits)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(44.11, ("44.11", 2)), (91, ("91", 0)), (50.0, ("50.0", 0)), (1e-07, ("0.000000", 6))],
)
def test_numbers_of_a_front_matter(value: float, shown: tuple[str, int]) -> None:
    assert of_float(value) == (Decimal(shown[0]), shown[1])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("TMMLU+(%)", "tmmluplus"),
        ("ikala/tmmluplus", "tmmluplus"),
        ("MMLU(%)", "mmlu"),
        ("MMLU-Pro", "?mmlupro"),
        ("台灣法律(%)", "tw-legal"),
        ("tw-legal-benchmark-v1", "tw-legal"),
        ("AST Accuracy (P.M.)", "bfcl-parallel-multiple"),
        ("AST Accuracy (P.)", "bfcl-parallel"),
        ("MATH-500", "math-500"),
        ("GPQA Diamond", "gpqa-diamond"),
        ("CMMLU", "?cmmlu"),
        ("", ""),
        ("–", ""),
    ],
)
def test_which_benchmark_a_head_is_about(text: str, name: str) -> None:
    assert benchmark_of(text) == name


def test_tasks_of_benchmarks() -> None:
    assert tasks_of("tmmluplus") == ("tmmluplus",)
    assert tasks_of("?cmmlu") == ()
    assert task_benchmark("tmmluplus-twinkle-box") == "tmmluplus"
    assert task_benchmark("bfcl-parallel-multiple") == "bfcl-parallel-multiple"
    assert task_benchmark("tw-legal-logit") == "tw-legal"


# -- units --------------------------------------------------------------------------------------


def test_a_deviation_in_another_unit_than_its_value(tmp_path: Path) -> None:
    """44.11 (±0.0179) on the F1 cards: per cent, and a share of 1."""
    text = changed(OWN, "(ours) | box | 41.23 (±0.0179) | 52.50 (±0.0189) | 3 |")
    finding = only(check(tmp_path, text), "plus-minus-unit")
    assert "2 cells" in finding.message
    assert "±1.79 points" in finding.message
    assert "Twinkle" in finding.message
    assert finding.line == line_of("(ours) | box")
    assert codes(check(tmp_path, text)) == {"plus-minus-unit"}


@pytest.mark.parametrize("cell", ["41.23 (±1.79)", "41.23 (±0.05)", "41.23 (±0)", "0.41 (±0.0179)"])
def test_a_deviation_in_its_values_unit_is_fine(tmp_path: Path, cell: str) -> None:
    head = "TMMLU+" if cell.startswith("0.") else "TMMLU+(%)"
    text = changed("TMMLU+(%)", head, changed("| 41.23 |", f"| {cell} |"))
    assert "plus-minus-unit" not in codes(check(tmp_path, text))


def test_more_than_a_hundred_per_cent(tmp_path: Path) -> None:
    text = changed("| 50.10 |", "| 501.0 |")
    finding = only(check(tmp_path, text), "value-above-100")
    assert (finding.severity, finding.line) == ("error", line_of("| Other-7B"))
    assert "value-above-100" not in codes(check(tmp_path, changed("| 3 |", "| 300 |")))


def test_decimals_that_differ_in_a_column_are_a_note(tmp_path: Path) -> None:
    finding = only(check(tmp_path, changed("| 50.10 |", "| 50.1 |")), "decimals-differ")
    assert finding.severity == "note"
    assert "1 to 2 decimals" in finding.message


# -- means --------------------------------------------------------------------------------------


def means(tmp_path: Path, *rows: str, head: str = "Overall") -> list[tuple[str, str]]:
    table = f"\n| Model | {head} | A | B | C | D |\n|---|---|---|---|---|---|\n" + "\n".join(rows)
    report = check(tmp_path, CARD + table + "\n")
    return [(f.code, f.message) for f in report.findings if f.code.startswith("mean-")]


def test_a_mean_that_is_one_says_nothing(tmp_path: Path) -> None:
    assert means(tmp_path, "| m | 50 | 40 | 60 | 45 | 55 |", "| n | 1.5 | 1 | 2 | 1 | 2 |") == []


def test_a_mean_that_fits_by_rounding_only(tmp_path: Path) -> None:
    """F1: 91 against 93, 95, 91, 87, whose mean is 91.5."""
    ((code, message),) = means(tmp_path, "| m | 91 | 93 | 95 | 91 | 87 |")
    assert code == "mean-rounding"
    assert "91.5" in message
    assert "91 to 92" in message


def test_a_mean_that_is_something_else(tmp_path: Path) -> None:
    ((code, message),) = means(tmp_path, "| m | 57 | 56 | 54 | 49 | 35 |")
    assert code == "mean-differs"
    assert "48.5" in message


def test_a_column_that_means_two_things(tmp_path: Path) -> None:
    """Three rows of F1's table come from a paper whose “overall” counts more categories."""
    found = means(tmp_path, "| m | 91 | 93 | 95 | 91 | 87 |", "| n | 57 | 56 | 54 | 49 | 35 |")
    assert [code for code, _ in found] == ["mean-mixed", "mean-rounding", "mean-differs"]
    assert "1 rows" in found[0][1]


@pytest.mark.parametrize("head", ["Average", "平均", "Avg.", "整體準確率", "Overall Accuracy"])
def test_columns_that_call_themselves_a_mean(tmp_path: Path, head: str) -> None:
    assert means(tmp_path, "| m | 57 | 56 | 54 | 49 | 35 |", head=head) != []


def test_a_row_with_a_gap_has_no_mean(tmp_path: Path) -> None:
    assert means(tmp_path, "| m | 57 | 56 | – | 49 | 35 |", "| n | 57 | 57 | 57 | 57 | 57 |") == []


@settings(deadline=None, max_examples=30)  # the machine may be busy
@given(st.lists(st.integers(0, 100), min_size=4, max_size=4))
def test_the_rounded_mean_of_whole_cells_never_differs(cells: list[int]) -> None:
    """Whatever way it was rounded."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        for shown in {sum(cells) // 4, round(sum(cells) / 4), -(-sum(cells) // 4)}:
            row = f"| m | {shown} | {' | '.join(map(str, cells))} |"
            assert "mean-differs" not in dict(means(Path(folder), row))


# -- table, text and model-index ----------------------------------------------------------------


def test_a_table_that_says_other_than_the_model_index(tmp_path: Path) -> None:
    text = changed("| 41.23 |", "| 43.21 |")
    finding = only(check(tmp_path, text), "index-and-table-differ")
    assert finding.severity == "error"
    assert "41.23" in finding.message
    assert f"43.21 (line {line_of('(ours) | box')})" in finding.message


@pytest.mark.parametrize("value", ["41.2", "41.23", "41.234", "41.230", "41"])
def test_a_rounded_value_agrees(tmp_path: Path, value: str) -> None:
    assert codes(check(tmp_path, changed("value: 41.23", f"value: {value}"))) == set()


def test_a_share_of_one_beside_per_cent(tmp_path: Path) -> None:
    assert codes(check(tmp_path, changed("value: 41.23", "value: 0.4123"))) == {"index-unit"}


def test_one_of_several_own_rows_must_agree(tmp_path: Path) -> None:
    """A model asked in two ways has two rows, and one entry."""
    second = "\n| Tiny-3B-Instruct (ours) | pattern | 48.00 | 55.00 | 3 |"
    assert codes(check(tmp_path, changed(OWN, OWN + second))) == set()


def test_an_entry_that_no_table_shows(tmp_path: Path) -> None:
    text = changed("name: mmlu\n", "name: cmmlu\n").replace("cais/mmlu", "x/cmmlu")
    finding = only(check(tmp_path, text), "index-not-shown")
    assert finding.severity == "note"


def test_the_text_says_another_number(tmp_path: Path) -> None:
    text = changed("Asked with", "It reaches 44.44% on TMMLU+.\n\nAsked with")
    finding = only(check(tmp_path, text), "text-and-table-differ")
    assert finding.line == line_of("It reaches", text)
    assert "41.23" in finding.message


@pytest.mark.parametrize(
    "sentence",
    [
        "It reaches 41.23% on TMMLU+.",
        "It reaches 41.2 on TMMLU+.",
        "Other-7B reaches 77.77% on TMMLU+.",
        "TMMLU+ and MMLU: 11.11 and 22.22.",
        "Version 3.21 of the code asked TMMLU+.".replace("3.21", "3.2.1"),
        "TMMLU+ (2501.13921)",
        "Between 50.10 and us on TMMLU+.",
    ],
)
def test_sentences_that_are_left_alone(tmp_path: Path, sentence: str) -> None:
    assert codes(check(tmp_path, changed("Asked with", f"{sentence}\n\nAsked with"))) == set()


def test_a_score_in_the_text_alone_is_claimed(tmp_path: Path) -> None:
    text = changed("Asked with", "GSM8K: 71.50 %\n\nAsked with")
    finding = only(check(tmp_path, text), "text-number")
    assert finding.severity == "claimed"
    assert wrong(check(tmp_path, text)) == []


# -- how to ask again ---------------------------------------------------------------------------


def protocols(tmp_path: Path, text: str = CARD) -> dict[str, str]:
    (tmp_path / "README.md").write_text(text)
    card, _ = read_subject(tmp_path / "README.md")
    made = {shown.head: protocol_of(card, shown) for shown in own_figures(card)}
    return {head: protocol.command() if protocol else "" for head, protocol in made.items()}


def test_the_protocol_is_read_from_the_card(tmp_path: Path) -> None:
    commands = protocols(tmp_path)
    assert commands["TMMLU+(%)"] == (
        "formosa eval run tmmluplus-twinkle-box --base-url URL --repeats 3 --top-p 0.9 "
        "--max-tokens 4096"
    )
    assert commands["AST (M.)"] == "formosa eval run bfcl-multiple --base-url URL"
    assert commands["測試次數"] == commands["Overall"] == ""


def test_pattern_and_another_harness(tmp_path: Path) -> None:
    text = changed("(ours) | box |", "(ours) | pattern |")
    assert "mmlu-twinkle-pattern" in protocols(tmp_path, text)["MMLU(%)"]
    text = text.replace("Twinkle Eval", "lm-eval").replace("ai-twinkle/Eval", "x/y")
    assert (
        protocols(tmp_path, text)["MMLU(%)"] == "formosa eval run mmlu --base-url URL --repeats 3"
    )


def test_a_claimed_figure_says_what_would_check_it(tmp_path: Path) -> None:
    findings = [f for f in check(tmp_path).findings if f.code == "number-without-claim"]
    own = [f for f in findings if "ours" in f.where and "TMMLU" in f.where]
    assert "tmmluplus-twinkle-box" in own[0].check
    assert not any(f.check for f in findings if "Other-7B" in f.where)


# -- logs ---------------------------------------------------------------------------------------


def log(
    folder: Path, letters: str, task: str = "bfcl-simple", model: str = "Tiny-3B-Instruct",
    scorer: str = "ast",
) -> Path:  # fmt: skip
    """A log of 400 questions planned; the letters repeat until there are so many asked."""
    path = folder / "logs" / f"{model}-{task}.jsonl"
    write_log(path, task=task, model=model, outcomes={scorer: [letters]})
    return folder / "logs"


def test_a_whole_log_supports_a_figure(tmp_path: Path) -> None:
    """92 in the table, 368 of 400 in the log."""
    logs = log(tmp_path, "C" * 368 + "W" * 32)
    report = check(tmp_path, logs=logs)
    finding = only(report, "log-supports")
    assert "92" in finding.message
    assert report.supported == 1
    assert report.claims == 11
    claimed = [f.where for f in report.findings if f.code == "number-without-claim"]
    assert not any("AST (S.)" in where for where in claimed)


def test_a_whole_log_that_says_another_number_is_an_error(tmp_path: Path) -> None:
    report = check(tmp_path, logs=log(tmp_path, "C" * 300 + "W" * 100))
    finding = only(report, "log-differs")
    assert finding.severity == "error"
    assert "75.00" in finding.message
    assert report.supported == 0


def test_a_log_of_a_part_can_not_support(tmp_path: Path) -> None:
    finding = only(check(tmp_path, logs=log(tmp_path, "C" * 23 + "W" * 2)), "log-partial")
    assert "25 of 400 questions" in finding.message
    assert wrong(check(tmp_path, logs=tmp_path / "logs")) == []


def test_an_entry_of_the_model_index_follows_from_a_log_too(tmp_path: Path) -> None:
    text = changed("value: 52.5", "value: 52.25").replace("| 52.50 |", "| 52.25 |")
    logs = log(tmp_path, "C" * 209 + "W" * 191, "mmlu-twinkle-box", scorer="box")
    report = check(tmp_path, text, logs)
    assert [f.code for f in report.findings if f.code.startswith("log-")] == ["log-supports"] * 2
    assert report.supported == 2
    assert "model-index-without-claim" in codes(report, "claimed")


@pytest.mark.parametrize(
    ("task", "model"), [("bfcl-simple", "Other-7B"), ("bfcl-java", "Tiny-3B-Instruct")]
)
def test_logs_of_others_say_nothing(tmp_path: Path, task: str, model: str) -> None:
    report = check(tmp_path, logs=log(tmp_path, "C" * 400, task, model))
    assert not any(f.code.startswith("log-") for f in report.findings)


def test_a_log_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    logs = log(tmp_path, "C" * 400)
    (logs / "broken.jsonl").write_text('{"type": "start"}\n')
    (logs / "other.jsonl").write_text("[1]\n")
    assert "log-unreadable" in codes(check(tmp_path, logs=logs), "warning")


def test_logs_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="does not exist"):
        check(tmp_path, logs=tmp_path / "nothing")


def test_a_row_of_pattern_is_not_measured_by_the_box_scorer(tmp_path: Path) -> None:
    """One log of ours holds both readings; the row says which it is."""
    path = tmp_path / "logs/x.jsonl"
    box, pattern = "C" * 100 + "W" * 300, "C" * 200 + "W" * 200
    write_log(path, task="tmmluplus", model="Tiny-3B-Instruct",
              outcomes={"box": [box], "pattern": [pattern]})  # fmt: skip
    text = changed("(ours) | box | 41.23", "(ours) | pattern | 50.00").replace("41.23", "50.00")
    report = check(tmp_path, text, tmp_path / "logs")
    supports = [f for f in report.findings if f.code == "log-supports"]
    assert all("(pattern, 50.00)" in f.message for f in supports)
    boxed = changed("(ours) | box | 41.23", "(ours) | box | 50.00").replace("41.23", "50.00")
    report = check(tmp_path, boxed, tmp_path / "logs")
    differs = only(report, "log-differs")
    assert "box 25.00 (" in differs.message
    assert "pattern" not in differs.message


def test_an_interrupted_log_supports_nothing(tmp_path: Path) -> None:
    folder = log(tmp_path, "C" * 368 + "W" * 32)
    (path,) = folder.glob("*.jsonl")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    finding = only(check(tmp_path, logs=folder), "log-partial")
    assert "interrupted, 400 answers" in finding.message


def test_the_best_of_several_logs_counts(tmp_path: Path) -> None:
    """An old log beside a good one is no contradiction."""
    folder = log(tmp_path, "C" * 368 + "W" * 32)
    write_log(folder / "old.jsonl", task="bfcl-simple", model="Tiny-3B-Instruct",
              outcomes={"ast": ["C" * 100 + "W" * 300]})  # fmt: skip
    codes_found = [f.code for f in check(tmp_path, logs=folder).findings]
    assert "log-supports" in codes_found
    assert "log-differs" not in codes_found


def test_one_log_may_be_named_instead_of_a_folder(tmp_path: Path) -> None:
    (path,) = log(tmp_path, "C" * 368 + "W" * 32).glob("*.jsonl")
    assert check(tmp_path, logs=path).supported == 1


@pytest.mark.parametrize("text", ["C", "CWUTF"])
def test_a_tiny_log_is_a_part_of_a_benchmark(tmp_path: Path, text: str) -> None:
    report = check(tmp_path, logs=log(tmp_path, text))
    assert only(report, "log-partial").severity == "note"


def test_a_log_of_another_shape_says_nothing(tmp_path: Path) -> None:
    folder = log(tmp_path, "C" * 368 + "W" * 32)
    (path,) = folder.glob("*.jsonl")
    path.write_text(path.read_text().replace('"plan": {', '"plan": [], "was": {', 1))
    found = [f.code for f in check(tmp_path, logs=folder).findings if f.code.startswith("log-")]
    assert set(found) <= {"log-unreadable"}
