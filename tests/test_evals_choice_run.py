"""Whole runs of multiple choice: one model, one file of questions, four ways of asking."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from evals_arithmetic import model
from formosa.engines.open import open_chat
from formosa.engines.protocol import ChatModel
from formosa.evals import choice_files, mini, twinkle
from formosa.evals.run import run_task
from formosa.results.log import EvalLog, read_log
from formosa.results.metrics import outcomes, score

QUESTIONS = (
    "question,A,B,C,D,answer\n"
    + "".join(f"第 {n} 題選對的那一個？,對{n},錯{n},錯錯{n},錯錯錯{n},A\n" for n in range(12))
)  # fmt: skip


def letter(prompt: str, text: str = "對") -> str:
    found = re.search(rf"^([A-D]): {text}\d+\b", prompt, re.MULTILINE)
    assert found is not None
    return found[1]


def run(
    prefix: str, folder: Path, script: Callable[[str], str] | None = None, repeats: int = 3
) -> EvalLog:
    for name in ("law.csv", "art.csv"):
        (folder / "q").mkdir(exist_ok=True)
        (folder / "q" / name).write_text(QUESTIONS, "utf-8")
    task = choice_files.load(f"{prefix}q", data_dir=folder)
    chat, _ = model(script) if script else model()
    path = folder / f"{prefix.strip(':')}.jsonl"
    return asyncio.run(run_task(task, chat, path, repeats=repeats, concurrency=3))


def test_who_knows_it_all_scores_it_all_in_every_way_of_asking(tmp_path: Path) -> None:
    for prefix in choice_files.PREFIX:
        log = run(
            prefix,
            tmp_path,
            lambda prompt: letter(prompt) if "只輸出" in prompt else f"\\box{{{letter(prompt)}}}",
        )
        main = log.scorers[0]
        if prefix == "file-twinkle-pattern:":
            # Its last expression takes the closing brace for the end of a sentence.
            assert main == "twinkle"
        assert score(log, main).value == 1.0, prefix
        assert len(log.samples) == 2 * 12 * 3


def test_two_readings_of_one_run_differ_where_the_words_do(tmp_path: Path) -> None:
    def changes_its_mind(prompt: str) -> str:
        return f"\\box{{{letter(prompt, '錯')}}}\n不對，答案是 {letter(prompt)}。"

    log = run("file:", tmp_path, changes_its_mind)
    assert score(log, "box").value == 0.0
    assert score(log, "pattern").value == 1.0
    assert outcomes(log, "box").wrong == 72


def test_the_figures_of_a_card_from_a_log_on_disk(tmp_path: Path) -> None:
    def knows_law(prompt: str) -> str:
        return f"\\box{{{letter(prompt)}}}" if "A: 對" in prompt else "\\box{ A }"

    run("file-twinkle-box:", tmp_path, knows_law)
    log = read_log(tmp_path / "file-twinkle-box.jsonl")
    made = twinkle.figures(log)
    assert list(made.files) == ["art", "law"]
    assert all(len(part.runs) == 3 for part in made.files.values())
    assert made.accuracy == pytest.approx(score(log, "twinkle").value)  # files of one size
    assert 0 < made.accuracy < 0.6
    assert made.plus_minus > 0
    assert outcomes(log, "twinkle").unparsed + outcomes(log, "twinkle").correct == 72
    assert outcomes(log, "box").unparsed == 0


def test_every_order_of_options_is_asked_with_its_own_gold(tmp_path: Path) -> None:
    """Who always says A is right about a quarter of the time."""
    log = run("file-logit:", tmp_path, lambda _: "A", repeats=10)
    assert 0.13 < score(log, "logit").value < 0.37
    assert {record["gold"] for record in log.samples} == set("ABCD")
    assert {record["scores"]["logit"]["answer"] for record in log.samples} == {"A"}


@pytest.fixture(scope="module")
def smollm() -> ChatModel:
    return open_chat("smollm2-135m", slots=2, context=1024)


@pytest.mark.model
def test_a_real_model_gives_each_letter_a_probability(smollm: ChatModel, tmp_path: Path) -> None:
    log = asyncio.run(
        run_task(mini.load("mini-zh-tw-logit"), smollm, tmp_path / "l.jsonl", limit=4)
    )
    for record in log.samples:
        made = record["scores"]["logit"]
        assert made["outcome"] in ("correct", "wrong"), made
        assert len(re.findall(r"[A-D] -\d+\.\d{3}", made["why"])) == 4
