"""GPQA: asked and scored without a word of it reaching a log. All questions here are invented."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest

import formosa.evals.gpqa as gpqa
from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply, FinishReason
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import DataError, MessageError
from formosa.evals.gpqa import (
    LETTERS,
    Secret,
    ask,
    keep,
    load,
    read_letter,
    right_letter,
    score,
)
from formosa.evals.hub import Fetched
from formosa.evals.run import run_task
from formosa.evals.task import Sample

COLUMNS = ["Record ID", "Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2",
           "Incorrect Answer 3", "High-level domain", "Canary String"]  # fmt: skip
ROWS = [
    ["r1", " Which {A} of these is the heaviest, O brave one? ", "lead\n", "air", "wood", " water",
     "Physics", "CANARY"],
    ["r2", "What is \\{x\\} in {Question}?", "{B}", "{C}", "{D}", "{A}", "Chemistry", "CANARY"],
]  # fmt: skip


def write(folder: Path, rows: list[list[str]] | None = None, columns: list[str] = COLUMNS) -> Path:
    with (folder / "gpqa_diamond.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *(rows or ROWS)])
    return folder


@pytest.fixture
def sample(tmp_path: Path) -> Sample[Secret]:
    return load(data_dir=write(tmp_path)).samples[0]


def reply(text: str, finish: FinishReason = "stop") -> ChatReply:
    return ChatReply(Message("assistant", text), finish)


# --- asking --------------------------------------------------------------------------------------


def test_the_prompt_is_that_of_lighteval_to_the_letter(sample: Sample[Secret]) -> None:
    seed = next(seed for seed in range(50) if right_letter(sample, 0, seed) == "B")
    [message] = ask(sample, 0, seed).messages
    assert message.content == (
        "Answer the following multiple choice question. The last line of your response should be "
        "of the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. "
        "Think step by step before answering.\n\n"
        "Which {A} of these is the heaviest, O brave one?\n\n"
        "A) air\nB) lead\nC) wood\nD) water"
    )
    assert message.role == "user"


def test_braces_in_a_question_stay_what_they_are(tmp_path: Path) -> None:
    second = load(data_dir=write(tmp_path)).samples[1]
    text = ask(second, 0, 0).messages[0].content
    assert "What is \\{x\\} in {Question}?" in text
    for option in ("{A}", "{B}", "{C}", "{D}"):
        assert text.count(f") {option}") == 1


def test_the_place_of_the_right_answer_belongs_to_seed_question_and_repeat(
    sample: Sample[Secret],
) -> None:
    asked = [ask(sample, repeat, 7) for repeat in range(40)]
    assert asked == [ask(sample, repeat, 7) for repeat in range(40)]
    letters = [str(one.gold) for one in asked]
    assert set(letters) == set(LETTERS)
    for letter, one in zip(letters, asked, strict=True):
        assert f"\n{letter}) lead" in one.messages[0].content


def test_samples_are_named_by_their_hash_and_grouped_by_domain(tmp_path: Path) -> None:
    task = load(data_dir=write(tmp_path))
    assert [len(one.id) for one in task.samples] == [len("gpqa-") + 16] * 2
    assert [one.subject for one in task.samples] == ["Physics", "Chemistry"]
    assert (task.private, task.decoder, task.keep) == (True, gpqa.READER, keep)


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("I think so.\nAnswer: B", "B"),
        ("Answer: $C$", "C"),
        ("Answer: $D", "D"),
        ("**Answer: A**", "A"),
        ("**Answer:** (B)", "B"),
        ("Answer: B\nNo, wait.\nAnswer: C.", "C"),
        ("answer: D", "D"),
        ("Answer：A", "A"),
        (r"The answer is \boxed{B}", "B"),
        ("The correct answer is C.", "C"),
        ("Answer: $LETTER", None),
        ("Answer: BC", None),
        ("Answer: E", None),
        ("Because of D, I can't say.", None),
        ("", None),
    ],
)
def test_the_last_announced_letter_is_read(text: str, letter: str | None) -> None:
    assert read_letter(text) == letter


def test_outcomes(sample: Sample[Secret]) -> None:
    gold = right_letter(sample, 0, 0)
    other = next(letter for letter in LETTERS if letter != gold)
    assert score(sample, 0, 0, reply(f"Answer: {gold}")).outcome == "correct"
    assert score(sample, 0, 0, reply(f"Answer: {gold}", "length")).outcome == "correct"
    assert score(sample, 0, 0, reply(f"Answer: {other}")).outcome == "wrong"
    assert score(sample, 0, 0, reply("Hard to say.")).outcome == "unparsed"
    assert score(sample, 0, 0, reply("Let me think", "length")).outcome == "truncated"


# --- nothing leaks -------------------------------------------------------------------------------


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize("words", ["{gold}", "{other}", "nothing"])
def test_what_a_log_keeps_is_enough_to_score_again(
    sample: Sample[Secret], words: str, finish: FinishReason
) -> None:
    gold = right_letter(sample, 0, 0)
    other = next(letter for letter in LETTERS if letter != gold)
    text = "Answer: " + words.replace("{gold}", gold).replace("{other}", other)
    text = f"The heaviest of them is lead.\n{text}"
    kept = json.loads(json.dumps(dict(keep(reply(text, finish)))))
    again = reply(kept["read"], finish)
    assert score(sample, 0, 0, again) == score(sample, 0, 0, reply(text, finish))


def test_what_a_log_keeps_quotes_nothing(sample: Sample[Secret]) -> None:
    """A reply repeats its question, so neither may stand in a log."""
    text = "The heaviest of air, wood, water and lead, O brave one, is lead.\nAnswer: B"
    made = score(sample, 0, 0, reply(text))
    written = json.dumps([dict(keep(reply(text))), made.answer, made.why, ask(sample, 0, 0).gold])
    for word in ("heaviest", "brave", "lead", "wood", "CANARY"):
        assert word not in written
    assert set(keep(reply(text))) == {"read", "sha256", "characters"}


def test_no_repr_shows_a_question(sample: Sample[Secret]) -> None:
    assert "brave" not in repr(sample)
    assert "lead" not in repr(sample)


def test_half_a_surrogate_pair_is_kept_by_its_hash() -> None:
    assert keep(reply("Answer: A \ud83d"))["read"] == "Answer: A"


def test_nothing_is_written_while_loading_asking_and_scoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, home = tmp_path / "data", tmp_path / "home"
    data.mkdir()
    monkeypatch.setenv("FORMOSA_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    for one in load(data_dir=write(data)).samples:
        ask(one, 0, 0)
        score(one, 0, 0, reply("Answer: A"))
    assert sorted(tmp_path.rglob("*")) == [data, data / "gpqa_diamond.csv"]


def test_a_whole_run_leaves_no_word_of_a_question_in_its_log(tmp_path: Path) -> None:
    data, logs = tmp_path / "data", tmp_path / "logs"
    data.mkdir()
    task = load(data_dir=write(data))

    def say(prompt: str) -> str:  # models repeat the question
        return prompt[-200:] + "\nAnswer: B"

    log = asyncio.run(
        run_task(task, TemplatedChat(ScriptedEngine(say)), logs / "log.jsonl", repeats=4)
    )
    assert len(log.samples) == 8
    for path in logs.rglob("*"):
        text = path.read_text(encoding="utf-8")
        for word in ("heaviest", "brave", "lead", "wood", "{Question}", "following", "CANARY"):
            assert word not in text, (path, word)


def test_a_request_that_failed_says_no_word_of_it_either(tmp_path: Path) -> None:
    """Some servers quote the prompt that they refuse."""
    data, logs = tmp_path / "data", tmp_path / "logs"
    data.mkdir()
    task = load(data_dir=write(data))

    def say(prompt: str) -> str:
        raise MessageError("messages[0]", f"refused: {prompt}")

    said: list[str] = []
    asyncio.run(
        run_task(task, TemplatedChat(ScriptedEngine(say)), logs / "log.jsonl", say=said.append)
    )
    written = (logs / "log.jsonl").read_text(encoding="utf-8") + "".join(said)
    assert '"failed"' in written
    assert "brave" not in written
    assert "Think step by step" not in written


# --- data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["Question", "Correct Answer", "Incorrect Answer 2"])
def test_a_missing_column_is_named_and_the_question_is_not(tmp_path: Path, column: str) -> None:
    columns = [name if name != column else "Other" for name in COLUMNS]
    with pytest.raises(DataError, match=f"the column {column} is missing or empty") as caught:
        load(data_dir=write(tmp_path, columns=columns))
    assert "brave" not in caught.value.message


def test_another_name_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no task gpqa-main"):
        load("gpqa-main")
    with pytest.raises(DataError):
        load(data_dir=tmp_path)


def test_the_file_comes_from_the_hub_at_a_commit_that_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def fetch(repo: str, patterns: list[str], revision: str, say: Any) -> Fetched:
        asked.append((repo, patterns, revision))
        return Fetched(write(tmp_path), "c" * 40)

    monkeypatch.setattr(gpqa, "fetch", fetch)
    task = load()
    assert asked == [("Idavidrein/gpqa", ["gpqa_diamond.csv"], "main")]
    assert (task.revision, task.source) == (
        "c" * 40,
        "https://huggingface.co/datasets/Idavidrein/gpqa",
    )


def test_a_gate_that_is_closed_says_how_to_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any) -> Fetched:
        raise DataError("The hub refused the data set Idavidrein/gpqa at main: GatedRepoError.")

    monkeypatch.setattr(gpqa, "fetch", fetch)
    with pytest.raises(DataError, match="GatedRepoError") as caught:
        load()
    assert (
        "accept the terms at https://huggingface.co/datasets/Idavidrein/gpqa" in caught.value.hint
    )
    assert "HF_TOKEN" in caught.value.hint
