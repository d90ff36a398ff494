"""The walk-through of a card, and what it says of a run in sentences."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from card_run import make_run, write_json, write_log
from formosa.card import facts
from formosa.card.eval_results import write_eval_results
from formosa.card.index_entry import entry_of
from formosa.card.ledger import FLOW, Ledger, find_logs
from formosa.card.stage_tables import flow_steps
from formosa.card.tool_flow import python_text, walk_through
from formosa.errors import CardError
from formosa.results.log import read_log


def flow(tmp_path: Path, reasoning: bool = False, **record: Any) -> dict[str, Any]:
    write_json(tmp_path / FLOW, record)
    return walk_through(Ledger(tmp_path), reasoning)


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_results_are_recorded_under_the_name_of_their_call(tmp_path: Path) -> None:
    """By tool_call_id: the message that answers may stand anywhere, and its name may lie."""
    messages = [
        {"role": "user", "content": "問"},
        {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "b", "function": {"name": "g"}}]},
        {"role": "tool", "tool_call_id": "b", "name": "f", "content": "of g"},
        {"role": "tool", "tool_call_id": "a", "name": "g", "content": "of f"},
    ]
    found = flow(tmp_path, messages=messages)
    assert 'recorded = {"g": "of g", "f": "of f"}' in found["define"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda items: st.lists(items, max_size=4) | st.dictionaries(st.text(), items, max_size=4),
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_the_code_holds_what_was_said_to_the_letter(value: dict[str, Any]) -> None:
    assert ast.literal_eval(python_text(value)) == value


def test_a_formatter_finds_nothing_to_do_in_the_code(tmp_path: Path) -> None:
    """Who publishes a card may format the code in it, and `card verify` is about its bytes."""
    quotes = ["it's", 'said "no"', 'it\'s "no"', "\\", "", "問" * 41, "問" * 39, "a" * 81, "a" * 82]
    nested = {
        "empty": {},
        "k" * 90: {},
        "問" * 40: [],
        "list": [],
        "one": [1],
        "deep": {"a": {"b": [quotes, None, True, 0.5]}},
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": nested, "quotes": quotes}}
    results = [{"role": "tool", "tool_call_id": "a", "content": text} for text in quotes]
    asked = {"role": "user", "content": "台北氣溫如何？" * 9}
    messages = [asked, {"role": "assistant", "tool_calls": [CALL]}, *results]
    found = flow(tmp_path, messages=messages, tools=[tool, tool])
    (tmp_path / "card.md").write_text(f"{found['define']}\n\n{found['ask']}\n", encoding="utf-8")
    for length in ("88", "100", "120"):
        check = ["format", "--isolated", "--check", "--preview", "--line-length", length, "card.md"]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_code_never_counts_calls(tmp_path: Path) -> None:
    """The F1 cards write tool_calls[0] and tool_calls[1]."""
    found = flow(tmp_path, messages=[{"role": "user", "content": "問"}])
    assert "tool_calls[" not in found["define"] + found["ask"]
    assert "zip(" not in found["ask"]
    assert '"tool_call_id": call.id' in found["ask"]


def test_what_the_model_thought_is_shown(tmp_path: Path) -> None:
    thought = {"role": "assistant", "reasoning_content": "先想", "content": "好"}
    found = flow(tmp_path, True, messages=[thought])
    assert json.loads(found["turns"][0]["block"].strip("`").removeprefix("json")) == {
        "reasoning_content": "先想",
        "content": "好",
    }
    assert "reasoning_content" in found["ask"]
    assert "reasoning_content" not in flow(tmp_path, messages=[thought])["ask"]


def test_only_the_question_is_asked_again(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "今天"},
        {"role": "user", "content": "問"},
        {"role": "assistant", "content": "答"},
        {"role": "user", "content": "再問"},
    ]
    found = flow(tmp_path, messages=messages)
    assert "再問" not in found["ask"]
    assert "今天" in found["ask"]
    assert [turn["head"] for turn in found["turns"]] == [
        *("**系統**", "**使用者**", "**模型**", "**使用者**")
    ]


def test_the_steps_are_named_in_the_language_of_the_part(tmp_path: Path) -> None:
    steps = [
        {"name": "two calls", "passed": False},
        {"name": "results answered by id", "passed": True},
        {"name": "a step of tomorrow", "passed": None},
    ]
    write_json(tmp_path / FLOW, {"steps": steps})
    book = Ledger(tmp_path)
    drawn = flow_steps(book)
    assert "| 一次回覆呼叫兩個工具 | 否 |" in drawn and "| a step of tomorrow | – |" in drawn
    book.language = "both"
    drawn = flow_steps(book)
    assert "| 一次回覆呼叫兩個工具 two calls | 否 no |" in drawn
    assert "| 結果以 id 對應 results answered by id | 是 yes |" in drawn


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"tool_calls": ["x"]}]},
        {"messages": [{"tool_calls": [{"function": "x"}]}]},
        {"messages": [{"role": "assistant", "tool_calls": 3}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": []}]}]},
    ],
)
def test_a_record_of_another_shape_is_a_sentence(tmp_path: Path, record: dict[str, Any]) -> None:
    with pytest.raises(CardError, match="holds no conversation"):
        flow(tmp_path, **record)


@pytest.mark.parametrize("record", [{}, {"messages": None}, {"messages": "x"}, {"messages": [1]}])
def test_a_record_that_says_nothing_shows_nothing(tmp_path: Path, record: dict[str, Any]) -> None:
    found = flow(tmp_path, **record)
    assert found["turns"] == [] and not found["passed"]


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("bfcl-zhtw-simple", "Function calling"),
        ("math-500", "Mathematics"),
        ("gsm8k", "Mathematics"),
        ("tmmluplus", "Multiple choice"),
    ],
)
def test_the_kind_of_a_task_in_the_model_index(tmp_path: Path, task: str, kind: str) -> None:
    write_log(tmp_path / "x.jsonl", task=task, model="m", outcomes={"s": ["CCW"]})
    entry = entry_of(read_log(tmp_path / "x.jsonl"), "s")
    assert (entry.task_name, entry.metric_value, entry.verified) == (kind, 66.7, False)
    assert entry.dataset_type == task  # its source is no data set of the hub


def test_the_hub_s_own_results_are_of_all_shards(tmp_path: Path) -> None:
    """One shard of two would be half a benchmark under the name of the whole."""
    for number in (1, 2):
        write_log(
            tmp_path / f"logs/trained-gpqa-diamond-{number}.jsonl",
            task="gpqa-diamond",
            model="m",
            outcomes={"letter": ["CWCW"]},
            shard=(number, 2),
            start={
                "task": {"source": "https://huggingface.co/datasets/Idavidrein/gpqa"},
                "plan": {"original": 4},
            },
        )
    book = Ledger(tmp_path)
    (path,) = write_eval_results(book.sources, find_logs(book))
    (entry,) = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert entry["value"] == 50.0


def test_the_citation_is_of_the_year_of_the_evaluation(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    book = Ledger(run)
    logs = find_logs(book)
    text = facts.citation(book, logs, facts.gather(book, logs, "mini{x}"))
    assert "year = {2026}" in text
    assert "title = {mini x : a small" in text
    assert text.count("{") == text.count("}")
    assert "year" not in facts.citation(book, [], facts.gather(book, [], "mini"))


def test_a_limit_is_of_the_strict_reading_only(tmp_path: Path) -> None:
    """A lenient reading that finds more is no second failure."""
    for role in ("base", "trained"):
        path = tmp_path / f"logs/{role}-bfcl-simple.jsonl"
        both = {"ast": ["WWWW"], "ast_lenient": ["WWWW"]}
        write_log(path, task="bfcl-simple", model=role, outcomes=both)
    book = Ledger(tmp_path)
    logs = find_logs(book)
    assert facts.limit(book, logs, "zero") == ["bfcl-simple（ast）"]
    assert facts.limit(book, logs, "same") == ["bfcl-simple（ast）"]
    book.language = "en"
    assert facts.limit(book, logs, "zero") == ["bfcl-simple (ast)"]
    assert facts.limit(book, logs, "worse") == []
