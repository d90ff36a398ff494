"""A card from a run folder: complete, in two languages, and nothing in it is invented."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from card_run import flow_messages, make_run, rows, write_json, write_lines, write_log, written
from formosa.card.claims import (
    CLAIMS_FILE,
    MODEL_INDEX,
    Ask,
    Cell,
    Claim,
    ClaimedTable,
    Claims,
    claims_mark,
    claims_text,
    parse_claims,
    read_claims,
)
from formosa.card.figures import METRICS, Sources, plain
from formosa.card.markdown import read_document
from formosa.card.run_files import at_pointer, pointer_to
from formosa.card.values import read_card
from formosa.card.write import write_card
from formosa.errors import CardError, LogError

# Tables of a run that has logs and nothing else.
TOLD = ("differences", "choice", "bfcl", "purity")  # in each language
SHARED = ("scores", "tasks", "logs", "programs")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def code_blocks(text: str, language: str) -> list[str]:
    return [m[2] for m in re.finditer(rf"^(`{{3,}}){language}\n(.*?)\n\1$", text, re.M | re.S)]


def test_the_front_matter_says_what_the_run_knows(run: Path) -> None:
    card, _ = written(run)
    assert card.license == "apache-2.0"
    assert card.language == ("en", "zh")
    assert card.base_model == ("HuggingFaceTB/SmolLM2-135M-Instruct",)
    assert (card.library_name, card.pipeline_tag) == ("transformers", "text-generation")
    assert card.datasets == ("example/tw-tools",)  # only what has the form of a hub id
    assert {"tool-calling", "hermes", "gguf"} <= set(card.tags)
    assert list(card.fields)[:3] == ["license", "language", "base_model"]  # as the F1 cards


def test_the_model_index_has_our_figures_and_never_says_verified(run: Path) -> None:
    card, _ = written(run)
    found = [(r.dataset_name, r.metric_name, r.metric_value, r.verified) for r in card.results]
    assert found == [
        ("bfcl-simple", "ast", 75.0, False),
        ("mini-zh-tw", "box", 33.3, False),
        ("mini-zh-tw", "pattern", 58.3, False),
    ]
    assert {r.dataset_revision for r in card.results} == {"a" * 40}
    assert card.results[0].dataset_args == {
        "version": 1,
        "questions": 8,
        "of": 400,
        "repeats": 1,
        "seed": 7,
    }


def test_the_score_table_has_both_models_all_outcomes_and_the_log(run: Path) -> None:
    _, document = written(run)
    found = rows(document, "scores")
    assert len(found) == 6  # (1 + 2 scorers) × 2 models
    head, tail = found[0], found[1]
    assert list(head.values())[:9] == [
        *("bfcl-simple", "ast", "base", "12.5 [2.2, 47.1]", "1", "5", "1", "1", "0")
    ]
    assert list(tail.values())[2:9] == ["trained", "75.0 [40.9, 92.9]", "6", "1", "0", "0", "1"]
    assert "(logs/trained-bfcl-simple.jsonl)" in tail["紀錄"]
    # All five outcomes together are every answer asked for.
    assert [sum(int(row[key]) for key in list(row)[4:9]) for row in found] == [8, 8, 12, 12, 12, 12]


def test_the_difference_is_paired_and_says_when_nothing_is_shown(run: Path) -> None:
    _, document = written(run)
    found = rows(document, "differences")
    assert [row["任務"] for row in found] == ["bfcl-simple", "mini-zh-tw", "mini-zh-tw"]
    # 5 better, 0 worse of 8: the interval leaves 0, the exact test (p = 0.0625) does not.
    assert [row["判斷"] for row in found] == ["無法區分"] * 3
    assert (found[0]["較好題數"], found[0]["p 值"]) == ("5", "0.062")
    assert list(found[1].values())[2] == "+0.0 [-34.6, +34.6]"  # no "-0.0"


@pytest.mark.parametrize(("base", "trained", "verdict"), [("W", "C", "較好"), ("C", "W", "較差")])
def test_a_clear_difference_is_named(tmp_path: Path, base: str, trained: str, verdict: str) -> None:
    for role, letter in (("base", base), ("trained", trained)):
        path = tmp_path / f"run/logs/{role}-x.jsonl"
        write_log(path, task="x", model=role, outcomes={"ast": [letter * 12]})
    _, document = written(tmp_path / "run")
    (row,) = rows(document, "differences")
    assert row["判斷"] == verdict
    assert row["p 值"] == "&lt; 0.001"


def test_every_log_stands_with_its_whole_sha256(run: Path) -> None:
    _, document = written(run)
    found = rows(document, "logs")
    assert len(found) == 4
    sources = Sources(run)
    for row in found:
        name = row["紀錄"].split("](")[1].rstrip(")")
        assert row["紀錄檔"] == sources.sha256(name)


def test_data_training_and_parity_come_from_their_reports(run: Path) -> None:
    _, document = written(run)
    assert list(rows(document, "data-sources")[0].values()) == [
        *("formosa-tools", "apache-2.0", "–", "1200", "1100", "40", "–"),
        *("duplicate 90, too long 10", "0.999123"),
    ]
    assert [row["種類"] for row in rows(document, "data-kinds")] == ["one-call", "parallel-2"]
    settings = {row["項目"]: row["值"] for row in rows(document, "training")}
    assert settings["LoRA"] == "rank 16, alpha 32"
    assert settings["學習率"] == "0.0005"
    assert settings["最初損失"] == "2.12346"
    assert settings["保留集完全正確的呼叫"] == "correct 31, of 50"
    assert [row["通過"] for row in rows(document, "parity")] == ["是", "是"]


def test_what_was_said_is_quoted_word_for_word(run: Path) -> None:
    """Fences, tables and claims that a model or a tool wrote stay inside their code block."""
    text = write_card(run)
    for message in flow_messages():
        assert message["content"] in text
    assert '"arguments": "{\\"query\\": \\"最新關稅政策\\"}"' in text
    document = read_document(read_card(run / "README.md").body)
    assert [t for t in document.tables if not t.name] == []
    found, problems = read_claims(document.comments, run)
    assert found is not None and not problems


def test_both_languages_and_the_limits_are_there(run: Path) -> None:
    text = write_card(run)
    for words in (
        *("模型很小", "The model is small", "不能與排行榜上的分數相比"),
        *("not comparable with leaderboards", "formosa card verify", "formosa chat"),
        *("formosa serve", "llama-server", "vllm serve", "AutoTokenizer", "@misc"),
    ):
        assert words in text


def test_the_same_files_give_the_same_bytes(run: Path) -> None:
    assert write_card(run) == write_card(run) == (run / "README.md").read_text()


def test_no_path_of_this_machine_is_in_the_card(run: Path) -> None:
    assert str(run.parent) not in write_card(run)


def test_every_code_block_parses(run: Path) -> None:
    text = write_card(run)
    python = code_blocks(text, "python")
    assert len(python) == 4  # both languages share them
    for block in python:
        ast.parse(block)
    for block in code_blocks(text, "json"):
        json.loads(block)


def test_the_python_of_the_walk_through_answers_calls_by_id(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The F1 cards pair results and calls by position, and crash when a model turns them round."""
    sent: list[list[dict[str, Any]]] = []

    def message(content: str, calls: list[tuple[str, str]]) -> types.SimpleNamespace:
        made = [
            types.SimpleNamespace(id=id, function=types.SimpleNamespace(name=name, arguments="{}"))
            for id, name in calls
        ]
        said = types.SimpleNamespace(
            content=content,
            tool_calls=made,
            model_dump=lambda exclude_none: {"role": "assistant", "content": content},
        )
        return types.SimpleNamespace(choices=[types.SimpleNamespace(message=said)])

    replies = [message("", [("b", "search"), ("a", "get_weather")]), message("done", [])]

    def create(**request: Any) -> Any:
        sent.append(list(request["messages"]))
        return replies.pop(0)

    listed = types.SimpleNamespace(data=[types.SimpleNamespace(id="mini")])
    client = types.SimpleNamespace(
        models=types.SimpleNamespace(list=lambda: listed),
        chat=types.SimpleNamespace(completions=types.SimpleNamespace(create=create)),
    )
    fake = types.ModuleType("openai")
    fake.OpenAI = lambda **_: client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openai", fake)
    define, ask = code_blocks(write_card(run), "python")[2:4]
    exec(define + "\n" + ask, {})
    results = {m["tool_call_id"]: m["content"] for m in sent[1] if m.get("role") == "tool"}
    assert results == {"b": "關稅為 32%\n```\n| 1 | 2 |", "a": "臺北 26 度,晴"}
    assert capsys.readouterr().out == "done\n"


def test_a_flow_that_failed_is_said(run: Path) -> None:
    path = run / "serve/tool-flow.json"
    flow = json.loads(path.read_text())
    write_json(path, {**flow, "passed": False, "messages": flow["messages"][:1]})
    assert "**流程沒有完成**" in write_card(run)


def test_what_a_run_did_not_do_is_said_and_not_invented(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for name in ("data", "train", "gguf", "serve", "checkpoint"):
        shutil.rmtree(run / name)
    (run / "model.json").unlink()
    card, document = written(run)
    assert card.license == "unknown"
    assert "base_model" not in card.fields
    assert {table.name for table in document.tables} == {
        *SHARED,
        *(name + ending for name in TOLD for ending in ("", "-en")),
    }
    for words in (
        "no data report",
        "no record of training",
        "no parity checks",
        "not try the tool",
    ):
        assert words in card.body
    assert "llama-server -m" not in card.body
    assert "vllm serve" not in card.body


def test_a_run_without_evaluation_has_no_scores(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    shutil.rmtree(run / "logs")
    card, document = written(run)
    assert "model-index" not in card.fields
    assert "scores" not in {table.name for table in document.tables}
    assert "This run evaluated nothing" in card.body


def test_a_licence_that_the_hub_does_not_know_is_named_as_other(run: Path) -> None:
    model = json.loads((run / "model.json").read_text())
    write_json(run / "model.json", {**model, "licence": "my own terms"})
    card, _ = written(run)
    assert (card.license, card.fields["license_name"]) == ("other", "my own terms")


def test_an_unfinished_evaluation_is_refused(run: Path) -> None:
    """A score of half the questions must not reach a card."""
    path = run / "logs/trained-bfcl-simple.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-3]) + "\n")
    with pytest.raises(CardError, match="not finished: 6 of 8 samples") as caught:
        write_card(run)
    assert "formosa run" in caught.value.hint
    assert not (run / "README.md").exists()


def test_other_logs_of_the_folder_do_not_come_into_the_card(run: Path) -> None:
    write_lines(run / "logs/notes.jsonl", [{"type": "nothing"}])
    assert "notes.jsonl" not in write_card(run)


def test_damaged_files_are_sentences(run: Path) -> None:
    for name, content, error in (
        ("train/summary.json", "{", CardError),
        ("data/report.json", "[1]", CardError),
        ("serve/tool-flow.json", '{"messages": [{"tool_calls": ["x"]}]}', CardError),
        ("logs/base-bfcl-simple.jsonl", "{}\n", LogError),
    ):
        before = (run / name).read_text()
        (run / name).write_text(content)
        with pytest.raises(error):
            write_card(run)
        (run / name).write_text(before)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="no run folder") as caught:
        write_card(tmp_path)
    assert "formosa run" in caught.value.hint


def test_names_cannot_write_markup_into_the_card(run: Path) -> None:
    path = run / "data/report.json"
    report = json.loads(path.read_text())
    report["sources"][0]["name"] = "a|b <script>x</script> [l](javascript:1)\n| 9 | `c"
    report["kinds"] = {"<b>|1/2~": 3}
    write_json(path, report)
    card, document = written(run)
    assert "<script>" not in card.body
    row = rows(document, "data-sources")[0]
    assert row["讀入筆數"] == "1200"
    assert row["來源"].startswith("a\\|b &lt;script>")
    assert rows(document, "data-kinds")[0]["筆數"] == "3"


def test_the_card_says_what_the_rows_were_compared_with(run: Path) -> None:
    """Whoever reads a BFCL score asks whether its questions were trained on."""
    _, document = written(run)
    assert list(rows(document, "data-contamination")[0].values()) == [
        "bfcl-simple", "400", "798", "3",
    ]  # fmt: skip
    path = run / "data/report.json"
    write_json(path, {**json.loads(path.read_text()), "contamination": []})
    card, _ = written(run)
    assert "data-contamination" not in card.body
    assert "does not say that the rows were compared" in card.body


def test_a_data_set_of_the_hub_is_named_by_its_id_whatever_the_recipe_calls_it(run: Path) -> None:
    path = run / "data/report.json"
    report = json.loads(path.read_text())
    report["sources"][0]["about"] = {"hub": "lianghsun/tw-reasoning-instruct"}
    write_json(path, report)
    card, _ = written(run)
    assert set(card.datasets or ()) == {"lianghsun/tw-reasoning-instruct", "example/tw-tools"}


def test_two_sources_of_one_name_are_two_rows(run: Path) -> None:
    path = run / "data/report.json"
    report = json.loads(path.read_text())
    report["sources"] = [report["sources"][0], {**report["sources"][0], "rows_in": 5}]
    write_json(path, report)
    _, document = written(run)
    assert [row["讀入筆數"] for row in rows(document, "data-sources")] == ["1200", "5"]


def test_claims_are_read_as_written(tmp_path: Path) -> None:
    """Once written, and one for each language that shows it; any text may stand in a cell."""
    said = "--> <!-- 1 <2> \u2028 中"
    ask, other = Ask("score", ("f",), "ast"), Ask("value", ("f", "g"), "", "/a/0")
    index = Claim(MODEL_INDEX, ("x", "ast"), "value", "2", ("f",), "accuracy", "ast")
    rows = [
        [Cell(("甲", "a")), Cell((said, said), ask)],
        [Cell(("乙", "b")), Cell(("是", "yes"), other)],
    ]
    table = ClaimedTable("t", ("zh", "en"), 1, [("名", "name"), ("值", "value")], rows)
    text = claims_text({"f": "0" * 64, "g": "1" * 64}, [index], [table])
    assert text.count('"f": ') == 1 and text.count("u2028") + text.count("\u2028") == 1
    assert parse_claims(text) == Claims(
        {"f": "0" * 64, "g": "1" * 64},
        (
            index,
            Claim("t", ("甲",), "值", said, ("f",), "score", "ast"),
            Claim("t", ("乙",), "值", "是", ("f", "g"), "value", "", "/a/0"),
            Claim("t-en", ("a",), "value", said, ("f",), "score", "ast", language="en"),
            Claim("t-en", ("b",), "value", "yes", ("f", "g"), "value", "", "/a/0", "en"),
        ),
    )
    (tmp_path / CLAIMS_FILE).write_text(text)
    comments = read_document(claims_mark(text) + "\nafter").comments
    assert read_claims(comments, tmp_path) == (parse_claims(text), ())
    assert read_claims(["other"], tmp_path) == (None, ())


def test_rows_of_one_name_are_known_by_all_their_cells() -> None:
    ask = Ask("value", ("f",), "", "/a")
    rows = [[Cell(("a",)), Cell((number,), ask)] for number in "12"]
    table = ClaimedTable("t", ("both",), 1, [("name",), ("value",)], rows)
    assert [claim.row for claim in table.claims()] == [("a", "1"), ("a", "2")]


def test_a_card_reads_well_as_it_is(run: Path) -> None:
    """Asked for: no claims between its lines, and each long table once."""
    text = write_card(run)
    assert len(text.encode()) < 32_000
    assert max(map(len, read_document(read_card(run / "README.md").body).comments)) < 120
    for name in ("scores", "logs", "tasks", "training", "data-files"):
        assert text.count(f"<!-- formosa:table {name} -->") == 1
        assert f"<!-- formosa:table {name}-en -->" not in text


def test_every_cell_with_a_digit_is_claimed(run: Path) -> None:
    """A number that nobody can follow is a claim."""
    card, document = written(run)
    claims = parse_claims((run / CLAIMS_FILE).read_text(encoding="utf-8"))
    places = {(claim.table, claim.row[0], claim.column) for claim in claims.claims}
    for table in document.tables:
        for row in table.rows:
            for head, cell in list(zip(table.heads, row, strict=True))[1:]:
                if any(c.isdigit() for c in cell):
                    assert (table.name, row[0], head) in places
    assert {c.row for c in claims.claims if c.table == "model-index"} == {
        (r.dataset_name, r.metric_name) for r in card.results
    }
    assert {claim.metric for claim in claims.claims} <= set(METRICS)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (1200, "1200"),
        (0.1 + 0.2, "0.3"),
        (1e-05, "1e-05"),
        ("x", "x"),
        ({"a": 1, "b": 0.5}, "a 1, b 0.5"),
        ({}, "–"),
        ([], "–"),
        ([1, [2, 3]], "1, 2, 3"),
    ],
)
def test_json_values_as_cells(value: Any, text: str) -> None:
    assert plain(value) == text


def test_json_pointers() -> None:
    value = {"a/b": [{"~x": 1}]}
    assert pointer_to("a/b", 0, "~x") == "/a~1b/0/~0x"
    assert at_pointer(value, "/a~1b/0/~0x") == 1
    assert at_pointer(value, "") == value
    for missing in ("/c", "/a~1b/1", "/a~1b/x", "/a~1b/0/~0x/y"):
        with pytest.raises(CardError, match="Nothing stands at"):
            at_pointer(value, missing)
