"""benchmarks/exact_calls.py: what counts as right, which rows are asked, what is printed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from formosa.chat.message import ToolCall, json_text
from formosa.chat.template import ChatTemplate
from formosa.data.rows import Row
from formosa.data.synth.generate import generate
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat

FILE = Path(__file__).parents[1] / "benchmarks" / "exact_calls.py"


@pytest.fixture(scope="module")
def exact() -> ModuleType:
    spec = importlib.util.spec_from_file_location("exact_calls", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["exact_calls"] = module
    spec.loader.exec_module(module)
    return module


def right_reply(row: Row) -> str:
    """What the row's assistant says first, as a model writes it."""
    template = ChatTemplate.formosa("chatml")
    rendered = template.render(row.messages, row.tools)
    start, end = rendered.spans[0]
    return rendered.text[start:end].removesuffix(template.stop)


def run(exact: ModuleType, path: Path, monkeypatch: pytest.MonkeyPatch, replies: list[str]) -> None:
    monkeypatch.setattr(exact, "open_chat", lambda *a, **o: TemplatedChat(ScriptedEngine(replies)))
    exact.main(
        [
            str(path),
            "--model",
            "m",
            "--limit",
            str(len(replies)),
            "--show",
            "1",
            "--max-tokens",
            "4000",
        ]
    )


def test_right_and_wrong_answers_are_counted_by_kind_and_language(
    exact: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kinds = {"single": 1, "parallel": 1, "chat": 1}
    rows = list(generate(12, 3, kinds=kinds, held_out=True))
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json_text(row.to_json()) + "\n" for row in rows), encoding="utf-8")
    replies = [right_reply(row) for row in rows]
    wrong = next(i for i, row in enumerate(rows) if row.kind == "parallel")
    replies[wrong] = replies[wrong].partition("</tool_call>")[0] + "</tool_call>"  # one of several
    run(exact, path, monkeypatch, replies)
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line.split()[1:3] for line in printed.splitlines() if line.strip()}
    assert lines["all"] == ["11", "12"]
    assert lines["parallel"] == ["3", "4"] and lines["chat"][0] == lines["chat"][1]
    assert rows[wrong].question in printed and "wanted" in printed


def test_calls_may_come_in_any_order_but_each_once(exact: ModuleType) -> None:
    a, b = ToolCall.of("f", {"x": 1}), ToolCall.of("f", {"x": 2.0})
    same = exact.same_calls_in_any_order
    assert same([a, b], [b, a]) and same([], [])
    assert not same([a, b], [a, a]) and not same([a], [a, b])
    assert not same([a], [ToolCall.of("f", {"x": "1"})])


def test_the_same_rows_are_asked_and_from_the_whole_file(exact: ModuleType) -> None:
    rows = list(generate(50, 3))
    chosen = exact.spread(rows, 10)
    assert chosen == exact.spread(rows, 10) == [rows[i] for i in range(0, 50, 5)]
    assert exact.spread(rows, None) == rows == exact.spread(rows, 99)
