"""The card of a run that publishes its adapter alone, and of one whose calls were held."""

from __future__ import annotations

from pathlib import Path

import pytest

from card_run import HEX, make_run, rows, write_json, write_log, written
from formosa.card.verify import check_card, read_subject
from formosa.card.write import write_card
from formosa.cli.eval import evals
from formosa.errors import CardError
from formosa.files import read_json
from formosa.results.log import read_log
from formosa.results.redact import redact

BEGUN = ("The training began with an earlier adapter", "這次訓練是從先前的 adapter 接著練的")
REPORT = {
    "schema": 1,
    "file": "mini.gguf",
    "sha256": HEX,
    "bytes": 15_208_544,
    "level": "F16",
    "base": "gemma-3-270m",
    "base_sha256": HEX[::-1],
}
HELD = {"model": {"details": {"engine": "llama.cpp", "calls": "held to their schemas"}}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def errors(run: Path) -> list[str]:
    subject, problems = read_subject(run / "README.md")
    report = check_card(subject, problems)
    return [finding.message for finding in report.findings if finding.severity == "error"]


def test_an_adapter_is_said_to_be_one(run: Path) -> None:
    write_json(run / "adapter" / "adapter.json", REPORT)
    card, document = written(run)
    assert card.fields["base_model_relation"] == "adapter"
    assert [tuple(row.values()) for row in rows(document, "adapter")] == [
        ("檔案", "mini.gguf"),
        ("精度", "F16"),
        ("位元組", "15208544"),
        ("sha256", HEX),
        ("加在哪個基底上", "gemma-3-270m"),
        ("基底檔", HEX[::-1]),
    ]
    for command in ("chat", "serve"):
        assert f"formosa {command} gemma-3-270m+adapter/mini.gguf" in card.body
        assert f"formosa {command} runs/" not in card.body
    assert "- **Files:** `adapter/mini.gguf`" in card.body
    assert "“Base” is the file of the base without the adapter" in card.body
    assert "「訓練前」是不加 adapter 的基底檔案" in card.body
    assert errors(run) == []


def test_a_run_that_publishes_its_whole_model_says_nothing_of_adapters(run: Path) -> None:
    card, document = written(run)
    assert card.fields["base_model_relation"] == "finetune"
    assert "adapter" not in {table.name for table in document.tables}
    assert "+adapter/" not in card.body
    assert "exported in the same format and quantisation" in card.body


def test_an_adapter_is_enough_for_a_card(tmp_path: Path) -> None:
    write_json(tmp_path / "alone" / "adapter" / "adapter.json", REPORT)
    card, _ = written(tmp_path / "alone")
    assert "gguf" in card.tags and card.library_name == "gguf"
    assert errors(tmp_path / "alone") == []


def test_a_changed_figure_of_the_adapter_is_found(run: Path) -> None:
    write_json(run / "adapter" / "adapter.json", REPORT)
    write_card(run)
    text = (run / "README.md").read_text(encoding="utf-8")
    (run / "README.md").write_text(text.replace("15208544", "15208545"), encoding="utf-8")
    assert any("15208545" in message for message in errors(run))


def test_a_damaged_report_is_a_sentence(run: Path) -> None:
    (run / "adapter").mkdir()
    (run / "adapter" / "adapter.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CardError, match="adapter.json"):
        write_card(run)


@pytest.mark.parametrize("name", ["a b.gguf", "a`b.gguf", "a\nb.gguf", "$(x).gguf"])
def test_any_name_of_a_file_stays_one_word_of_a_command(run: Path, name: str) -> None:
    write_json(run / "adapter" / "adapter.json", {**REPORT, "file": name})
    card, _ = written(run)
    if "\n" in name:
        assert "+adapter/" not in card.body
    else:
        assert f"formosa chat 'gemma-3-270m+adapter/{name}'" in card.body


def test_calls_that_a_grammar_held_are_named_in_each_language(run: Path) -> None:
    free, _ = written(run)
    assert "--hold-calls" not in free.body
    for role in ("base", "trained"):
        write_log(
            run / f"logs/{role}-bfcl-simple.jsonl",
            task="bfcl-simple",
            model=role,
            outcomes={"ast": ["CCWW"]},
            start=HELD,
        )
    card, document = written(run)
    zh, en, both = card.body.split("\n---\n")
    assert "A grammar held every call" in en and "文法限制" in zh and "--hold-calls" not in both
    said = {row["紀錄"]: row["工具呼叫"] for row in rows(document, "logs")}
    assert [calls for log, calls in said.items() if "bfcl" in log] == ["held to their schemas"] * 2
    assert {calls for log, calls in said.items() if "mini-zh-tw" in log} == {"free"}
    assert errors(run) == []


def test_redacted_logs_carry_the_same_figures_and_are_named_so(run: Path) -> None:
    whole, document = written(run)
    assert "hold no questions" not in whole.body
    shown = ("scores", "differences", "purity")
    before = [[{**row, "紀錄": ""} for row in rows(document, name)] for name in shown]
    for path in sorted((run / "logs").glob("*.jsonl")):
        redact(read_log(path), path.with_suffix(".bare"))
        path.with_suffix(".bare").replace(path)
    card, document = written(run)
    after = [[{**row, "紀錄": ""} for row in rows(document, name)] for name in shown]
    assert "hold no questions" in card.body and "沒有題目" in card.body
    assert [[_figures(row) for row in table] for table in after] == [
        [_figures(row) for row in table] for table in before
    ]
    assert errors(run) == []
    assert "redact" in evals.commands


def _figures(row: dict[str, str]) -> dict[str, str]:
    """A row without links to logs, whose digests differ."""
    return {name: cell for name, cell in row.items() if "logs/" not in cell}


def test_a_training_that_began_with_an_adapter_says_so(run: Path) -> None:
    """What that one had learnt from is in none of this run's reports."""
    card, _ = written(run)
    assert not any(words in card.body for words in BEGUN)
    path = run / "train" / "summary.json"
    write_json(path, {**read_json(path), "start_sha256": HEX})
    card, document = written(run)
    assert all(words in card.body for words in BEGUN)
    assert ("接著練的 adapter（sha256）", HEX) in [
        tuple(row.values()) for row in rows(document, "training")
    ]
    assert errors(run) == []
