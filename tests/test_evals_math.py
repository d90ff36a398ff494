"""Answers of mathematics: what is read from a reply, and whether it is the right one.

The comparisons run in real worker processes; they are skipped where math-verify is missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import formosa.evals.math.task as task_module
from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply, FinishReason
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import DataError, EngineError, UserError
from formosa.evals.hub import Fetched
from formosa.evals.math import worker
from formosa.evals.math.answers import boxed, find_answer, plain, whole_number
from formosa.evals.math.compare import Comparer, Comparison, require, shared
from formosa.evals.math.task import PROMPT, TASKS, Problem, ask, load, score
from formosa.evals.run import run_task
from formosa.evals.task import Sample
from formosa.results.metrics import Outcomes, outcomes

needs_math_verify = pytest.mark.skipif(
    util.find_spec("math_verify") is None, reason="math-verify is not installed"
)


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"Therefore, the final answer is: $\boxed{5}$. I hope it is correct", "5"),
        (r"\boxed{1} no, \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\fbox{7}", "7"),
        (r"\boxed {7}", "7"),
        (r"\boxed{{7}}", "7"),
        (r"\boxed{{1}+{2}}", "{1}+{2}"),
        (r"\boxed{ 7 }", "7"),
        (r"\boxed{6} and then \boxed{}", "6"),
        (r"\boxed{6} and then \boxed{7", "6"),
        (r"\boxed{\boxed{8}}", "8"),
        ("Therefore, the final answer is: $x = 3$. I hope it is correct.", "x = 3"),
        ("The answer is 12.", "12"),
        ("The answer is 11. No!\nThe answer is **13**.", "13"),
        ("2 + 3 = 5\n#### 5", "5"),
        ("答案是：42。", "42"),
        (r"Answer: \(\pi\)", r"\pi"),
    ],
)
def test_the_answer_is_the_last_box_or_what_is_announced(text: str, answer: str) -> None:
    assert find_answer(text).answer == answer


@pytest.mark.parametrize(
    "text",
    ["", "It is 5.", r"\boxed{5", r"\boxed{}", r"the format: $\boxed{ANSWER}$", "The answer is",
     "The answer is $ANSWER$.", r"\boxed{" + "1" * 600 + "}", "{" * 5000 + r"\boxed{"],
)  # fmt: skip
def test_what_is_no_answer_has_a_reason(text: str) -> None:
    found = find_answer(text)
    assert found.answer is None
    assert found.where


@given(st.text(alphabet="\\{}boxed1 $\n", max_size=60))
def test_no_text_makes_the_reading_raise_and_boxes_are_balanced(text: str) -> None:
    find_answer(text)
    for box in boxed(text):
        assert f"{{{box}}}" in text


@pytest.mark.timeout(60)
def test_a_long_reply_takes_time_in_proportion() -> None:
    assert find_answer(r"\boxed{" * 100_000 + "5" + "}" * 100_000).answer == "5"
    assert find_answer("answer is " * 100_000 + "$").where
    assert find_answer("the answer is 5, so the " * 50_000).answer is not None


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        (r"\left( 3, \dfrac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        (r"\$18.90", "18.90"),
        (r"11,\! 111", "11,111"),
        ("5 .", "5"),
    ],
)
def test_what_does_not_change_the_meaning_is_left_out(answer: str, same: str) -> None:
    assert plain(answer) == same


@pytest.mark.parametrize(
    ("answer", "number"),
    [("5", 5), ("-5", -5), ("1,000", 1000), ("12,345,678", 12345678), ("1,00", None),
     ("5.0", None), ("1/2", None), ("٣", None), ("", None), ("1" * 50, None), ("007", 7)],
)  # fmt: skip
def test_whole_numbers_are_known(answer: str, number: int | None) -> None:
    assert whole_number(answer) == number


# --- comparing -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def comparer() -> Iterator[Comparer]:
    made = Comparer(workers=1)
    yield made
    made.close()


def test_equal_texts_and_whole_numbers_need_no_worker() -> None:
    one = Comparer()
    assert one.compare(r"\frac{1}{2}", r"\dfrac{1} {2}") == Comparison(True, "the same text")
    assert one.compare("72", "72.").equal
    assert one.compare("72", "1,072").equal is False
    assert one.pids() == []


@needs_math_verify
@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac{1}{3}", "0.333333", True),
        (r"\frac{1}{3}", "0.333", False),
        (r"3\sqrt{13}", r"\sqrt{117}", True),
        ("x+y", "y+x", True),
        ("p - q", "q - p", False),
        ("6-5i", "6+5i", False),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)", True),
        ("(1,2)", "(2,1)", False),
        (r"[1,\infty)", r"(1,\infty)", False),
        (r"x \le 2", "x < 2", False),
        (r"\text{Evelyn}", "Evelyn", True),
        (r"\text{even}", r"\text{odd}", False),
        ("x=5", "5", True),
        (r"6 \text{ cm}", "6", True),
        # Read as plain expressions, of both only the 1 is seen. We never read them so.
        ("1-1/e", "1+1/e", False),
        (r"1-\frac{1}{e}", r"1+\frac{1}{e}", False),
    ],
)
def test_answers_are_compared_by_what_they_mean(
    comparer: Comparer, gold: str, answer: str, equal: bool
) -> None:
    assert comparer.compare(gold, answer).equal is equal


@needs_math_verify
@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("50", r"50\%", True),  # a percentage is what it is, or a hundredth of it
        ("10", r"10^\circ", True),
        ("A", "a", True),  # case
        (r"2516_8", "2516", True),  # the base of a number
        ("(1,2)", r"\{1,2\}", True),  # an open interval, or a pair, and a set
        ("0.1234567", "0.1234568", True),  # six digits
        ("e", "2.718282", True),
        (r"90^\circ", r"\frac{\pi}{2}", False),  # degrees are not converted
        (r"(-\infty,2)\cup(3,\infty)", "x<2 or x>3", False),
        (r"\text{June 20}", "20", False),
    ],
)
def test_known_errors_of_math_verify_are_still_there(
    comparer: Comparer, gold: str, answer: str, equal: bool
) -> None:
    """Published figures have them in them. A test that fails here means that a new version of
    math-verify scores otherwise: then raise the version of the tasks."""
    assert comparer.compare(gold, answer).equal is equal


@needs_math_verify
def test_a_comparison_that_never_ends_is_ended_and_the_next_one_works(comparer: Comparer) -> None:
    """Inside one machine instruction after another, no exception and no signal handler helps."""
    assert comparer.compare(r"\frac{1}{2}", "0.5").equal
    [before] = comparer.pids()
    found = comparer.compare("5", "9^{9^{9^{9}}}")
    assert found == Comparison(None, "the comparison took more than 5 s of processor time")
    assert comparer.pids() == []
    assert comparer.compare(r"\frac{1}{2}", "0.5").equal
    assert comparer.pids() != [before]


@needs_math_verify
def test_a_worker_that_was_killed_is_replaced(comparer: Comparer) -> None:
    assert comparer.compare(r"\frac{1}{2}", "0.5").equal
    [process] = [one.process for one in comparer._all]
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert comparer.compare(r"\frac{1}{2}", "0.5").equal


@needs_math_verify
def test_threads_share_the_workers() -> None:
    """math-verify itself refuses to run in a thread that is not the main one."""
    comparer = Comparer(workers=2)
    try:
        with ThreadPoolExecutor(6) as pool:
            pairs = [(f"\\frac{{{i}}}{{4}}", str(i / 4)) for i in range(1, 13)]
            found = list(pool.map(lambda pair: comparer.compare(*pair).equal, pairs))
        assert found == [True] * 12
        assert 1 <= len(comparer.pids()) <= 2
        assert threading.current_thread() is threading.main_thread()
    finally:
        comparer.close()
    assert comparer.pids() == []


@needs_math_verify
@pytest.mark.parametrize(
    "answer", ["\\", "}{", "\\frac{", "\x00", "\ud83d", "(" * 300, "\\undefined{x}", "$$", "%"]
)
def test_no_answer_breaks_a_worker(comparer: Comparer, answer: str) -> None:
    assert comparer.compare("5", answer).equal is not True
    assert comparer.compare("5", "10/2").equal


@needs_math_verify
def test_a_worker_gets_none_of_the_persons_keys(
    monkeypatch: pytest.MonkeyPatch, comparer: Comparer
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    comparer.close()
    assert comparer.compare(r"\frac{1}{2}", "0.5").equal
    [pid] = comparer.pids()
    assert b"sk-secret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_without_math_verify_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed") as caught:
        require()
    assert caught.value.hint.startswith("pip install 'math-verify")
    with pytest.raises(UserError, match="math-verify"):
        load("gsm8k", data_dir=Path("nowhere"))


def test_a_worker_that_does_not_start_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "broken.py"
    script.write_text("import no_such_module")
    monkeypatch.setattr(worker, "__file__", str(script))
    with pytest.raises(EngineError, match="does not start"):
        Comparer().compare("1/2", "0.5")


# --- the tasks -----------------------------------------------------------------------------------

MATH_ROWS: list[dict[str, Any]] = [
    {"problem": "What is $1+1$? Mind the {braces}.", "solution": "Not \\boxed{3}: $\\boxed{2}$.",
     "answer": "2", "subject": "Prealgebra", "level": 1},
    {"problem": "Half?", "solution": "No box.", "answer": "\\frac{1}{2}", "subject": "Algebra"},
]  # fmt: skip
GSM_ROWS: list[dict[str, Any]] = [
    {"question": "Ann has 1000 pens and buys 34.", "answer": "It is <<1>>.\n#### 1,034"}
]


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_module, "require", lambda: "0.9.0")


@pytest.mark.usefixtures("installed")
def test_math_500_is_read_from_its_solutions(tmp_path: Path) -> None:
    task = load("math-500", data_dir=write(tmp_path, MATH_ROWS))
    assert [one.content.answer for one in task.samples] == ["2", "\\frac{1}{2}"]
    assert [one.subject for one in task.samples] == ["Prealgebra", "Algebra"]
    assert [one.id for one in task.samples] == ["math-500-0000", "math-500-0001"]
    assert (task.decoder, task.slow_scorers) == ("boxed/1, math-verify 0.9.0", True)
    assert task.source == "own files"
    assert task.revision.startswith("sha256:")


@pytest.mark.usefixtures("installed")
def test_gsm8k_is_read_from_the_last_line_of_its_answers(tmp_path: Path) -> None:
    [one] = load("gsm8k", data_dir=write(tmp_path, GSM_ROWS)).samples
    assert one.content == Problem("Ann has 1000 pens and buys 34.", "1034", "")


def test_the_prompt_is_that_of_lighteval_to_the_letter() -> None:
    sample = Sample("x", Problem("Mind the {braces}.", "2", ""))
    asked = ask(sample, 0, 0)
    assert asked.messages == (
        Message(
            "user",
            "Solve the following math problem efficiently and clearly.  The last line of your "
            "response should be of the following format: 'Therefore, the final answer is: "
            "$\\boxed{ANSWER}$. I hope it is correct' (without quotes) where ANSWER is just the "
            "final number or expression that solves the problem. Think step by step before "
            "answering.\n\nMind the {braces}.",
        ),
    )
    assert asked.gold == "2"
    assert PROMPT.endswith("\n\n{problem}")


@pytest.mark.parametrize(
    ("text", "finish", "outcome", "answer"),
    [
        (r"\boxed{2}", "stop", "correct", "2"),
        (r"\boxed{2} and", "length", "correct", "2"),
        (r"\boxed{3}", "stop", "wrong", "3"),
        ("I give up.", "stop", "unparsed", None),
        ("Let me", "length", "truncated", None),
        ("", "stop", "unparsed", None),
    ],
)
def test_outcomes(text: str, finish: FinishReason, outcome: str, answer: str | None) -> None:
    sample = Sample("x", Problem("?", "2", ""))
    made = score(sample, 0, 0, ChatReply(Message("assistant", text), finish))
    assert (made.outcome, made.answer) == (outcome, answer)


def test_a_comparison_without_a_result_is_unparsed_and_not_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared(), "compare", lambda *_: Comparison(None, "it took too long"))
    sample = Sample("x", Problem("?", "2", ""))
    made = score(sample, 0, 0, ChatReply(Message("assistant", r"\boxed{9^{9^9}}"), "stop"))
    assert (made.outcome, made.answer) == ("unparsed", "9^{9^9}")
    assert "it took too long" in made.why


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("math-500", {"solution": "\\boxed{2}"}, ":1: the column problem is missing"),
        ("math-500", {"problem": "?", "solution": "none"}, ":1: the column answer is missing"),
        ("math-500", {"problem": " ", "answer": "2"}, ":1: the column problem is missing or empty"),
        ("gsm8k", {"answer": "#### 5"}, ":1: the column question is missing"),
        ("gsm8k", {"question": "?", "answer": "5"}, "lacks its last line"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, name: str, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        load(name, data_dir=write(tmp_path, [row]))
    assert said in caught.value.message


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "repo", "pattern"),
    [("math-500", "HuggingFaceH4/MATH-500", "test.jsonl"), ("gsm8k", "openai/gsm8k", "main/test*")],
)
def test_the_files_come_from_the_hub_at_a_commit_that_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, repo: str, pattern: str
) -> None:
    asked: list[Any] = []

    def fetch(repo: str, patterns: list[str], revision: str, say: Any) -> Fetched:
        asked.append((repo, patterns, revision))
        folder = tmp_path / "main"
        folder.mkdir()
        write(folder, GSM_ROWS if name == "gsm8k" else MATH_ROWS)
        return Fetched(tmp_path if name == "gsm8k" else folder, "c" * 40)

    monkeypatch.setattr(task_module, "fetch", fetch)
    task = load(name, revision="v1")
    assert asked == [(repo, [pattern], "v1")]
    assert (task.revision, task.source) == ("c" * 40, f"https://huggingface.co/datasets/{repo}")


def test_an_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(DataError) as caught:
        load("aime")
    assert all(name in caught.value.hint for name in TASKS)


@needs_math_verify
def test_a_run_with_a_reply_that_hangs_the_comparison_ends_and_answers_the_rest(
    tmp_path: Path,
) -> None:
    task = load("math-500", data_dir=write(tmp_path, MATH_ROWS))

    def say(prompt: str) -> str:
        return r"It is \boxed{0.5}." if "Half" in prompt else r"\boxed{9^{9^{9^{9}}}}"

    model = TemplatedChat(ScriptedEngine(say))
    log = asyncio.run(run_task(task, model, tmp_path / "logs" / "log.jsonl"))
    assert outcomes(log, "boxed") == Outcomes(1, 0, 1, 0, 0)
