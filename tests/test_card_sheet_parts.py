"""Parts of a model sheet: text without HTML, memory from sizes, templates that are tried."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.card.sheet import probe
from formosa.card.sheet.local import quantisation_in, safetensors_parameters
from formosa.card.sheet.memory import cache_bytes, memory_of, of_config, of_gguf
from formosa.card.sheet.probe import features, try_template
from formosa.card.sheet.prose import html_tables, plain, read_prose
from formosa.card.sheet.values import Architecture, File, clean, cleaned
from formosa.chat.template import ChatTemplate
from formosa.engines.gguf import read_gguf
from formosa.errors import ModelError
from tiny_gguf import METADATA, TEMPLATE, write_gguf_file

# -- text -----------------------------------------------------------------------------------------

BODY = """
# 模型卡 for Tiny

<div align="center"><a href="https://x.example"><img alt="Chat"
 src="https://img.example/badge.svg?logo=x&color=7289da"/></a></div>

[Paper](https://p.example) | [Demo](https://d.example) · [Bad](javascript:alert(1))

<!-- a comment
# no heading -->
**Tiny**(a.k.a **小**) 是由 **[Team](https://t.example)** 與[中心](https://c.example/)合作，
第二行 <b>here</b>。

## Details
```python
# no heading
print("<table>")
```
| a | b |
|---|---|
| [1](https://x) | <script>x</script>2 |

### Sub ##
[Only a link](https://late.example)
"""


def test_the_summary_is_the_first_paragraph_of_words() -> None:
    prose = read_prose(BODY)
    assert prose.title == "模型卡 for Tiny"
    assert prose.summary == ("**Tiny**(a.k.a **小**) 是由 **Team** 與中心合作， 第二行 here。")
    assert prose.image == "https://img.example/badge.svg?logo=x&color=7289da"
    assert prose.sections == ("模型卡 for Tiny", "Details", "Sub")


def test_quick_links_stand_alone_above_the_first_section_and_lead_to_pages() -> None:
    assert read_prose(BODY).links == (
        ("Paper", "https://p.example"),
        ("Demo", "https://d.example"),
    )


def test_cells_are_plain_texts() -> None:
    (table,) = read_prose(BODY).tables
    assert table == {"name": "", "heads": ["a", "b"], "rows": [["1", "x2"]]}


def test_tables_in_html_are_read_cell_by_cell() -> None:
    text = (
        '<TABLE onclick="x()"><tr><th>Model<th>分數</tr><tr><td>a<script>alert(1)</script>'
        "<td>46.16<br>±1</td></tr></table><table></table><table><tr></table>"
    )
    first, *_ = html_tables(text)
    assert first["heads"] == ["Model", "分數"]
    assert first["rows"] == [["aalert(1)", "46.16±1"]]
    assert html_tables("no such thing") == []


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 200_000,
        "![" * 100_000,
        "<" * 200_000,
        "<img " * 40_000,
        "[a](" * 50_000,
        "<!--" * 50_000,
        "<table><tr><td>" * 30_000,
        "`" * 100_000 + "\n" + "~" * 100_000,
        "# " * 100_000,
        "| a " * 50_000 + "\n" + "|---" * 50_000,
    ],
    ids=lambda bomb: str(bomb)[:8],
)
def test_no_markdown_takes_long(bomb: str) -> None:
    """The suite's own limit of time would stop a hang."""
    prose = read_prose(bomb)
    assert len(prose.summary) < 5_000


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="<>[]()!`~|#-*\n\r ab/=\"'中\x1b\ud800&;:.", max_size=300))
def test_any_text_can_be_read_and_holds_nothing_that_steers(text: str) -> None:
    prose = read_prose(text)
    for said in (prose.title, prose.summary, *prose.sections):
        assert said == clean(said)
        assert "\x1b" not in said
        said.encode()


def test_markup_goes_and_emphasis_stays() -> None:
    assert plain("![i](u) **[a](b)**  <b>c</b> `d`") == "**a** c `d`"


def test_what_could_steer_a_terminal_is_replaced() -> None:
    assert clean("a\x1b[31mb\ud800\u202ec\nd") == "a�[31mb��c\nd"
    assert clean("x" * 9_000).endswith("…")
    value = {"a\x07": [1, float("nan"), True, None, ("é", float("inf"))], 3: object}
    assert cleaned(value) == {
        "a�": [1, None, True, None, ["é", None]],
        "3": "<class 'object'>",
    }


# -- sizes and memory -----------------------------------------------------------------------------

LLAMA_3B = Architecture(
    name="llama", parameters=3_212_749_888, context=131_072, layers=28, hidden=3072, heads=24,
    kv_heads=(8,), head_dim=128, vocabulary=128_256,
)  # fmt: skip


def test_the_cache_is_keys_and_values_of_every_layer_in_two_bytes() -> None:
    assert cache_bytes(LLAMA_3B, 1) == 2 * 28 * 8 * 128 * 2  # 112 KiB a token
    assert cache_bytes(LLAMA_3B, 8192) == 8192 * 114_688


def test_layers_with_a_window_keep_only_that_much() -> None:
    gemma = Architecture(layers=18, kv_heads=(1,), head_dim=256, window=512, window_every=6)
    assert cache_bytes(gemma, 256) == 256 * 18 * 1024
    assert cache_bytes(gemma, 4096) == (3 * 4096 + 15 * 512) * 1024


def test_layers_may_differ_in_their_heads() -> None:
    odd = Architecture(layers=3, kv_heads=(1, 2, 3), head_dim=64)
    assert cache_bytes(odd, 10) == 6 * 64 * 2 * 2 * 10


def test_without_a_size_nothing_is_said_of_the_cache() -> None:
    assert cache_bytes(Architecture(layers=2), 10) is None
    assert memory_of(Architecture()) == ()


def test_without_a_file_weights_are_estimated_and_say_so() -> None:
    entries = {entry.quantisation: entry for entry in memory_of(LLAMA_3B)}
    assert set(entries) == {"BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"}
    assert all(entry.estimated for entry in entries.values())
    # The published files of Llama 3.2 3B have 6.43, 3.42, 2.64, 2.32 and 2.02 GB.
    sizes = {kind: entry.weights / 1e9 for kind, entry in entries.items()}
    published = {"BF16": 6.43, "Q8_0": 3.42, "Q6_K": 2.64, "Q5_K_M": 2.32, "Q4_K_M": 2.02}
    for kind, size in published.items():
        assert sizes[kind] == pytest.approx(size, rel=0.02)
    assert list(entries["BF16"].cache) == [4096, 8192, 131_072]


def test_each_gguf_file_has_its_own_line_and_parts_are_one() -> None:
    files = [
        File("a-Q8_0.gguf", 100, quantisation="Q8_0"),
        File("b-F16-00001-of-00002.gguf", 60, quantisation="F16"),
        File("b-F16-00002-of-00002.gguf", 50, quantisation="F16"),
        File("model.safetensors", 70),
    ]
    assert [(m.quantisation, m.weights, m.estimated) for m in memory_of(LLAMA_3B, files)] == [
        ("Q8_0", 100, False),
        ("F16", 110, False),
    ]


def test_a_checkpoint_s_files_count_and_the_usual_quantisations_are_estimated() -> None:
    shape = Architecture(parameters=1000, quantisation="BF16")
    files = [File("model-00001.safetensors", 1500), File("model-00002.safetensors", 500),
             File("adapter/adapter_model.safetensors", 9)]  # fmt: skip
    first, *rest = memory_of(shape, files)
    assert (first.quantisation, first.weights, first.estimated) == ("BF16", 2000, False)
    assert [entry.quantisation for entry in rest] == ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"]


def test_a_context_shorter_than_the_usual_ones_is_the_only_one() -> None:
    shape = Architecture(context=2048, layers=1, kv_heads=(1,), head_dim=1, parameters=10)
    assert list(memory_of(shape)[0].cache) == [2048]


def test_sizes_come_from_the_header_of_a_gguf_file(tmp_path: Path) -> None:
    shape = of_gguf(read_gguf(write_gguf_file(tmp_path / "x.gguf")))
    assert shape == Architecture(
        name="llama", parameters=2112, context=4096, layers=2, hidden=64, heads=4, kv_heads=(2,),
        head_dim=16, vocabulary=32, quantisation="Q8_0", intermediate=96, tied=True,
    )  # fmt: skip


def test_values_of_another_type_count_as_missing(tmp_path: Path) -> None:
    odd = {**METADATA, "llama.block_count": "many", "llama.context_length": 0,
           "llama.attention.head_count": True, "general.file_type": "x"}  # fmt: skip
    shape = of_gguf(read_gguf(write_gguf_file(tmp_path / "x.gguf", metadata=odd)))
    assert (shape.layers, shape.context, shape.heads, shape.head_dim) == (None, None, None, None)
    assert shape.quantisation == "Q8_0"  # what most of its numbers are


def test_sizes_come_from_a_config_too() -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 28, "hidden_size": 3072,
        "num_attention_heads": 24, "num_key_value_heads": 8, "max_position_embeddings": 131_072,
        "vocab_size": 128_256, "torch_dtype": "bfloat16", "head_dim": None,
    }  # fmt: skip
    shape = of_config(config, 5)
    assert (shape.name, shape.head_dim, shape.kv_heads) == ("LlamaForCausalLM", 128, (8,))
    assert (shape.quantisation, shape.parameters) == ("BF16", 5)
    assert of_config({}) == Architecture()
    gemma = of_config({"architectures": ["G"], "text_config": {"model_type": "gemma3_text",
                       "num_hidden_layers": 18, "sliding_window": 512}})  # fmt: skip
    assert (gemma.layers, gemma.window, gemma.window_every) == (18, 512, 6)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Llama-3.2-3B-F1-Reasoning-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("q/model.q8_0.gguf", "Q8_0"),
        ("model-IQ4_XS-00001-of-00002.gguf", "IQ4_XS"),
        ("model-fp16.gguf", "F16"),
        ("Qwen2.gguf", ""),
        ("model.gguf", ""),
    ],
)
def test_a_file_s_name_may_say_its_quantisation(name: str, kind: str) -> None:
    assert quantisation_in(name) == kind


def test_parameters_are_counted_in_the_header_of_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header = b'{"__metadata__": {"a": "b"}, "w": {"dtype": "BF16", "shape": [4, 3]}}'
    whole = len(header).to_bytes(8, "little") + header + bytes(24)
    path.write_bytes(whole)
    assert safetensors_parameters(path) == 12
    for damaged in (
        b"", b"\xff" * 8, whole[:20], whole.replace(b"[4, 3]", b"[4,-3]"),
        whole.replace(b"[4, 3]", b"[4e9]"), b"\x02" + bytes(7) + b"[]",
        whole.replace(b"[4, 3]", b"[9999]").replace(b"E", b"E"),
        (70_000).to_bytes(8, "little") + b"[" * 70_000,
    ):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"m\.safetensors is damaged"):
            safetensors_parameters(path)


# -- templates ------------------------------------------------------------------------------------

HERMES = (
    "{%- if tools -%}<tools>{% for t in tools %}{{ t | tojson }}{% endfor %}</tools>{%- endif -%}"
    "{%- for m in messages -%}<|{{ m.role }}|>{{ m.content }}"
    "{%- for c in m.tool_calls or [] -%}<call>{{ c.function | tojson }}</call>{%- endfor -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}<|assistant|>"
    "{%- if enable_thinking is defined and not enable_thinking -%}<think></think>{%- endif -%}"
    "{%- endif -%}"
)


def tried(source: str) -> dict[str, object]:
    return features(source, "<s>", "</s>")


def test_our_own_template_does_everything() -> None:
    found = try_template(ChatTemplate.formosa("llama3").source, "x.gguf")
    assert (found.tools, found.parallel_calls, found.system, found.reasoning, found.ours) == (
        (True,) * 5
    )
    assert (found.where, found.problem) == ("x.gguf", "")


def test_features_are_what_arrives_in_the_prompt() -> None:
    assert tried(HERMES) == {
        "tools": True, "parallel_calls": True, "system": True, "reasoning": False,
        "thinking_switch": True, "ours": False,
    }  # fmt: skip
    plain_one = tried(TEMPLATE)
    assert (plain_one["tools"], plain_one["parallel_calls"]) == (False, False)


def test_a_word_in_the_source_is_no_feature() -> None:
    """A search for words would believe this one."""
    source = "{# tools tool_calls reasoning_content <think> #}" + TEMPLATE
    found = tried(source)
    assert not any(found[name] for name in ("tools", "parallel_calls", "reasoning"))


def test_a_template_that_takes_one_call_only_is_not_parallel() -> None:
    one = HERMES.replace(
        "{%- for c in m.tool_calls or [] -%}",
        "{%- if m.tool_calls and m.tool_calls|length > 1 -%}"
        "{{ raise_exception('one call at a time') }}{%- endif -%}"
        "{%- for c in m.tool_calls or [] -%}",
    )
    found = tried(one)
    assert (found["tools"], found["parallel_calls"]) == (True, False)


def test_a_prompt_that_opens_a_think_block_reasons() -> None:
    opening = TEMPLATE.replace("assistant\n{%- endif", "assistant\n<think>\n{%- endif")
    assert tried(opening)["reasoning"] is True
    kept = TEMPLATE.replace("{{ m.content }}", "{{ m.reasoning_content }}{{ m.content }}")
    assert tried(kept)["reasoning"] is True


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{% for %}", "not valid Jinja"),
        ("{{ raise_exception('never') }}", "never"),
        ("no words of yours", "do not arrive"),
        ("{{ 1 / 0 }}", "refused"),
        ("{{ messages.__class__.__mro__ }}", "do not arrive|refused"),
    ],
)
def test_what_can_not_be_tried_says_why(source: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(tried(source)["problem"])


def test_a_template_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SECONDS", 1)
    loop = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
    assert "did not end within 1 seconds" in try_template(loop, "x").problem


@pytest.mark.parametrize("source", ["{{ 'a' * 10 ** 12 }}", "{{ '%99999999999d' % 1 }}"])
def test_a_template_that_takes_all_memory_is_stopped(source: str) -> None:
    assert try_template(source, "x").problem


def test_a_template_that_no_one_wrote_is_not_tried() -> None:
    assert "characters" in try_template("x" * (2 << 20), "x").problem
    assert try_template("\ud800{{ messages[0].content }}", "x").sha256
