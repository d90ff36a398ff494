"""`formosa data inspect`: what a person sees of rows, and of what training makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from formosa.cli.main import cli
from formosa.errors import DataError, UserError


def inspect(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["data", "inspect", str(path), *arguments])


def read(path: Path, *arguments: str) -> Any:
    result = inspect(path, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def row(*turns: str, **fields: Any) -> dict[str, Any]:
    roles = ("user", "assistant") * len(turns)
    messages = [{"role": r, "content": text} for r, text in zip(roles, turns, strict=False)]
    return {"messages": messages, **fields}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    lines = (json.dumps(value, ensure_ascii=False) + "\n" for value in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(
        tmp_path / "rows.jsonl",
        row("天氣？", "晴。", kind="chat", source="a", id="one"),
        row("hi", "hello", "bye", "see you", kind="chat", source="b"),
        row("long?", "word " * 300, kind="long", source="b"),
    )


def test_what_is_learnt_is_marked_and_the_file_is_counted(file: Path) -> None:
    result = inspect(file, "--rows", "1")
    assert result.exit_code == 0
    assert "── one · chat · zh-TW" in result.stdout
    assert "<|im_start|>assistant\n⟦晴。<|im_end|>⟧" in result.stdout
    assert result.stdout.count("⟦") == 1
    assert "characters of a row" in result.stdout
    assert "3 samples, " in result.stdout


def test_rows_are_chosen_by_kind_and_source(file: Path) -> None:
    assert read(file)["rows"] == 3
    assert read(file, "--kind", "chat")["rows"] == 2
    found = read(file, "--kind", "chat", "--source", "b")
    assert (found["rows"], found["sources"]) == (1, {"b": 1})
    assert "no rows" in inspect(file, "--kind", "none").stdout


def test_a_stranger_s_words_do_not_steer_the_terminal(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", row("\x1b[2Jgone", "[red]ok[/red]", id="\x1b[0m"))
    text = inspect(path).stdout
    assert "\x1b" not in text and "␛[2Jgone" in text
    assert "[red]ok[/red]" in text


def test_a_document_is_learnt_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", {"text": "臺灣的天氣。"})
    assert "⟦臺灣的天氣。⟧" in inspect(path).stdout
    assert read(path)["characters"]["learnt"] == 6


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", row("a", "b"), {"messages": 1})
    result = inspect(path)
    assert isinstance(result.exception, DataError)
    assert "rows.jsonl:2" in result.exception.message
    assert isinstance(inspect(tmp_path / "none.jsonl").exception, UserError)


def test_the_classes_of_the_histogram_are_round_and_hold_every_row(file: Path) -> None:
    classes = read(file)["characters"]["histogram"]
    assert sum(each["rows"] for each in classes) == 3
    widths = {each["to"] - each["from"] + 1 for each in classes}
    assert widths == {200}


# With a model: what a training of it would do.


@pytest.mark.train
def test_with_a_model_lengths_are_its_tokens(file: Path, tiny_checkpoint: Path) -> None:
    from formosa.checkpoints import load_tokenizer

    found = read(file, "--model", str(tiny_checkpoint), "--rows", "2", "--max-tokens", "4000")
    assert found["fates"] == {"whole": 3}
    first = found["shown"][0]["parts"][0]
    text = "".join(part["text"] for part in first)
    tokenizer = load_tokenizer(tiny_checkpoint)
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert found["shown"][0]["length"] == len(ids)
    assert [part["text"] for part in first if part["learnt"]] == ["晴。<|im_end|>"]
    assert found["tokens"]["total"] == found["tokens"]["trained"] > found["tokens"]["learnt"] > 0


@pytest.mark.train
def test_rows_that_do_not_fit_are_listed_with_the_reason(file: Path, tiny_checkpoint: Path) -> None:
    arguments = ("--model", str(tiny_checkpoint), "--max-tokens", "120")
    found = read(file, *arguments)
    assert found["fates"] == {"whole": 2, "dropped": 1}
    (listed,) = found["not_whole"]
    assert listed["where"] == f"{file}:3"
    assert f"{listed['length']} tokens, longer than 120" in listed["why"]
    text = inspect(file, *arguments, "--rows", "3").stdout
    assert "2 whole, 0 split, 1 dropped, 0 refused" in text
    assert f"{file}:3 dropped: " in text


@pytest.mark.train
def test_split_and_dropped_thoughts_show_every_sample(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    messages = row("a?", "1.", "b?", "2.")["messages"]
    for message in messages[1::2]:
        message["reasoning_content"] = "hm"
    path = write(tmp_path / "rows.jsonl", {"messages": messages}, row(*["word " * 9, "yes"] * 6))
    found = read(
        path, "--model", str(tiny_checkpoint), "--thinking", "drop", "--overlong", "split",
        "--max-tokens", "160",
    )  # fmt: skip
    assert found["fates"] == {"whole": 1, "split": 1}
    assert found["shown"][0]["samples"] == 2
    assert found["samples"] == 2 + found["shown"][1]["samples"] > 4
    text = inspect(path, "--model", str(tiny_checkpoint), "--thinking", "drop").stdout
    assert "sample 2 of 2" in text


@pytest.mark.train
def test_a_row_that_training_would_refuse_is_listed_and_no_end(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    path = write(tmp_path / "rows.jsonl", row("only a question"), row("a", "b"))
    found = read(path, "--model", str(tiny_checkpoint))
    assert found["fates"] == {"refused": 1, "whole": 1}
    assert "nothing to learn" in found["not_whole"][0]["why"]


@pytest.mark.train
def test_documents_are_seen_as_continued_pre_training_sees_them(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    path = write(tmp_path / "rows.jsonl", {"text": "one two " * 20})
    found = read(path, "--model", str(tiny_checkpoint), "--max-tokens", "40")
    assert found["fates"] == {"split": 1}
    assert found["shown"][0]["parts"][-1][-1]["text"].endswith("<|endoftext|>")


def test_help_starts_with_lines_to_paste() -> None:
    text = CliRunner().invoke(cli, ["data", "inspect", "--help"]).stdout
    assert "    formosa data inspect rows.jsonl --model smollm2-135m" in text
