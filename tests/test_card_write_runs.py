"""Run folders of every kind: a card says what is there, and that nothing is where nothing is."""

from __future__ import annotations

import json
import random
import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from card_run import HEX, make_run, rows, write_json, write_log
from formosa.card.markdown import Document, read_document
from formosa.card.parts import read_parts
from formosa.card.values import Card, read_card
from formosa.card.verify import verify_card
from formosa.card.write import write_card
from formosa.chat.template import ChatTemplate
from formosa.errors import CardError, UserError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def written(run: Path) -> tuple[Card, Document]:
    """The card, which must be as its files say."""
    write_card(run)
    errors = [f for f in verify_card(run / "README.md") if f.severity in ("error", "claimed")]
    assert errors == []
    card = read_card(run / "README.md")
    return card, read_document(card.body)


def change(run: Path, file: str, **fields: Any) -> None:
    path = run / file
    write_json(path, {**json.loads(path.read_text()), **fields})


# -- evaluations --------------------------------------------------------------------------------


def test_choice_tasks_stand_as_on_the_f1_cards_with_the_unit_of_the_value(run: Path) -> None:
    """F1 prints 44.11 (±0.0179): a percentage beside a share of 1."""
    _, document = written(run)
    found = rows(document, "choice")
    assert [list(row.values())[:2] for row in found] == [
        ["訓練前", "box"],
        ["訓練前", "pattern"],
        ["訓練後", "box"],
        ["訓練後", "pattern"],
    ]
    # Two runs of six questions: 2 and 2 right by box, 3 and 4 by pattern.
    assert found[0]["mini-zh-tw（%）"] == "33.3 ±0.0 [9.7, 70.0] n=6"
    assert found[1]["mini-zh-tw（%）"].startswith("58.3 ±8.3 [")
    assert {(row["次數"], row["選項排序的種子"]) for row in found} == {("2", "7")}


def add_bfcl(run: Path, **letters: str) -> None:
    for part, outcomes in letters.items():
        task = f"bfcl-{part.replace('_', '-')}"
        for role in ("base", "trained"):
            both = {"ast": [outcomes], "ast_lenient": ["C" * len(outcomes)]}
            write_log(run / f"logs/{role}-{task}.jsonl", task=task, model=role, outcomes=both)


def test_the_mean_of_bfcl_is_the_mean_of_its_columns(run: Path) -> None:
    """On the F1 card the column called Overall is no mean of the others."""
    add_bfcl(run, simple="CCCW", multiple="CCWW", parallel="CWWW", parallel_multiple="WWWW")
    _, document = written(run)
    base, trained = rows(document, "bfcl")
    assert [cell.split(" ")[0] for cell in list(trained.values())[4:]] == [
        *("75.0", "50.0", "25.0", "0.0")
    ]
    assert trained["平均 Mean"] == base["平均 Mean"] == "37.5"
    assert {row["判讀"] for row in (base, trained)} == {"ast"}  # the lenient reading is in `scores`
    assert "ast_lenient" in {row["判讀"] for row in rows(document, "scores")}


def test_a_mean_of_fewer_than_four_columns_is_none(run: Path) -> None:
    add_bfcl(run, simple="CCCW", multiple="CCWW", parallel="CWWW")
    _, document = written(run)
    assert {row["平均 Mean"] for row in rows(document, "bfcl")} == {"–"}


def test_families_of_bfcl_are_never_mixed(run: Path) -> None:
    add_bfcl(run, simple="CC", zhtw_simple="CW", zhtw_parallel_multiple="WW")
    _, document = written(run)
    assert [row["題組"] for row in rows(document, "bfcl")] == ["bfcl", "bfcl", *["bfcl-zhtw"] * 2]


def test_mathematics_stands_in_a_table_of_its_own(run: Path) -> None:
    for role, letters in (("base", "CWWW"), ("trained", "CCWW")):
        path = run / f"logs/{role}-math-500.jsonl"
        write_log(path, task="math-500", model=role, outcomes={"boxed": [letters]})
    card, document = written(run)
    found = [row["math-500（%）"].split(" ")[0] for row in rows(document, "other")]
    assert found == ["25.0", "50.0"]
    assert {r.task_name for r in card.results if r.dataset_name == "math-500"} == {"Mathematics"}


def test_a_data_set_of_the_hub_is_named_as_the_f1_cards_name_it(run: Path) -> None:
    source = "https://huggingface.co/datasets/ikala/tmmluplus"
    write_log(
        run / "logs/trained-tmmluplus.jsonl",
        task="tmmluplus",
        model="x",
        outcomes={"box": ["CW"]},
        start={"task": {"source": source}},
    )
    card, _ = written(run)
    (entry,) = [r for r in card.results if r.dataset_name == "tmmluplus"]
    assert entry.dataset_type == "ikala/tmmluplus"


def shards(run: Path, role: str, of: int, letters: str, numbers: list[int]) -> None:
    for number in numbers:
        path = run / f"logs/{role}-bfcl-simple-{number}of{of}.jsonl"
        write_log(
            path, task="bfcl-simple", model=role, outcomes={"ast": [letters]}, shard=(number, of)
        )


def test_an_evaluation_in_shards_is_one(run: Path) -> None:
    """Three machines asked; the figures are those of the whole."""
    whole, _ = written(run)
    for role, letters in (("base", "WWUWCTWW"), ("trained", "CCCWCCFC")):
        (run / f"logs/{role}-bfcl-simple.jsonl").unlink()
        shards(run, role, 3, letters, [1, 2, 3])
    card, document = written(run)
    assert [r.metric_value for r in card.results] == [r.metric_value for r in whole.results]
    found = [row for row in rows(document, "scores") if row["任務"] == "bfcl-simple"]
    assert [row["正確率"] for row in found] == ["12.5 [2.2, 47.1]", "75.0 [40.9, 92.9]"]
    assert found[1]["紀錄"].count("](logs/trained-bfcl-simple-") == 3
    (pair,) = [row for row in rows(document, "differences") if row["任務"] == "bfcl-simple"]
    assert (pair["較好題數"], pair["p 值"]) == ("5", "0.062")
    assert len([r for r in rows(document, "logs") if "bfcl-simple" in r["紀錄"]]) == 6


@pytest.mark.parametrize("numbers", [[1, 3], [2], [1, 2]])
def test_a_missing_shard_is_refused(run: Path, numbers: list[int]) -> None:
    """A score of two thirds of the questions must not reach a card."""
    (run / "logs/trained-bfcl-simple.jsonl").unlink()
    shards(run, "trained", 3, "CCCWCCFC", numbers)
    with pytest.raises(CardError, match="not all the shards") as caught:
        write_card(run)
    assert "formosa eval merge" in caught.value.hint


def test_shards_beside_the_merged_log_are_not_counted_twice(run: Path) -> None:
    before, _ = written(run)
    shards(run, "trained", 2, "WWWWWWWW", [1])
    after, _ = written(run)
    assert [r.metric_value for r in after.results] == [r.metric_value for r in before.results]


def test_shards_of_different_runs_are_refused(run: Path) -> None:
    (run / "logs/trained-bfcl-simple.jsonl").unlink()
    shards(run, "trained", 2, "CCCWCCFC", [1, 2])
    path = run / "logs/trained-bfcl-simple-2of2.jsonl"
    path.write_text(path.read_text().replace('"max_tokens": 64', '"max_tokens": 65'))
    with pytest.raises(CardError, match="another run"):
        write_card(run)


def test_a_second_log_of_a_task_does_not_stand_for_it(run: Path) -> None:
    path = run / "logs/trained-bfcl-simple-hot.jsonl"
    write_log(path, task="bfcl-simple", model="x", outcomes={"ast": ["WWWWWWWW"]})
    card, document = written(run)
    assert [r.metric_value for r in card.results if r.dataset_name == "bfcl-simple"] == [75.0]
    assert len([r for r in rows(document, "scores") if r["任務"] == "bfcl-simple"]) == 3


def test_the_chinese_of_the_replies_is_measured(run: Path) -> None:
    _, document = written(run)
    found = rows(document, "purity")
    assert [row["任務"] for row in found] == ["mini-zh-tw"] * 2  # nothing was counted in BFCL
    assert (found[0]["漢字數"], found[0]["簡體字 %"]) == ("480", "2.50")
    assert found[0]["中國大陸用語 %"] == "5.00"


def test_the_limits_name_what_it_fails_at(tmp_path: Path) -> None:
    for role, letters in (("base", "CCCCCCCCCCCC"), ("trained", "WWWWTTTTUUUU")):
        path = tmp_path / f"x/logs/{role}-bfcl-simple.jsonl"
        write_log(path, task="bfcl-simple", model=role, outcomes={"ast": [letters]})
    card, _ = written(tmp_path / "x")
    for words in ("一題也沒有答對", "長度上限還停不下來", "讀不出答案", "反而變差"):
        assert f"{words}" in card.body
    for words in ("Not one right answer", "at the token limit in", "answer that can be read"):
        assert words in card.body
    assert "Worse after the training" in card.body
    assert "Not to be told apart" not in card.body


def test_a_good_model_is_not_called_bad(tmp_path: Path) -> None:
    for role, letters in (("base", "W" * 12), ("trained", "C" * 12)):
        path = tmp_path / f"x/logs/{role}-bfcl-simple.jsonl"
        write_log(path, task="bfcl-simple", model=role, outcomes={"ast": [letters]})
    card, _ = written(tmp_path / "x")
    for words in ("一題也沒有答對", "停不下來", "讀不出答案，多半", "變差", "不能說訓練有幫助"):
        assert words not in card.body


# -- where it comes from ------------------------------------------------------------------------


def test_a_run_without_training_does_not_say_that_it_was_trained(run: Path) -> None:
    shutil.rmtree(run / "train")
    card, document = written(run)
    assert "微調而成" not in card.body and "by fine-tuning" not in card.body
    settings = {row["項目"] for row in rows(document, "training")}
    assert settings == {"基底", "基底檔"}  # model.json names it
    assert card.fields["base_model_relation"] == "quantized"


def test_a_trained_model_is_a_finetune_of_its_base(run: Path) -> None:
    card, _ = written(run)
    assert card.fields["base_model_relation"] == "finetune"
    assert "微調而成" in card.body


def test_a_base_from_the_hub_has_its_commit(run: Path) -> None:
    fields = {"name": "Llama-3.2-3B", "hub_id": "meta-llama/Llama-3.2-3B", "revision": "d" * 40}
    change(run, "model.json", kind="hub", licence="llama3.2", **fields)
    card, document = written(run)
    assert card.base_model == ("meta-llama/Llama-3.2-3B",)
    settings = {row["項目"]: row["值"] for row in rows(document, "training")}
    assert settings["基底版本"] == "d" * 40
    assert "[meta-llama/Llama-3.2-3B](https://huggingface.co/meta-llama/Llama-3.2-3B)" in card.body


def test_a_base_that_is_a_folder_is_no_hub_id(run: Path) -> None:
    change(run, "model.json", name="my-base", hub_id="", licence="")
    card, _ = written(run)
    assert card.base_model == ()
    assert "base_model_relation" not in card.fields
    assert card.license == "unknown"
    assert "沒有記錄基底模型的授權" in card.body


def test_llama_asks_for_its_name_and_its_banner(run: Path) -> None:
    change(run, "model.json", licence="llama3.2", hub_id="meta-llama/Llama-3.2-3B")
    card, _ = written(run)
    assert card.license == "llama3.2"
    assert card.fields["license_link"] == "https://www.llama.com/llama3_2/license/"
    assert card.body.count("**Built with Llama**") == 2
    assert "發布前要改名" in card.body and "Rename it before you publish" in card.body
    assert "Copyright © Meta Platforms" in card.body
    renamed, _ = written(run.rename(run.with_name("Llama-tiny")))
    assert "發布前要改名" not in renamed.body


def test_gemma_hands_its_terms_on(run: Path) -> None:
    change(run, "model.json", licence="gemma", hub_id="google/gemma-3-270m")
    card, _ = written(run)
    assert card.license == "gemma"
    assert "ai.google.dev/gemma/terms" in card.body
    assert "Built with" not in card.body


def test_an_apache_licence_may_be_written_in_any_case(run: Path) -> None:
    change(run, "model.json", licence="Apache-2.0")
    card, _ = written(run)
    assert card.license == "apache-2.0"


def test_a_licence_of_the_data_that_forbids_commerce_is_said(run: Path) -> None:
    report = json.loads((run / "data/report.json").read_text())
    report["sources"][1]["licence"] = "cc-by-nc-4.0"
    write_json(run / "data/report.json", report)
    card, _ = written(run)
    assert "不得用於商業目的" in card.body and "no commercial use" in card.body


# -- what it can --------------------------------------------------------------------------------

ROW = {"role": "assistant", "content": "好", "reasoning_content": "先想一想"}


def add_reasoning(run: Path, *, tokens: bool) -> None:
    (run / "data/train.jsonl").write_text(
        json.dumps({"messages": [ROW]}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    added = [{"id": 1, "content": name} for name in ("<think>", "</think>") if tokens]
    write_json(run / "checkpoint/tokenizer.json", {"added_tokens": added})


def test_a_model_that_thinks_is_served_with_a_reasoning_parser(run: Path) -> None:
    add_reasoning(run, tokens=True)
    card, _ = written(run)
    assert card.body.count("--reasoning-parser deepseek_r1") == 1
    assert "--enable-reasoning" not in card.body  # newer vLLMs know it no more
    assert "reasoning" in card.tags
    assert card.body.count('getattr(said, "reasoning_content", None)') == 1


def test_a_parser_that_could_not_start_is_left_out(run: Path) -> None:
    """vLLM's wants <think> in the vocabulary."""
    add_reasoning(run, tokens=False)
    card, _ = written(run)
    assert "--reasoning-parser deepseek_r1" not in card.body
    assert "詞彙表裡沒有 `<think>`" in card.body


def test_a_model_that_does_not_think_has_no_reasoning_parser(run: Path) -> None:
    """It would take every reply for reasoning."""
    card, _ = written(run)
    assert "--reasoning-parser" not in card.body
    assert "reasoning" not in card.tags


def test_a_model_trained_on_documents_calls_no_tools(run: Path) -> None:
    shutil.rmtree(run / "serve")
    change(run, "train/summary.json", objective="cpt", method="full", lora=None)
    card, document = written(run)
    assert "繼續預訓練而成" in card.body and "by continued pre-training" in card.body
    assert not {"tool-calling", "hermes"} & set(card.tags)
    assert "--tool-call-parser" not in card.body
    assert "LoRA" not in {row["項目"] for row in rows(document, "training")}


def test_the_steps_that_failed_are_named(run: Path) -> None:
    path = run / "serve/tool-flow.json"
    step = {"name": "two calls", "passed": False, "detail": "1 call"}
    write_json(path, {**json.loads(path.read_text()), "passed": False, "steps": [step]})
    card, document = written(run)
    (row,) = rows(document, "flow-steps")
    assert row == {"步驟": "一次回覆呼叫兩個工具", "通過": "否", "說明": "1 call"}
    assert "流程都沒有走完" in card.body and "did not even complete the flow" in card.body


def test_which_programs_ran_is_said(run: Path) -> None:
    _, document = written(run)
    found = {row["程式"]: (row["版本"], row["狀態"]) for row in rows(document, "programs")}
    assert found["Python 用戶端"][0] == "openai 3.54.0"
    for program in ("vLLM", "Ollama", "llama-server"):
        assert found[program] == ("–", "沒有在這裡跑過")


LEVEL = {"file": "m.gguf", "bytes": 1000, "sha256": HEX, "divergence": 0.0123, "same_first": 0.97}


def test_levels_stand_in_a_table_with_their_plot(run: Path) -> None:
    score = {"value": 0.5, "low": 0.25, "high": 0.75, "samples": 16}
    levels = [
        {"level": "Q8_0", **LEVEL, "tokens_per_second": 120.5, "scores": {"bfcl-simple": score}},
        {"level": "Q4_K_M", **LEVEL, "scores": {}},
    ]
    write_json(run / "gguf/levels.json", {"schema": 1, "levels": levels})
    (run / "gguf/levels.svg").write_text("<svg/>")
    card, document = written(run)
    first, second = rows(document, "levels")
    assert list(first.values())[-1] == "50.0 [25.0, 75.0]"
    assert (first["位元組"], first["每秒詞元"]) == ("1000", "120.5")
    assert (second["每秒詞元"], list(second.values())[-1]) == ("–", "–")
    assert card.body.count("](gguf/levels.svg)") == 1


def test_the_file_of_the_checks_is_the_one_to_serve(run: Path) -> None:
    """The first by name would be another level."""
    (run / "gguf/model-BF16.gguf").write_bytes(b"GGUF")
    card, _ = written(run)
    assert "llama-server -m gguf/model-Q8_0.gguf" in card.body
    assert "`gguf/model-BF16.gguf`" in card.body


# -- properties ---------------------------------------------------------------------------------

FILES = ("data/report.json", "train/summary.json", "gguf/parity.json", "serve/tool-flow.json")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a JSON value below its top."""
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[tuple[str | int, ...]] = []
    for step, inner in steps:
        found.append((*at, step))
        if isinstance(inner, dict | list):
            found += places(inner, (*at, step))
    return found


@settings(deadline=None, max_examples=40)  # the machine may be busy
@given(st.sampled_from((*FILES, "model.json")), st.randoms(use_true_random=False), JSON)
def test_any_report_gives_a_true_card_or_a_sentence(
    name: str, chance: random.Random, value: Any
) -> None:
    """One value of a report is something else: the card is written and verifies, or is refused."""
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder))
        report = json.loads((run / name).read_text())
        place = chance.choice(places(report))
        inner = report
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
        write_json(run / name, report)
        try:
            first = write_card(run)
        except UserError as error:
            assert error.message
            return
        assert first == write_card(run)
        assert not [f for f in verify_card(run / "README.md") if f.severity == "error"]


@pytest.mark.parametrize(
    "name",
    ["模型 3B", "a{b}c\\d", "<script>x", "x|y`z", "a\nb", "```", "$(rm -rf x)", "-->", "'q' \"r\""],
)
def test_any_name_of_a_folder_is_only_a_name(run: Path, name: str) -> None:
    renamed = run.rename(run.parent / name)
    card, document = written(renamed)
    prose = "".join(line for _, line in read_parts(card.body).prose)
    assert "<script>" not in re.sub(r"`[^`]*`", "", prose)
    assert [table for table in document.tables if not table.name] == []
    (bibtex,) = [b.text for b in read_parts(card.body).blocks if b.language == "bibtex"]
    assert bibtex.count("{") == bibtex.count("}")
    commands = [b.text for b in read_parts(card.body).blocks if b.language == "bash"]
    wanted = f"runs/{name}".replace("\n", "-")
    assert shlex.split(commands[0].split("\n")[0]) == ["formosa", "chat", wanted]


def test_a_file_whose_name_would_break_a_command_is_not_offered(run: Path) -> None:
    (run / "gguf/a\nrm x.gguf").write_bytes(b"GGUF")
    card, _ = written(run)
    assert "rm x" not in card.body


def test_a_damaged_tokenizer_or_template_only_leaves_something_out(run: Path) -> None:
    """They are large files of other programs; the card needs little of them."""
    (run / "checkpoint/tokenizer.json").write_text("{")
    (run / "checkpoint/chat_template.jinja").write_bytes(b"\xff\xfe")
    card, _ = written(run)
    assert "FROM ./gguf/model-Q8_0.gguf\nPARAMETER" in card.body
    assert "Ollama 會自己挑一個" in card.body


def test_our_template_is_written_again_for_ollama(run: Path) -> None:
    source = ChatTemplate.formosa("llama3").source
    (run / "checkpoint/chat_template.jinja").write_text(source, encoding="utf-8")
    card, _ = written(run)
    assert card.body.count("<|start_header_id|>assistant<|end_header_id|>") >= 2
    assert "Ollama 不執行 GGUF 裡的 Jinja 模板" in card.body
    assert "Ollama does not run the Jinja template" in card.body


def test_an_older_report_is_read_too(run: Path) -> None:
    """Schema 1 had no purity, no contamination and no place where a source is from."""
    report = json.loads((run / "data/report.json").read_text())
    old = {
        "schema": 1,
        "sources": [
            {key: source[key] for key in ("name", "licence", "rows_in", "rows_out", "dropped")}
            for source in report["sources"]
        ],
        **{key: report[key] for key in ("kinds", "languages", "rows", "sha256", "seed")},
    }
    write_json(run / "data/report.json", old)
    card, document = written(run)
    assert card.datasets == ("example/tw-tools",)
    assert "不能說分數沒有受到污染" in card.body
    labels = {row["項目"] for row in rows(document, "data-files")}
    assert "訓練筆數" in labels
    assert not {label for label in labels if "純度" in label}


def test_a_run_that_only_evaluated_a_model_of_the_hub(tmp_path: Path) -> None:
    """No data, no training, no files: a base and its scores."""
    run = tmp_path / "just-scores"
    write_log(
        run / "logs/base-bfcl-simple.jsonl", task="bfcl-simple", model="x", outcomes={"ast": ["CW"]}
    )
    write_json(
        run / "model.json",
        {"schema": 1, "name": "m", "kind": "hub", "sha256": HEX, "licence": "mit",
         "hub_id": "org/m", "revision": "e" * 40},
    )  # fmt: skip
    card, document = written(run)
    assert (card.license, card.base_model, card.results) == ("mit", ("org/m",), ())
    assert "library_name" not in card.fields and "base_model_relation" not in card.fields
    assert {t.name for t in document.tables if not t.name.endswith("-en")} == {
        *("scores", "bfcl", "tasks", "logs", "programs", "training"),
    }
    assert "一題也沒有答對" not in card.body  # the base's answers are no limit of this model


def test_checks_that_name_nothing_leave_the_file_in_the_card(run: Path) -> None:
    """The table of the file was claimed and not shown."""
    change(run, "gguf/parity.json", checks=[])
    _, document = written(run)
    shown = {table.name for table in document.tables}
    assert "exported" in shown and "parity" not in shown


def test_only_languages_that_were_trained_or_asked_are_named(run: Path) -> None:
    shutil.rmtree(run / "logs")
    change(run, "data/report.json", languages={"zh-TW": 900, "en": 0})
    card, _ = written(run)
    assert card.language == ("zh",)
    assert "- **語言：** 繁體中文（台灣）\n" in card.body
    assert "- **Languages:** Traditional Chinese (Taiwan)\n" in card.body


PARTS = ("data", "train", "gguf", "serve", "logs", "checkpoint", "model.json")


@settings(deadline=None, max_examples=25)
@given(st.sets(st.sampled_from(PARTS)))
def test_any_part_of_a_run_may_be_missing(missing: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder))
        for part in missing:
            path = run / part
            path.unlink() if path.is_file() else shutil.rmtree(path)
        if {"data", "train", "gguf", "serve", "logs"} <= missing:
            with pytest.raises(CardError):
                write_card(run)
            return
        text = write_card(run)
        assert not [f for f in verify_card(run / "README.md") if f.severity == "error"]
        assert ("This run has no data report" in text) == ("data" in missing)
        assert ("This run has no record of training" in text) == ("train" in missing)
        assert ("This run evaluated nothing" in text) == ("logs" in missing)
        assert ("This run did not try the tool flow" in text) == ("serve" in missing)
        assert ("llama-server -m" in text) == ("gguf" not in missing)
        assert ("vllm serve" in text) == ("checkpoint" not in missing)
        assert not re.search(r"\bNone\b", re.sub(r"(?s)```.*?```", "", text))
