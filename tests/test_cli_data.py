"""`formosa data`: what a person sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from formosa.cli.main import cli
from formosa.data.rows import Row, read_rows
from formosa.data.synth.generate import generate
from formosa.errors import DataError, RecipeError, UserError

RECIPE = "name: x\ndata:\n  synth: {rows: 20}\n  heldout: 5\n"


def chat(question: str, reply: str, **more: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    return {"messages": turns, **more}


def formosa(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["data", *arguments])


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_synth_prints_rows_that_can_be_read(tmp_path: Path) -> None:
    result = formosa("synth", "--rows", "4", "--kind", "parallel", "--language", "zh-TW")
    assert result.exit_code == 0
    path = tmp_path / "rows.jsonl"
    path.write_text(result.stdout, encoding="utf-8")
    rows = list(read_rows(path))
    assert [(row.kind, row.language) for row in rows] == [("parallel", "zh-TW")] * 4


def test_synth_is_repeatable_and_seeds_differ() -> None:
    first, again = (formosa("synth", "--rows", "3").stdout for _ in range(2))
    assert first == again != formosa("synth", "--rows", "3", "--seed", "2").stdout


def test_synth_as_json_is_one_document() -> None:
    values = json.loads(formosa("synth", "--rows", "2", "--json").stdout)
    assert [set(value) for value in values] == [
        {"id", "source", "kind", "language", "messages", "tools"}
    ] * 2


def test_synth_says_so_when_there_is_no_more_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(count: int, seed: int, **options: Any) -> list[Row]:
        return list(generate(count - 3, seed, **options))

    monkeypatch.setattr("formosa.cli.data_synth.generate", few)
    result = formosa("synth", "--rows", "5")
    assert "only 2 different questions" in result.stderr
    assert "different questions" not in result.stdout


@pytest.mark.parametrize(("share", "chinese"), [("0", False), ("1", True)])
def test_synth_documents_tools_in_the_language_that_was_asked_for(
    share: str, chinese: bool
) -> None:
    options = ("--rows", "4", "--kind", "single", "--language", "zh-TW", "--json")
    values = json.loads(formosa("synth", *options, "--chinese-docs", share).stdout)
    for value in values:
        text = value["tools"][0]["function"].get("description", "")
        assert not text or any("一" <= character <= "鿿" for character in text) == chinese


def test_synth_gives_twins_that_think() -> None:
    values = json.loads(formosa("synth", "--rows", "4", "--thinking", "1", "--json").stdout)
    thinks = ["reasoning_content" in json.dumps(value) for value in values]
    assert thinks == [False, True] * 4


def test_synth_refuses_a_kind_that_is_not_there() -> None:
    result = formosa("synth", "--kind", "paralel")
    assert result.exit_code == 2 and "parallel_multiple" in result.output


def test_prepare_writes_the_four_files(recipe: Path, tmp_path: Path) -> None:
    result = formosa("prepare", str(recipe), "--out", str(tmp_path / "data"))
    assert result.exit_code == 0, result.output
    assert "20 to train, 5 held out" in result.stdout
    assert "synth: 25 rows in, 25 out" in result.stderr
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names == {"train.jsonl", "heldout.jsonl", "rejects.jsonl", "report.json"}


def test_prepare_as_json_is_the_report(recipe: Path, tmp_path: Path) -> None:
    result = formosa("prepare", str(recipe), "--out", str(tmp_path / "data"), "--json")
    report = json.loads((tmp_path / "data" / "report.json").read_text(encoding="utf-8"))
    assert json.loads(result.stdout) == report


def test_prepare_keeps_only_good_rows_when_asked(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "heldout: 0\nsources: [{path: mine.jsonl, licence: MIT}]\n",
        encoding="utf-8",
    )
    good = chat("What is the highest mountain?", "It is Yushan.")
    (tmp_path / "mine.jsonl").write_text(json.dumps(good) + "\n{\n", encoding="utf-8")
    arguments = ("prepare", str(recipe), "--out", str(tmp_path / "data"))
    refused = formosa(*arguments)
    assert isinstance(refused.exception, DataError)
    assert "mine.jsonl:2" in refused.exception.message
    assert "--skip-bad" in refused.exception.hint
    kept = formosa(*arguments, "--skip-bad")
    assert kept.exit_code == 0
    assert "1 to train" in kept.stdout and "mine.jsonl:2" in kept.stderr


def test_inspect_marks_what_is_learnt_and_counts(recipe: Path, tmp_path: Path) -> None:
    formosa("prepare", str(recipe), "--out", str(tmp_path / "data"))
    file = str(tmp_path / "data" / "train.jsonl")
    result = formosa("inspect", file, "--kind", "single", "--rows", "1")
    assert result.exit_code == 0
    start, end = result.stdout.index("⟦"), result.stdout.index("⟧")
    marked = result.stdout[start + 1 : end]
    assert marked.startswith("<tool_call>\n{") and marked.endswith("</tool_call><|im_end|>")
    assert result.stdout.count("⟦") == 1
    assert "characters of a row" in result.stdout
    counts = json.loads(formosa("inspect", file, "--json").stdout)
    assert counts["rows"] == 20 == sum(counts["kinds"].values())
    assert counts["characters"]["longest"] <= counts["characters"]["total"]


def test_inspect_shows_brackets_of_a_row_as_they_are(tmp_path: Path) -> None:
    """Rich would take [red] for markup and drop it."""
    text = "[red]not a colour[/red] [link=x]"
    row = {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    assert text in formosa("inspect", str(path)).stdout


def test_inspect_of_nothing_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    assert "no rows" in formosa("inspect", str(tmp_path / "rows.jsonl")).stdout
    missing = formosa("inspect", str(tmp_path / "none.jsonl"))
    assert isinstance(missing.exception, UserError)


def test_help_starts_with_lines_to_paste() -> None:
    for arguments in ((), ("prepare",), ("synth",), ("inspect",), ("report",), ("rejects",)):
        text = formosa(*arguments, "--help").stdout
        assert "    formosa data " in text


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Three good rows; one that is the same again, one too long, one that can't be read."""
    long = "很長的問題" * 200
    rows = [
        chat("臺灣最高的山是哪一座？", "是玉山，海拔三千九百五十二公尺。", id="a"),
        chat("How do I boil an egg?", "Put it into boiling water for seven minutes.", id="b"),
        chat("Which river is the longest?", "The Zhuoshui is the longest one in Taiwan.", id="c"),
        chat("How do I boil an egg?", "Put it into boiling water for seven minutes.", id="d"),
        chat(long, "這個問題太長了。", id="e"),
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows] + ['{"messages": "x"}']
    (tmp_path / "mine.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(
        "data:\n  heldout: 0\n  max_characters: 900\n  skip_bad: true\n"
        "  sources:\n    - {path: mine.jsonl, licence: MIT, format: messages}\n",
        encoding="utf-8",
    )
    result = formosa("prepare", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "data"))
    assert result.exit_code == 0, result.output
    assert "3 to train, 0 held out, 3 refused" in result.stdout
    return tmp_path / "data"


def test_the_number_of_workers_changes_no_byte(prepared: Path, tmp_path: Path) -> None:
    recipe = str(tmp_path / "recipe.yaml")
    result = formosa("prepare", recipe, "--out", str(tmp_path / "again"), "--workers", "3")
    assert result.exit_code == 0
    for path in prepared.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert formosa("prepare", recipe, "--out", "x", "--workers", "0").exit_code == 2


def test_report_shows_what_became_of_every_row(prepared: Path) -> None:
    result = formosa("report", str(prepared))
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "mine MIT messages 6 3 0 3" in lines
    assert "mine too long 1 e" in lines
    assert "mine duplicate 1 d" in lines
    assert any(line.startswith("mini-zh-tw 80 0") for line in lines)
    assert "characters of a row" in result.stdout and "█" in result.stdout
    assert "3 rows to train, 0 held out, seed 1" in lines


def test_report_as_json_is_the_file(prepared: Path) -> None:
    report = json.loads((prepared / "report.json").read_text(encoding="utf-8"))
    assert json.loads(formosa("report", str(prepared), "--json").stdout) == report


def test_report_finds_the_data_of_a_run(prepared: Path) -> None:
    """A run has them in RUN/data, and people name the run."""
    assert formosa("report", str(prepared.parent)).stdout == formosa("report", str(prepared)).stdout


@pytest.mark.parametrize("command", ["report", "rejects"])
def test_a_folder_without_data_is_a_sentence(command: str, tmp_path: Path) -> None:
    result = formosa(command, str(tmp_path))
    assert isinstance(result.exception, DataError)
    assert "formosa data prepare" in result.exception.hint


def test_a_report_of_an_older_version_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"schema": 1}', encoding="utf-8")
    result = formosa("report", str(tmp_path))
    assert isinstance(result.exception, DataError)
    assert "no report of this version" in result.exception.message


def test_rejects_shows_rows_with_their_reasons(prepared: Path) -> None:
    result = formosa("rejects", str(prepared))
    assert result.exit_code == 0, result.output
    assert "── mine · mine.jsonl:4 · duplicate" in result.stdout
    assert "user: How do I boil an egg?" in result.stdout
    assert result.stdout.count("──") == 3
    assert "(1,000)" in result.stdout, "a long text is cut, and its length told"
    assert "很長的問題" * 200 in formosa("rejects", str(prepared), "--full").stdout


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--reason", "dup"), 1),
        (("--reason", "too long"), 1),
        (("--source", "mine"), 3),
        (("--source", "theirs"), 0),
        (("--rows", "2"), 2),
        (("--reason", "dup", "--source", "mine"), 1),
    ],
)
def test_rejects_can_be_asked_for_some(
    options: tuple[str, ...], count: int, prepared: Path
) -> None:
    values = json.loads(formosa("rejects", str(prepared), *options, "--json").stdout)
    assert len(values) == count
    text = formosa("rejects", str(prepared), *options).stdout
    assert text.count("──") == count and (count or text == "(nothing)\n")


def test_prepare_compares_with_the_benchmarks_of_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE + "  decontaminate: {benchmarks: [no-such-task]}\n", encoding="utf-8")
    result = formosa("prepare", str(path), "--out", str(tmp_path / "data"))
    assert isinstance(result.exception, RecipeError)
    assert "data.decontaminate.benchmarks" in result.exception.hint
    assert not (tmp_path / "data").exists()


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two sources in a mixture that repeats the small one; one row with half-width marks."""
    words = ("river", "market", "library", "museum", "harbour", "planet", "window", "clause")
    big = [
        chat(f"Where is the {word} of the town?", f"The {word} is behind the {words[i - 1]}.")
        for i, word in enumerate(words)
    ]
    small = [
        chat("今天天氣如何?要帶傘嗎?", "下午會下雨,請記得帶傘出門."),
        chat("你會說中文嗎？", "我會，請說。"),
    ]
    for name, rows in (("big", big), ("small", small)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(
        "data:\n  heldout: 0\n  mixture: {rows: 8, repeat: true}\n  sources:\n"
        "    - {path: big.jsonl, licence: MIT}\n    - {path: small.jsonl, licence: CC0-1.0}\n",
        encoding="utf-8",
    )
    result = formosa("prepare", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "data"))
    assert result.exit_code == 0, result.output
    assert "small: 2 rows are repeated to 4" in result.stderr
    return tmp_path / "data"


def test_report_shows_mixtures_and_what_cleaning_changed(mixed: Path) -> None:
    result = formosa("report", str(mixed))
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "big 1.0 4 8 4" in lines and "small 1.0 4 2 4" in lines
    assert "small punctuation 1 4" in lines
    assert "big not in the mixture 4" in " ".join(lines)
    assert "8 rows to train, 0 held out, seed 1" in lines
    assert any(line.startswith("purity of 6 rows: mean 1.0000") for line in lines)
    assert any(line.startswith("versions: formosa ") for line in lines)
    assert "languages: zh-TW 2, en 4" in lines


def test_a_row_that_never_became_one_is_shown_by_its_fields(prepared: Path) -> None:
    result = formosa("rejects", str(prepared), "--reason", "no messages row")
    assert "messages: x" in result.stdout, result.stdout


def test_rejects_of_several_kinds_of_turns_are_readable(tmp_path: Path) -> None:
    call = {"function": {"name": "get_weather", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "reasoning_content": "I must look.", "tool_calls": [call]},
        "no turn at all",
    ]
    line = {
        "source": "a", "where": "a:1", "id": "", "reason": "r", "detail": "d.",
        "row": {"messages": turns},
    }  # fmt: skip
    (tmp_path / "rejects.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    text = formosa("rejects", str(tmp_path / "rejects.jsonl")).stdout
    assert "── a · a:1 · r\nd.\n  user: Rain?\n" in text
    assert "assistant: I must look. {'name': 'get_weather'" in text
    assert "no turn at all" in text
