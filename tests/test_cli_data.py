"""`formosa data`: what a person sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from formosa.cli.main import cli
from formosa.data.rows import read_rows
from formosa.errors import DataError, UserError

RECIPE = "name: x\ndata:\n  synth: {rows: 20}\n  heldout: 5\n"


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


def test_synth_says_so_when_there_is_no_more_to_say() -> None:
    result = formosa("synth", "--rows", "400", "--kind", "chat", "--language", "en")
    assert "different questions of that kind" in result.stderr
    assert "different questions" not in result.stdout


def test_synth_refuses_a_kind_that_is_not_there() -> None:
    result = formosa("synth", "--kind", "paralel")
    assert result.exit_code == 2 and "parallel_multiple" in result.output


def test_prepare_writes_the_three_files(recipe: Path, tmp_path: Path) -> None:
    result = formosa("prepare", str(recipe), "--out", str(tmp_path / "data"))
    assert result.exit_code == 0, result.output
    assert "20 to train, 5 held out" in result.stdout
    assert "synth: 25 rows in, 25 out" in result.stderr
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names == {"train.jsonl", "heldout.jsonl", "report.json"}


def test_prepare_as_json_is_the_report(recipe: Path, tmp_path: Path) -> None:
    result = formosa("prepare", str(recipe), "--out", str(tmp_path / "data"), "--json")
    report = json.loads((tmp_path / "data" / "report.json").read_text(encoding="utf-8"))
    assert json.loads(result.stdout) == report


def test_prepare_keeps_only_good_rows_when_asked(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "synth: {rows: 0}\nheldout: 0\nfiles: [{path: mine.jsonl, licence: MIT}]\n",
        encoding="utf-8",
    )
    good = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}
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
    for arguments in ((), ("prepare",), ("synth",), ("inspect",)):
        text = formosa(*arguments, "--help").stdout
        assert "    formosa data " in text
