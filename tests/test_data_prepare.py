"""Preparing data: what goes in comes out or is counted, and no question is in both splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic
import pytest

from formosa.data.config import DataConfig, FileConfig, SynthConfig, load_data_config
from formosa.data.prepare import prepare
from formosa.data.rows import Row, read_rows
from formosa.data.validate import BadRowError, validate_row
from formosa.errors import DataError, RecipeError
from formosa.files import read_json, sha256_file

SMALL = SynthConfig(rows=30)
NONE = SynthConfig(rows=0)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}


def call(name: str = "weather", arguments: str = '{"city": "Oslo"}') -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": "c0", "type": "function", "function": function}


def row(question: str = "Weather in Oslo?", **change: Any) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "", "tool_calls": [call()]},
    ]
    return {"messages": messages, "tools": [TOOL], **change}


def write(path: Path, *values: Any) -> Path:
    lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def from_file(path: Path, **change: Any) -> DataConfig:
    source = FileConfig(path=path, licence="MIT", **change)
    return DataConfig(synth=NONE, files=[source], heldout=0)


def test_the_three_files_agree_with_each_other(tmp_path: Path) -> None:
    report = prepare(DataConfig(synth=SMALL, heldout=10), tmp_path)
    written = read_json(tmp_path / "report.json")
    assert written == report.to_json()
    assert written["schema"] == 1
    assert written["rows"] == {"train": 30, "heldout": 10}
    assert sum(written["kinds"].values()) == sum(written["languages"].values()) == 40
    for name in ("train", "heldout"):
        path = tmp_path / f"{name}.jsonl"
        assert written["sha256"][name] == sha256_file(path)
        assert len(list(read_rows(path))) == written["rows"][name]
    (source,) = written["sources"]
    assert source["name"] == "synth" and source["rows_in"] == source["rows_out"] == 40


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    lines = [row(f"Weather in Oslo on day {i}?") for i in range(20)]
    path = write(tmp_path / "mine.jsonl", *lines)
    config = DataConfig(
        seed=5, synth=SMALL, heldout=9, files=[FileConfig(path=path, licence="MIT", limit=12)]
    )
    first = prepare(config, tmp_path / "a")
    second = prepare(config, tmp_path / "b")
    other = prepare(config.model_copy(update={"seed": 6}), tmp_path / "c")
    assert first.sha256 == second.sha256 != other.sha256


def test_no_question_is_in_both_splits(tmp_path: Path) -> None:
    lines = [row(f"Weather in Oslo on day {i % 6}?", id=str(i)) for i in range(12)]
    for i, value in enumerate(lines):  # the same questions again, with other answers
        value["messages"][1]["content"] = f"Let me look, attempt {i}."
    path = write(tmp_path / "mine.jsonl", *lines)
    config = DataConfig(synth=SMALL, heldout=21, files=[FileConfig(path=path, licence="CC BY 4.0")])
    report = prepare(config, tmp_path)
    train = {item.question for item in read_rows(tmp_path / "train.jsonl")}
    heldout = list(read_rows(tmp_path / "heldout.jsonl"))
    assert not train & {item.question for item in heldout}
    assert {item.source for item in heldout} == {"synth", "mine"}
    mine = report.sources[1]
    assert mine.dropped.get("question is held out", 0) > 0
    assert mine.rows_in == mine.rows_out + sum(mine.dropped.values())


def test_what_comes_twice_is_kept_once_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", row(), row(id="other"), row("Weather in Bonn?"))
    report = prepare(from_file(path), tmp_path)
    assert report.rows["train"] == 2
    assert report.sources[0].dropped == {"duplicate": 1}


def test_a_limit_draws_with_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", *(row(f"Weather {i}?") for i in range(30)))

    def questions(seed: int) -> set[str]:
        config = from_file(path, limit=5).model_copy(update={"seed": seed})
        report = prepare(config, tmp_path / str(seed))
        assert report.sources[0].dropped == {"over the limit": 25}
        return {item.question for item in read_rows(tmp_path / str(seed) / "train.jsonl")}

    assert len(questions(1)) == 5
    assert questions(1) == questions(1) != questions(2)


def test_held_out_rows_come_from_files_where_there_is_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", *(row(f"Weather {i}?") for i in range(10)))
    report = prepare(from_file(path).model_copy(update={"heldout": 3}), tmp_path)
    assert report.rows == {"train": 7, "heldout": 3}


BAD: dict[str, tuple[Any, str]] = {
    "broken": ("{", "no row"),
    "no reply": ({"messages": [{"role": "user", "content": "?"}]}, "no reply"),
    "unknown tool": (
        row(messages=[{"role": "user", "content": "?"},
                      {"role": "assistant", "tool_calls": [call("wether")]}]),
        "unknown tool",
    ),
    "wrong type": (
        row(messages=[{"role": "user", "content": "?"},
                      {"role": "assistant", "tool_calls": [call(arguments='{"city": 3}')]}]),
        "arguments do not fit",
    ),
    "unknown argument": (
        row(messages=[{"role": "user", "content": "?"},
                      {"role": "assistant",
                       "tool_calls": [call(arguments='{"city": "Oslo", "activity": null}')]}]),
        "arguments do not fit",
    ),
    "stray result": (
        row(messages=[{"role": "user", "content": "?"},
                      {"role": "tool", "content": "3", "tool_call_id": "c9"},
                      {"role": "assistant", "content": "3"}]),
        "result without call",
    ),
    "control token": (
        row(messages=[{"role": "user", "content": "<|im_end|>"},
                      {"role": "assistant", "content": "no"}]),
        "cannot be written",
    ),
    "no schema": (
        row(tools=[{"name": "weather", "parameters": {"type": "dict", "properties": {}}}]),
        "bad schema",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    value, _ = BAD[name]
    path = write(tmp_path / "mine.jsonl", row(), value)
    with pytest.raises(DataError) as caught:
        prepare(from_file(path), tmp_path / "out")
    assert caught.value.message.startswith(f"{path}:2: ")
    assert "--skip-bad" in caught.value.hint
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_skipped_only_when_asked_and_always_counted(name: str, tmp_path: Path) -> None:
    value, reason = BAD[name]
    path = write(tmp_path / "mine.jsonl", value, row())
    said: list[str] = []
    report = prepare(from_file(path), tmp_path, skip_bad=True, say=said.append)
    assert report.rows["train"] == 1
    assert report.sources[0].dropped == {reason: 1}
    assert f"{path}:1: " in said[0]
    assert said[-1] == f"mine: 2 rows in, 1 out (1 {reason})"


def test_many_bad_rows_are_told_in_a_few_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", row(), *["{"] * 40)
    said: list[str] = []
    prepare(from_file(path), tmp_path, skip_bad=True, say=said.append)
    assert len(said) == 7 and "35 more bad rows" in said[5]
    with pytest.raises(DataError, match="39 more of its rows are bad"):
        prepare(from_file(path), tmp_path)


def test_the_recipe_can_ask_to_skip_bad_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", row(), "{")
    config = from_file(path).model_copy(update={"skip_bad": True})
    assert prepare(config, tmp_path).rows["train"] == 1


def test_rows_that_are_too_long_are_dropped_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", row(), row("long " * 1000))
    config = from_file(path).model_copy(update={"max_characters": 2000})
    assert prepare(config, tmp_path).sources[0].dropped == {"too long": 1}
    config = DataConfig(synth=SMALL, heldout=0, max_characters=1000)
    report = prepare(config, tmp_path / "synth")
    assert 0 < report.rows["train"] < 30
    assert report.sources[0].dropped == {"too long": 30 - report.rows["train"]}


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No training row is left"):
        prepare(DataConfig(synth=NONE), tmp_path)


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    write(tmp_path / "mine.jsonl", row())
    report = prepare(from_file(Path("mine.jsonl")), tmp_path / "out", root=tmp_path)
    assert report.rows["train"] == 1


def test_an_old_report_does_not_vouch_for_half_written_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies between the files must look unprepared to the next one."""
    prepare(DataConfig(synth=SMALL), tmp_path)

    def full(*_: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr("formosa.data.prepare.write_rows", full)
    with pytest.raises(OSError, match="disk full"):
        prepare(DataConfig(synth=SMALL), tmp_path)
    assert not (tmp_path / "report.json").exists()
    assert len(list(read_rows(tmp_path / "train.jsonl"))) == 30


def test_progress_counts_up_to_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    config = DataConfig(synth=SMALL, heldout=5)
    prepare(config, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 35) for i in range(1, 36)]


def test_a_result_answers_one_call_only() -> None:
    value = row()
    value["messages"] += [
        {"role": "tool", "content": "3", "tool_call_id": "c0"},
        {"role": "tool", "content": "4", "tool_call_id": "c0"},
        {"role": "assistant", "content": "3"},
    ]
    with pytest.raises(BadRowError, match="answers no call"):
        validate_row(Row.from_json(value, "x:1"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"sinth": {}}, "sinth"),
        ({"synth": {"kinds": {"paralel": 1}}}, "no kind 'paralel'"),
        ({"synth": {"kinds": {"single": 0}}}, "no kind has a weight above 0"),
        ({"synth": {"languages": {"zh-CN": 1}}}, "no language 'zh-CN'"),
        ({"synth": {"languages": {"en": -1}}}, "below 0"),
        ({"synth": {"rows": -1}}, "greater than or equal to 0"),
        ({"files": [{"path": "a.jsonl"}]}, "licence"),
        ({"files": [{"path": "a.jsonl", "licence": "MIT", "format": "alpaca"}]}, "messages"),
        ({"files": [{"path": "a/x.jsonl", "licence": "MIT"},
                    {"path": "b/x.jsonl", "licence": "MIT"}]}, "same name"),
        ({"files": [{"path": "synth.jsonl", "licence": "MIT"}]}, "same name"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_refused(value: dict[str, Any], words: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=words):
        DataConfig.model_validate(value)


def test_every_field_of_the_config_says_what_it_means() -> None:
    for part in (DataConfig, SynthConfig, FileConfig):
        for name, info in part.model_fields.items():
            assert info.description, name


def test_a_recipe_or_its_data_part_alone_can_be_read(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: x\ndata:\n  seed: 3\n  synth: {rows: 7}\n")
    assert load_data_config(recipe) == DataConfig(seed=3, synth=SynthConfig(rows=7))
    recipe.write_text("seed: 3\n")
    assert load_data_config(recipe) == DataConfig(seed=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {synth: {rowz: 3}}", "unknown key data.synth.rowz, did you mean 'rows'"),
        ("data: {heldout: many}", "data.heldout: Input should be a valid integer"),
        ("data: 3", "data: Input should be"),
        ("data: [", "not valid YAML"),
        ("- 1", "the file: Input should be"),
    ],
)
def test_a_wrong_recipe_is_a_sentence_with_the_place(text: str, words: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_data_config(recipe)
    assert words in caught.value.message
    with pytest.raises(RecipeError, match="Cannot read"):
        load_data_config(tmp_path / "none.yaml")
