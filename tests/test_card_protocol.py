"""How a card asked, read from its rows and words; and that checks are what their list says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from card_foreign import CARD, changed
from formosa.card import checks
from formosa.card.checks.agreement import own_figures
from formosa.card.checks.protocol import MOST_REPEATS, Protocol, protocol_of, twinkle
from formosa.card.checks.subject import Subject
from formosa.card.verify import CHECKS, read_subject
from formosa.evals.registry import TASKS


def subject(folder: Path, text: str = CARD) -> Subject:
    (folder / "README.md").write_text(text)
    return read_subject(folder / "README.md")[0]


def protocol(folder: Path, head: str, text: str = CARD) -> Protocol:
    card = subject(folder, text)
    (shown,) = [shown for shown in own_figures(card) if shown.head == head]
    made = protocol_of(card, shown)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("head", "task"),
    [
        ("TMMLU+(%)", "tmmluplus-twinkle-box"),
        ("MMLU(%)", "mmlu-twinkle-box"),
        ("台灣法律(%)", "tw-legal-twinkle-box"),
        ("MATH-500", "math-500"),
        ("GPQA Diamond", "gpqa-diamond"),
        ("GSM8K", "gsm8k"),
        ("AST Accuracy (S.)", "bfcl-simple"),
        ("AST Accuracy (P.M.)", "bfcl-parallel-multiple"),
        ("AST Accuracy (Parallel)", "bfcl-parallel"),
    ],
)
def test_every_benchmark_of_the_published_cards_has_a_task(
    tmp_path: Path, head: str, task: str
) -> None:
    text = CARD.replace("TMMLU+(%)", head) if head != "MMLU(%)" else CARD
    made = protocol(tmp_path, head, text)
    assert made.task == task
    assert made.task in TASKS
    assert made.remark


@pytest.mark.parametrize(("runs", "repeats"), [("3", 3), ("1", 1), ("0", 1), ("2.5", 2), ("x", 1)])
def test_the_number_of_runs(tmp_path: Path, runs: str, repeats: int) -> None:
    text = changed("| 52.50 | 3 |", f"| 52.50 | {runs} |")
    assert protocol(tmp_path, "MMLU(%)", text).repeats == repeats


def test_so_many_runs_that_nobody_would_wait_are_not_taken(tmp_path: Path) -> None:
    text = changed("| 52.50 | 3 |", f"| 52.50 | {MOST_REPEATS + 1} |")
    assert protocol(tmp_path, "MMLU(%)", text).repeats == 1


def test_which_harness_a_card_names(tmp_path: Path) -> None:
    assert twinkle(subject(tmp_path))
    other = CARD.replace("Twinkle Eval", "lighteval").replace("ai-twinkle/Eval", "x/y")
    assert not twinkle(subject(tmp_path, other))


# -- the list of checks -------------------------------------------------------------------------


def test_the_room_of_checks_says_what_is_in_it() -> None:
    folder = Path(checks.__file__).parent
    named = set(re.findall(r"^    (\w+\.py) ", checks.__doc__ or "", re.M))
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert named <= modules
    assert modules - named <= {"benchmarks.py", "numbers.py", "shell.py"}  # what checks share


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_check_gives_the_same_findings_each_time(
    tmp_path: Path, check: Callable[[Subject], object]
) -> None:
    card = subject(tmp_path)
    before = card.text
    first = list(check(card))  # type: ignore[call-overload]
    assert first == list(check(card))  # type: ignore[call-overload]
    assert card.text == before
