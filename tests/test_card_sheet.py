"""The model sheet of every kind of source; the hub's is asked of a small server on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from card_run import make_run
from formosa.card.sheet import Sheet, read_sheet
from formosa.card.sheet.registry import to_json
from formosa.card.write import write_card
from formosa.errors import CardError, ModelError, UserError
from formosa.models import BUILTIN, resolve
from model_hub import COMMIT, ModelHub, model_hub
from tiny_gguf import METADATA, TEMPLATE, gguf_bytes, write_gguf_file

REPO = "tester/Tiny-Reasoning-GGUF"
CARD = """---
license: llama3.2
language:
- en
- zh
base_model:
- org/Base-3B
- org/Base-F1
library_name: transformers
tags:
- Taiwan
- zhtw
datasets:
- org/tw-reasoning
model-index:
- name: Tiny-Reasoning
  results:
  - task:
      type: question-answering
      name: Single Choice Question
    dataset:
      type: org/exam
      name: exam+
      config: all
      split: test
      revision: c30699e
    metrics:
    - name: single choice
      type: accuracy
      value: 46.16
metrics:
- accuracy
---

# Model Card for Tiny

<a href="https://chat.example"><img src="https://img.example/badge?logo=x&color=1"/></a>

<!-- a summary -->
**Tiny** 是由 **[Team](https://team.example)** 開發之繁體中文語言模型。

## Evaluation
| 模型 | exam+(%) |
|------|----------|
| ours | 46.16 (±0.0198) |
"""
TAGS = [
    *("transformers", "gguf", "llama", "Taiwan", "zhtw", "base_model:org/Base-F1"),
    *("base_model:quantized:org/Base-F1", "license:llama3.2", "region:us"),
]
ANSWER = {
    "_id": "681a49f4c6eed6d87d484a41",
    "id": REPO,
    "modelId": REPO,
    "sha": COMMIT,
    "createdAt": "2025-05-06T17:42:12.000Z",
    "lastModified": "2025-05-06T17:42:26.000Z",
    "author": "tester",
    "downloads": 101,
    "likes": 1,
    "gated": False,
    "private": False,
    "pipeline_tag": "text-generation",
    "library_name": "transformers",
}
FIELDS: dict[str, Any] = {
    "license": "llama3.2",
    "language": ["en", "zh"],
    "base_model": ["org/Base-3B", "org/Base-F1"],
    "library_name": "transformers",
    "tags": ["Taiwan", "zhtw"],
    "datasets": ["org/tw-reasoning"],
    "metrics": ["accuracy"],
}
# What a registry shows for such a repository: its keys, and its habit of adding verified: false.
REGISTRY: dict[str, Any] = {
    "normalized": {
        "metadata": {},
        "card_data": {
            **FIELDS,
            "model-index": [
                {
                    "name": "Tiny-Reasoning",
                    "results": [
                        {
                            "task": {
                                "type": "question-answering",
                                "name": "Single Choice Question",
                            },
                            "dataset": {
                                "type": "org/exam",
                                "name": "exam+",
                                "config": "all",
                                "split": "test",
                                "revision": "c30699e",
                            },
                            "metrics": [
                                {
                                    "name": "single choice",
                                    "type": "accuracy",
                                    "value": 46.16,
                                    "verified": False,
                                }
                            ],
                        }
                    ],
                }
            ],
            "frontmatter": FIELDS,
            "hero_image_url": "https://img.example/badge?logo=x&color=1",
            "summary": "**Tiny** 是由 **Team** 開發之繁體中文語言模型。",
            "quick_links": [],
            "benchmark_table_html": "",
            "related_quantizations": [],
        },
        "tags": TAGS,
        "likes": 1,
        "downloads": 101,
        "gated": False,
        "private": False,
        "last_modified": "2025-05-06T17:42:26.000Z",
        "created_at": "2025-05-06T17:42:12.000Z",
        "pipeline_tag": "text-generation",
        "library_name": "transformers",
    },
    "source_payload_excerpt": {**ANSWER, "siblings_count": 3},
}
DIGEST = "ab" * 32
WEIGHTS = gguf_bytes(metadata={**METADATA, "general.file_type": 15})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    with model_hub(REPO, tmp_path, monkeypatch) as made:
        made.files = {"README.md": CARD.encode(), ".gitattributes": b"*.gguf filter=lfs"}
        made.parts = {"Tiny-Q4_K_M.gguf": WEIGHTS}
        made.answer = {**ANSWER, "tags": TAGS}
        yield made


def sheet_of(name: str | Path) -> tuple[Sheet, dict[str, Any]]:
    """The sheet and its JSON, as a program reads it."""
    sheet = read_sheet(str(name))
    return sheet, json.loads(json.dumps(to_json(sheet)))


# -- the hub --------------------------------------------------------------------------------------


def test_the_sheet_holds_all_that_a_registry_s_sheet_holds(hub: ModelHub) -> None:
    _, value = sheet_of(REPO)
    assert {key: value[key] for key in REGISTRY} == REGISTRY
    assert value["problems"] == []


def test_what_a_registry_does_not_say_is_beside_it(hub: ModelHub) -> None:
    hub.children = [
        {"id": "a/Tiny-Q8", "tags": [f"base_model:quantized:{REPO}"], "downloads": 9, "likes": 2},
        {"id": "b/Tiny-ft", "tags": [f"base_model:finetune:{REPO}", "base_model:adapter:x/y"]},
        {"id": "c/Tiny", "tags": None},
    ]
    _, value = sheet_of(f"hf:{REPO}")
    assert value["source"] == {"kind": "hub", "place": f"{hub.url}/{REPO}", "revision": COMMIT}
    assert value["base_models"] == [
        {"id": "org/Base-3B", "relation": None},
        {"id": "org/Base-F1", "relation": "quantized"},
    ]
    assert value["files"][2] == {
        "name": "Tiny-Q4_K_M.gguf",
        "bytes": len(WEIGHTS),
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
        "sha256_from": "hub",
        "quantisation": "Q4_K_M",
        "quantisation_from": "header",
        "bits_per_weight": 9.212,
    }
    assert value["memory"][0]["weights_bytes"] == len(WEIGHTS)
    assert [(d["id"], d["relation"], d["downloads"]) for d in value["derivatives"]] == [
        ("a/Tiny-Q8", "quantized", 9),
        ("b/Tiny-ft", "finetune", None),
        ("c/Tiny", "", None),
    ]
    assert value["normalized"]["card_data"]["related_quantizations"] == ["a/Tiny-Q8"]
    (result,) = value["results"]
    assert (result["state"], result["because"]) == ("claimed", "the card names no log")
    assert value["card"]["tables"][0]["rows"] == [["ours", "46.16 (±0.0198)"]]


def test_no_weights_are_fetched(hub: ModelHub) -> None:
    sheet_of(f"{REPO}@{COMMIT}")
    fetched = {line.rpartition("/")[2] for line in hub.asked if "/resolve/" in line}
    assert fetched == {"README.md", "Tiny-Q4_K_M.gguf"}
    assert all(name == "Tiny-Q4_K_M.gguf" for name, _, _ in hub.pieces)
    assert f"GET /api/models/{REPO}/revision/{COMMIT}?blobs=True" in [
        line.replace("=true", "=True") for line in hub.asked
    ]


def test_a_file_of_a_repository_means_the_repository(hub: ModelHub) -> None:
    assert sheet_of(f"hf:{REPO}@{COMMIT}/Tiny-Q4_K_M.gguf")[0].name == REPO
    assert sheet_of(f"hf:{REPO}/q/Tiny-Q4_K_M.gguf")[0].name == REPO


@pytest.mark.parametrize("name", ["own/mnii", "runs/mini", "x/mini.gguf", "x/y.safetensors"])
def test_a_mistyped_path_never_reaches_the_hub(
    hub: ModelHub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a folder of somebody's is called is nobody else's business."""
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="no such file or folder exists") as caught:
        read_sheet(name)
    assert "hf:org/name" in caught.value.hint
    assert hub.asked == []


def test_a_revision_is_resolved_first(hub: ModelHub) -> None:
    sheet, _ = sheet_of(f"hf:{REPO}@v1")
    assert sheet.revision == COMMIT


def test_a_checkpoint_on_the_hub_shows_its_settings(hub: ModelHub) -> None:
    config = {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2, "hidden_size": 64,
              "num_attention_heads": 4, "num_key_value_heads": 2, "torch_dtype": "bfloat16",
              "max_position_embeddings": 8192, "vocab_size": 32}  # fmt: skip
    hub.files["config.json"] = json.dumps(config).encode()
    hub.files["tokenizer_config.json"] = json.dumps({"chat_template": TEMPLATE}).encode()
    hub.parts, hub.large = {}, {"model.safetensors": (4224, DIGEST)}
    hub.answer["safetensors"] = {"parameters": {"BF16": 2112}, "total": 2112}
    _, value = sheet_of(REPO)
    assert value["architecture"]["name"] == "LlamaForCausalLM"
    assert value["architecture"]["parameters"] == 2112
    assert value["template"]["system"] is True
    assert [m["quantisation"] for m in value["memory"]][:2] == ["BF16", "Q8_0"]
    assert value["memory"][0]["contexts"][0] == {
        "tokens": 4096,
        "cache_bytes": 4096 * 2 * 2 * 2 * 16 * 2,
        "total_bytes": 4224 + 4096 * 2 * 2 * 2 * 16 * 2,
    }


def test_what_the_hub_read_from_a_gguf_file_is_used_where_we_can_not(hub: ModelHub) -> None:
    hub.parts, hub.large = {}, {"Tiny-Q4_K_M.gguf": (2_019_377_696, DIGEST)}
    hub.answer["gguf"] = {"total": 3_212_749_888, "architecture": "llama",
                          "context_length": 131_072, "chat_template": TEMPLATE}  # fmt: skip
    sheet, _ = sheet_of(REPO)
    assert sheet.architecture.parameters == 3_212_749_888
    assert (sheet.architecture.name, sheet.architecture.context) == ("llama", 131_072)
    assert sheet.template is not None
    assert sheet.template.where == "GGUF"


@pytest.mark.parametrize(
    ("refuse", "words"),
    [((401, "RepoNotFound"), "RepositoryNotFoundError"), ((403, "GatedRepo"), "GatedRepoError")],
)
def test_what_the_hub_refuses_is_one_sentence(
    hub: ModelHub, refuse: tuple[int, str], words: str
) -> None:
    hub.refuse = refuse
    with pytest.raises(ModelError, match=words) as caught:
        read_sheet(REPO)
    assert "<b>" not in caught.value.message


@pytest.mark.parametrize(
    "answer",
    [[], 3, "x", {}, {"id": 3}, {"id": REPO, "siblings": 3}, {"id": REPO, "siblings": [3]},
     {"id": REPO, "tags": "x", "gguf": 3, "safetensors": 4, "likes": "many", "siblings": []},
     {"id": REPO, "createdAt": "yesterday"}, {"id": REPO, "siblings": [{"rfilename": 3}]},
     {"id": REPO, "sha": {}, "author": [], "siblings": [{"rfilename": "x", "lfs": {}}]}],
)  # fmt: skip
def test_no_answer_of_a_server_is_a_crash(hub: ModelHub, answer: Any) -> None:
    hub.answer = answer
    try:
        _, value = sheet_of(REPO)
        assert value["schema"] == 1
    except ModelError as error:
        assert "tester/Tiny" in error.message


def test_a_card_that_can_not_be_read_is_said_and_the_rest_is_shown(hub: ModelHub) -> None:
    hub.files["README.md"] = b"---\na: &a [*a]\n---\n"
    hub.files["config.json"] = b"[" * 100_000
    _, value = sheet_of(REPO)
    assert len(value["problems"]) == 2
    assert value["files"]


def test_a_card_that_is_too_large_is_not_fetched(hub: ModelHub) -> None:
    hub.answer["siblings"] = [{"rfilename": "README.md", "size": 2 << 30}]
    _, value = sheet_of(REPO)
    assert "was not fetched" in value["problems"][0]
    assert not [line for line in hub.asked if "/resolve/" in line]


def test_a_search_that_fails_is_a_problem_and_no_error(hub: ModelHub) -> None:
    hub.children = {"error": "x"}
    _, value = sheet_of(REPO)
    assert "Derivatives are not known" in value["problems"][0]


# -- this machine ---------------------------------------------------------------------------------


def test_a_gguf_file_says_all_it_holds(tmp_path: Path) -> None:
    metadata = {
        **METADATA,
        "general.base_model.count": 1,
        "general.base_model.0.name": "Base",
        "general.base_model.0.repo_url": "https://huggingface.co/org/Base",
    }
    path = write_gguf_file(tmp_path / "x.gguf", metadata=metadata)
    _, value = sheet_of(path)
    assert (value["name"], value["licence"]["id"]) == ("Tiny 小", "apache-2.0")
    assert value["languages"] == ["en", "zh"]
    assert value["base_models"] == [{"id": "org/Base", "relation": None}]
    assert value["files"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert value["files"][0]["sha256_from"] == "computed"
    assert value["architecture"]["parameters"] == 2112
    assert value["template"]["system"] is True
    assert value["normalized"]["metadata"]["llama.block_count"] == 2
    assert "tokenizer.chat_template" not in value["normalized"]["metadata"]
    assert value["source_payload_excerpt"] == {}


def test_a_file_that_is_a_part_says_so(tmp_path: Path) -> None:
    parts = {**METADATA, "split.no": 0, "split.count": 3}
    sheet = read_sheet(str(write_gguf_file(tmp_path / "x-00001-of-00003.gguf", metadata=parts)))
    assert sheet.problems == ("It is part 1 of 3: the others' tensors are not counted.",)


def test_an_adapter_beside_the_model_is_a_file_and_no_model(tmp_path: Path) -> None:
    write_gguf_file(tmp_path / "gguf/model-Q8_0.gguf")
    adapter = {"general.architecture": "llama", "general.type": "adapter"}
    write_gguf_file(tmp_path / "gguf/lora-F16.gguf", metadata=adapter)
    sheet = read_sheet(str(tmp_path))
    assert [file.name for file in sheet.files] == ["gguf/lora-F16.gguf", "gguf/model-Q8_0.gguf"]
    assert [entry.file for entry in sheet.memory] == ["gguf/model-Q8_0.gguf"]
    assert sheet.architecture.layers == 2
    assert sheet.template is not None


def test_a_run_folder_shows_card_files_and_traced_results(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_gguf_file(run / "gguf/model-Q8_0.gguf")
    write_card(run)
    sheet, value = sheet_of(run)
    assert (sheet.source, sheet.licence) == ("run", "apache-2.0")
    assert {result.state for result in sheet.results} == {"traced"}
    assert sheet.results[0].because.startswith("logs/")
    assert [file.name for file in sheet.files][:2] == ["README.md", "gguf/model-Q8_0.gguf"]
    assert {m["quantisation"] for m in value["memory"]} == {"Q8_0"}
    assert value["architecture"]["layers"] == 2
    assert value["problems"] == []


def test_a_result_is_claimed_as_soon_as_its_log_says_other(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_gguf_file(run / "gguf/model-Q8_0.gguf")
    write_card(run)
    card = run / "README.md"
    text = card.read_text()
    card.write_text(text.replace("value: 75.0", "value: 95.0"))
    states = {r.metric_name: (r.state, r.because) for r in read_sheet(str(run)).results}
    assert states["ast"] == ("claimed", "logs/trained-bfcl-simple.jsonl says 75.0")
    assert states["box"][0] == "traced"
    card.write_text(text)
    log = run / "logs/trained-bfcl-simple.jsonl"
    log.write_text(log.read_text().replace('"correct"', '"wrong"'))
    states = {r.metric_name: (r.state, r.because) for r in read_sheet(str(run)).results}
    assert states["ast"][0] == "claimed"
    assert "not the file that the card was written from" in states["ast"][1]
    log.unlink()
    (changed,) = [r for r in read_sheet(str(run)).results if r.metric_name == "ast"]
    assert changed.state == "claimed"


def test_verified_is_the_hub_s_word_and_never_ours(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(CARD.replace("value: 46.16", "value: 46.16\n      verified: true"))
    sheet, value = sheet_of(path)
    assert (sheet.results[0].state, sheet.results[0].says_verified) == ("claimed", True)
    text = json.dumps(value["normalized"]["card_data"]["model-index"])
    assert '"verified": false' in text
    assert '"verified": true' not in text


def test_a_card_alone_is_a_sheet(tmp_path: Path) -> None:
    path = tmp_path / "F1.card.md"
    path.write_text(CARD)
    sheet, value = sheet_of(path)
    assert (sheet.source, sheet.name) == ("card", "Model Card for Tiny")
    expected = REGISTRY["normalized"]["card_data"]
    assert value["normalized"]["card_data"] == expected
    assert value["normalized"]["likes"] is None


def test_html_in_a_card_never_becomes_html_again(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        '# <script>alert(1)</script>T\n<img src="https://x.example/a.png" onerror="x()">\n\n'
        '<table onclick="y()"><tr><td>a&lt;script&gt;<tr><td><b>1</b></table>\n'
        "Words <iframe src='javascript:x'>here</iframe>\n"
    )
    _, value = sheet_of(path)
    table = value["normalized"]["card_data"]["benchmark_table_html"]
    assert table == "<table><tr><td>a&lt;script&gt;</td></tr><tr><td>1</td></tr></table>"
    said = json.dumps({**value, "normalized": None})
    assert "<script" not in said.replace("a<script>", "")
    assert "onerror" not in said
    assert "javascript" not in said
    assert value["normalized"]["card_data"]["hero_image_url"] == "https://x.example/a.png"


def test_a_model_index_of_another_shape_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("---\nlicense: mit\nmodel-index: [3]\n---\nWords.\n")
    sheet, _ = sheet_of(path)
    assert "model-index" in sheet.problems[0]
    assert sheet.licence == "mit"


def test_a_folder_without_a_model_or_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a model nor a card"):
        read_sheet(str(tmp_path))


@pytest.mark.parametrize(
    "name",
    ["no such thing", "~nobody-here/x", "a\0b", "x" * 5000, "x" * 5000 + "/y", "a/b/c", "hf:", ""],
)
def test_what_is_nothing_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    with pytest.raises(UserError):
        read_sheet(name)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="neither a model nor a card"):
        read_sheet(str(tmp_path / "x.bin"))


def test_a_missing_card_is_an_error_of_cards(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="Cannot read the card"):
        read_sheet(str(tmp_path / "missing.md"))


def test_a_built_in_model_that_is_not_here_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path))
    sheet, value = sheet_of("gemma-3-270m")
    assert (sheet.licence, value["base_models"][0]["id"]) == ("gemma", "google/gemma-3-270m")
    assert "formosa models pull gemma-3-270m" in sheet.problems[0]


@pytest.mark.model
def test_a_built_in_model_that_is_here_is_read() -> None:
    resolve("smollm2-135m")  # fetched, if no other test did it
    sheet, _ = sheet_of("smollm2-135m")
    assert sheet.files[0].sha256 == BUILTIN["smollm2-135m"].sha256
    assert sheet.architecture.parameters == 134_515_008
    assert (sheet.architecture.quantisation, sheet.architecture.context) == ("Q4_1", 8192)
    assert sheet.licence == "apache-2.0"


def test_a_checkpoint_shows_its_network_and_template(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2, "hidden_size": 64,
              "num_attention_heads": 4, "num_key_value_heads": 2, "dtype": "bfloat16"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    header = b'{"w": {"dtype": "BF16", "shape": [64, 32], "data_offsets": [0, 4096]}}'
    weights = len(header).to_bytes(8, "little") + header + bytes(4096)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    sheet, value = sheet_of(folder)
    assert (sheet.source, sheet.name) == ("checkpoint", "tiny")
    assert value["architecture"]["name"] == "LlamaForCausalLM"
    assert (value["architecture"]["kv_heads"], sheet.architecture.parameters) == (2, 2048)
    assert sheet.template is not None
    assert sheet.template.where == "chat_template.jinja"
    names = {file.name: file.sha256 for file in sheet.files}
    assert names["model.safetensors"] == hashlib.sha256(weights).hexdigest()
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    (folder / "tokenizer_config.json").write_text('{"chat_template": [3]}')
    problem = sheet_of(folder)[0].template
    assert problem is not None
    assert "another shape" in problem.problem


# -- damage ---------------------------------------------------------------------------------------

WHOLE = gguf_bytes({k: v for k, v in METADATA.items() if k != "tokenizer.chat_template"})


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.integers(4, len(WHOLE) - 1), st.binary(min_size=1, max_size=8)), max_size=3
    ),
    st.integers(0, len(WHOLE)),
)
def test_no_damaged_gguf_file_is_a_crash(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]], length: int
) -> None:
    data = bytearray(WHOLE)
    for position, new in changes:
        data[position : position + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    for content in (data, data[:length]):
        path.write_bytes(content)
        try:
            sheet_of(path)
        except ModelError as error:
            assert "damaged.gguf" in error.message


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="abc: -[]{}&*!|>\n\"'#%@`,中0.\x1b\x00\ud800", max_size=120))
def test_no_front_matter_is_a_crash(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "README.md"
    path.write_bytes(f"---\n{text}\n---\n{text}".encode("utf-8", "surrogatepass"))
    try:
        sheet_of(path)
    except CardError as error:
        assert error.message


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n",
        "a: " + "[" * 5000 + "]" * 5000,
        "a: !!python/object/apply:os.system ['true']\n",
        "a: 1\n" * 300_000,
    ],
    ids=["aliases", "depth", "python", "size"],
)
def test_a_yaml_bomb_is_one_sentence(tmp_path: Path, bomb: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"---\n{bomb}\n---\nText\n")
    with pytest.raises(CardError) as caught:
        read_sheet(str(path))
    assert len(caught.value.message) < 500
