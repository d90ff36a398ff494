"""The recipes of F1, from data to card, on a Llama 3.2 of 100,000 weights.

It learns nothing in two steps. What is real: the recipe files as they ship, sets of the hub by
name out of a local cache, the tokenizer's class, full training in packed sequences, continued
pre-training before conversations, the GGUF file and its parity, server, questions and card.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import Done, formosa
from formosa.files import read_json, read_jsonl
from formosa.results.log import read_log
from tiny_llama3 import write_tiny_llama3

pytestmark = [pytest.mark.train, pytest.mark.model]

RECIPES = Path(__file__).parents[1] / "recipes"
STAGES = ["model", "data", "train", "export", "serve", "eval", "card"]
COMMIT = "c0ffee" * 6 + "c0ff"
TOPICS = (
    "台北捷運",
    "勞動基準法",
    "大學學測",
    "健保卡",
    "颱風假",
    "統一發票",
    "夜市小吃",
    "火車時刻",
)
VERBS = ("如何查詢", "請說明", "為什麼要重視", "請比較", "請列出", "什麼時候需要")
THOUGHT = "先想一想{topic}是什麼，再看問題要的是哪一點，然後用一兩句話回答。"
ANSWER = "關於{topic}，第 {n} 點是先確認資料來源，再依照規定的時間與地點辦理，最後保留收據。"


def answers(count: int, name: str) -> Iterator[tuple[str, str, str]]:
    """(question, thought, answer), all different."""
    for n in range(count):
        topic = TOPICS[n % len(TOPICS)]
        question = f"{VERBS[(n // len(TOPICS)) % len(VERBS)]}{topic}？（{name} {n}）"
        yield question, THOUGHT.format(topic=topic), ANSWER.format(topic=topic, n=n)


def parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


CARD = "---\nlicense: mit\n---\n# A set\n"
CARD_OF_FINEWEB = """\
---
license: odc-by
configs:
- config_name: default
  data_files: [{split: train, path: data/*/*}]
- config_name: sample-10BT
  data_files: [{split: train, path: sample/10BT/*}]
---
"""


def fill(
    cache: Path,
    repo: str,
    rows: list[dict[str, Any]],
    *,
    config: str = "data",
    card: str = CARD,
) -> None:
    """A data set in the hub's cache, as a download leaves it."""
    folder = cache / f"datasets--{repo.replace('/', '--')}"
    files = {
        "README.md": card.encode(),
        f"{config}/train-00000-of-00001.parquet": parquet(rows),
    }
    for name, content in files.items():
        path = folder / "snapshots" / COMMIT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT, encoding="utf-8")


def fill_conversations(cache: Path) -> None:
    reasoning = [
        {
            "conversations": [
                {"from": "human", "value": question},
                {"from": "gpt", "value": f"<think>\n{thought}\n</think>\n\n{answer}"},
            ],
            "input": question,
            "output": answer,
            "think": thought,
            "converted_text": "",
            "is_different": False,
            "format_score": 1.0,
            "oss_system_prompt": "",
        }
        for question, thought, answer in answers(30, "甲")
    ]
    fill(cache, "lianghsun/tw-reasoning-instruct", reasoning)
    for repo, name in (("minyichen/tw-instruct-R1-200k", "乙"), ("minyichen/tw_mm_R1", "丙")):
        rows = [
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": f"<think>\n{thought}\n</think>\n\n{answer}"},
                ]
            }
            for question, thought, answer in answers(30, name)
        ]
        fill(cache, repo, rows)
    tool = {
        "type": "function",
        "function": {
            "name": "query_train",
            "description": "查詢火車時刻",
            "parameters": {
                "type": "object",
                "properties": {"number": {"type": "integer", "description": "車次"}},
                "required": ["number"],
            },
        },
    }
    system = (
        "You are a function calling AI model. You are provided with function signatures within "
        f"<tools></tools> XML tags. <tools>\n{json.dumps(tool, ensure_ascii=False)}\n</tools>"
    )
    calls = []
    for n in range(100, 130):
        call = json.dumps({"name": "query_train", "arguments": {"number": n}})
        reply = f"<think>\n要查 {n} 次。\n</think>\n<tool_call>\n{call}\n</tool_call>"
        calls.append(
            {
                "id": n,
                "query": f"train {n}",
                "query_zhtw": f"{n} 次火車幾點？",
                "tools": "[]",
                "think": "",
                "answer": call,
                "messages": [
                    {"role": "system", "content": system},
                    {"role": "user", "content": f"{n} 次自強號幾點開？"},
                    {"role": "assistant", "content": reply},
                ],
            }
        )
    fill(cache, "twinkle-ai/tw-function-call-reasoning-10k", calls)


def fill_documents(cache: Path) -> None:
    for name in (
        "wikipedia-zh-filtered", "tw-law-article-evolution", "tw-processed-judgments",
        "tw-news-551M", "tw-gov-news-90M",
    ):  # fmt: skip
        documents = [
            {"text": f"{question}\n{answer}{thought}" * 3}
            for question, thought, answer in answers(30, name)
        ]
        fill(cache, f"lianghsun/{name}", documents)
    pages = [
        {
            "text": f"Page {n} of a school book. " + "Water boils at 100 degrees. " * 2 + str(n),
            "id": str(n), "dump": "d", "url": "u", "date": "d", "file_path": "f",
            "language": "en", "language_score": 1.0, "token_count": 9, "score": 4.0,
            "int_score": 4,
        }
        for n in range(30)
    ]  # fmt: skip
    fill(cache, "HuggingFaceFW/fineweb-edu", pages, config="sample/10BT", card=CARD_OF_FINEWEB)


class F1:
    """Folders, and the three recipes tried in them one after the other."""

    def __init__(self, here: Path) -> None:
        self.here, self.runs = here, here / "runs"
        self.base = write_tiny_llama3(here / "Llama-3.2-tiny")
        fill_conversations(here / "hub")
        fill_documents(here / "hub")

    def run(
        self, name: str, base: Path, *more: object, command: tuple[str, ...] = ("run",)
    ) -> Done:
        tasks = "[{name: mini-zh-tw}, {name: bfcl-simple}]"
        return formosa(
            *command, RECIPES / f"{name}.yaml", "--smoke", "--runs", self.runs,
            "--set", f"base={base}", "--set", f"eval.tasks={tasks}", *more,
        )  # fmt: skip

    def file(self, name: str, path: str) -> Any:
        return read_json(self.runs / f"{name}-smoke" / path)


@pytest.fixture(scope="module")
def f1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[F1]:
    from huggingface_hub import constants

    here = tmp_path_factory.mktemp("f1")
    with pytest.MonkeyPatch.context() as patch:  # read when huggingface_hub was imported
        patch.setattr(constants, "HF_HUB_CACHE", str(here / "hub"))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield F1(here)


@pytest.fixture(scope="module")
def instruct(f1: F1) -> F1:
    done = f1.run("f1-instruct", f1.base)
    assert done.code == 0, done.err
    return f1


def test_f1_instruct_lives_its_whole_life(instruct: F1) -> None:
    name = "f1-instruct"
    state = instruct.file(name, "state.json")
    assert list(state["stages"]) == STAGES
    assert {stage["status"] for stage in state["stages"].values()} == {"complete"}
    summary = instruct.file(name, "train/summary.json")
    assert (summary["steps"], summary["method"]) == (2, "full")
    parity = instruct.file(name, "gguf/parity.json")
    assert [check["passed"] for check in parity["checks"]] == [True] * 4
    assert len(instruct.file(name, "serve/tool-flow.json")["steps"]) == 4
    folder = instruct.runs / "f1-instruct-smoke"
    for who in ("base", "trained"):
        for task in ("mini-zh-tw", "bfcl-simple"):
            log = read_log(folder / "logs" / f"{who}-{task}.jsonl")
            assert log.finished
            assert len(log.samples) == 2
    assert formosa("card", "verify", folder / "README.md").code == 0


def test_the_sets_of_the_card_were_read_by_name_and_pinned(instruct: F1) -> None:
    report = (instruct.runs / "f1-instruct-smoke" / "data" / "report.json").read_text("utf-8")
    for repo in (
        "lianghsun/tw-reasoning-instruct", "minyichen/tw-instruct-R1-200k", "minyichen/tw_mm_R1",
        "twinkle-ai/tw-function-call-reasoning-10k",
    ):  # fmt: skip
        assert repo in report, repo
    assert COMMIT in report


def test_an_instruct_model_learns_answers_without_the_thinking(instruct: F1) -> None:
    rows = [row for _, row in read_jsonl(instruct.runs / "f1-instruct-smoke/data/train.jsonl")]
    assert len(rows) > 30
    text = json.dumps(rows, ensure_ascii=False)
    assert "先想一想" not in text
    assert "先確認資料來源" in text
    assert any("query_train" in json.dumps(row) for row in rows)


def test_the_checkpoint_ends_turns_and_keeps_llama_3s_own_tokens(instruct: F1) -> None:
    """Base Llama 3.2 ends in <|end_of_text|> and has no padding; chats end in <|eot_id|>."""
    folder = instruct.runs / "f1-instruct-smoke" / "checkpoint"
    config, generation = (
        read_json(folder / "config.json"),
        read_json(folder / "generation_config.json"),
    )
    tokenizer = read_json(folder / "tokenizer.json")
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    assert len(ids) == 256
    assert config["eos_token_id"] == generation["eos_token_id"] == ids["<|eot_id|>"]
    assert config["pad_token_id"] == ids["<|finetune_right_pad_id|>"]
    assert config["bos_token_id"] == ids["<|begin_of_text|>"]
    settings = read_json(folder / "tokenizer_config.json")
    assert settings["eos_token"] == "<|eot_id|>"
    assert config["tie_word_embeddings"] is True


def test_the_file_has_llama_3s_rules_and_slowed_frequencies(instruct: F1) -> None:
    from gguf import GGUFReader

    reader = GGUFReader(instruct.runs / "f1-instruct-smoke" / "gguf" / "model-Q8_0.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["tokenizer.ggml.pre"] == "llama-bpe"
    tokens = fields["tokenizer.ggml.tokens"]
    assert tokens[fields["tokenizer.ggml.eos_token_id"]] == "<|eot_id|>"
    assert tokens[fields["tokenizer.ggml.padding_token_id"]] == "<|finetune_right_pad_id|>"
    assert fields["tokenizer.ggml.add_bos_token"] is False  # the template writes it
    names = {tensor.name for tensor in reader.tensors}
    assert "rope_freqs.weight" in names
    assert "output.weight" not in names  # the head is the embedding


def test_again_nothing_is_done(instruct: F1) -> None:
    done = instruct.run("f1-instruct", instruct.base, "--json")
    assert done.code == 0, done.err
    assert "▶" not in done.err
    assert done.err.count("nothing changed, skipped") == len(STAGES)


def test_f1_base_goes_on_being_pre_trained_and_f1_reasoning_begins_there(f1: F1) -> None:
    done = f1.run("f1-base", f1.base, command=("train", "cpt"))
    assert done.code == 0, done.err
    base = f1.runs / "f1-base-smoke"
    rows = [row for _, row in read_jsonl(base / "data" / "train.jsonl")]
    assert rows
    assert all(row.get("text") and not row.get("messages") for row in rows)
    summary = f1.file("f1-base", "train/summary.json")
    assert summary["steps"] == 2
    tokenizer = read_json(base / "checkpoint" / "tokenizer.json")
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    config = read_json(base / "checkpoint" / "config.json")
    assert config["eos_token_id"] == ids["<|end_of_text|>"]  # a document's end, not a turn's

    done = f1.run("f1-reasoning", base / "checkpoint")
    assert done.code == 0, done.err
    folder = f1.runs / "f1-reasoning-smoke"
    assert f1.file("f1-reasoning", "model.json")["name"] == "checkpoint"
    text = (folder / "data" / "train.jsonl").read_text("utf-8")
    assert "先想一想" in text
    config = read_json(folder / "checkpoint" / "config.json")
    assert config["eos_token_id"] == ids["<|eot_id|>"]
    parity = f1.file("f1-reasoning", "gguf/parity.json")
    assert [check["passed"] for check in parity["checks"]] == [True] * 4
    assert formosa("card", "verify", folder / "README.md").code == 0
