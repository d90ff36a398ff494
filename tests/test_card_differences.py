"""Two cards and two GGUF files, compared place by place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.card.differences import (
    MOST_LINES,
    Difference,
    card_differences,
    gguf_differences,
    template_lines,
)
from formosa.errors import CardError, ModelError
from tiny_gguf import METADATA, TEMPLATE, TENSORS, write_gguf_file

CARD = """---
license: mit
tags: [a, b]
model-index:
- name: X
  results:
  - task: {type: t}
    dataset: {type: org/exam, name: exam, config: all, revision: c30699e}
    metrics: [{type: accuracy, name: box, value: 46.16}]
---
# 模型

Words.

## Results
| Model | Mode | exam | law |
|---|---|---|---|
| [ours](https://x.example) | box | 46.16 | 34.92 |
| theirs | box | 15.49 | 25.68 |
| theirs | pattern | 35.85 | 32.22 |

```text
# no heading | no table
```
"""


def cards(tmp_path: Path, a: str, b: str) -> list[Difference]:
    paths = tmp_path / "a.md", tmp_path / "b.md"
    for path, text in zip(paths, (a, b), strict=True):
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return card_differences(*paths)


def changed(tmp_path: Path, old: str, new: str) -> list[Difference]:
    assert old in CARD
    return cards(tmp_path, CARD, CARD.replace(old, new))


def test_equal_cards_have_no_difference(tmp_path: Path) -> None:
    assert cards(tmp_path, CARD, CARD) == []


def test_spelling_of_yaml_and_line_ends_do_not_count(tmp_path: Path) -> None:
    other = CARD.replace("tags: [a, b]", "tags:\n- a\n- b").replace("\n", "\r\n")
    assert cards(tmp_path, CARD, other) == []


def test_a_field_that_changed_shows_both_values(tmp_path: Path) -> None:
    assert changed(tmp_path, "tags: [a, b]", "tags: [a]\nlibrary_name: x") == [
        Difference("front matter", "tags", ["a", "b"], ["a"]),
        Difference("front matter", "library_name", None, "x"),
    ]


def test_a_field_of_another_type_is_another_field(tmp_path: Path) -> None:
    """YAML's true is not 1, and a reader may care."""
    (found,) = cards(tmp_path, "---\na: 1\n---\n", "---\na: true\n---\n")
    assert (found.a, found.b) == (1, True)


def test_a_result_is_known_by_its_data_set_and_metric(tmp_path: Path) -> None:
    assert changed(tmp_path, "value: 46.16}", "value: 64.16}") == [
        Difference("result", "exam · all · box", "46.16 at c30699e", "64.16 at c30699e")
    ]
    (found,) = changed(tmp_path, "revision: c30699e", "revision: 66c3a5f")
    assert found.b == "46.16 at 66c3a5f"


def test_a_figure_of_a_table_is_found_by_its_row_and_column(tmp_path: Path) -> None:
    assert changed(tmp_path, "25.68", "52.68") == [
        Difference("table", "Model | Mode: theirs · box: law", "25.68", "52.68")
    ]


def test_rows_may_move(tmp_path: Path) -> None:
    rows = "| theirs | box | 15.49 | 25.68 |\n| theirs | pattern | 35.85 | 32.22 |\n"
    moved = "\n".join(reversed(rows.splitlines())) + "\n"
    assert changed(tmp_path, rows, moved) == []


def test_a_row_that_is_missing_is_one_difference(tmp_path: Path) -> None:
    assert changed(tmp_path, "| theirs | pattern | 35.85 | 32.22 |\n", "") == [
        Difference("table", "Model | Mode: theirs · pattern", "35.85 | 32.22", None)
    ]


def test_a_section_that_changed_is_named(tmp_path: Path) -> None:
    (found,) = changed(tmp_path, "Words.", "Other words.")
    assert (found.part, found.where) == ("section", "# 模型")
    assert str(found.a).startswith("1 lines, sha256 ")
    missing, added = changed(tmp_path, "## Results", "## Scores")
    assert (missing.where, missing.b) == ("## Results", None)
    assert (added.where, added.a) == ("## Scores", None)


def test_code_is_compared_and_makes_no_sections(tmp_path: Path) -> None:
    (found,) = changed(tmp_path, "# no heading | no table", "# no heading | other")
    assert found.where == "## Results"


def test_a_damaged_model_index_is_compared_by_its_problem(tmp_path: Path) -> None:
    (found,) = cards(tmp_path, "---\nmodel-index: [3]\n---\n", "---\nmodel-index: []\n---\n")
    assert "model-index" in str(found.a)


def test_a_card_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError):
        cards(tmp_path, CARD, "---\na: &a [*a]\n---\n")
    with pytest.raises(CardError):
        card_differences(tmp_path / "a.md", tmp_path / "none.md")


@settings(max_examples=100, deadline=None)
@given(*(st.text(alphabet="|-# \n`~a1:é\r\x1b\ud800<!>", max_size=120),) * 2)
def test_any_two_texts_can_be_compared_and_a_text_equals_itself(
    tmp_path_factory: pytest.TempPathFactory, a: str, b: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    a, b = (t.encode("utf-8", "replace").decode() for t in (a, b))
    assert cards(folder, a, a) == []
    for found in cards(folder, a, b):
        assert found.a != found.b
        assert "\x1b" not in f"{found.where}{found.a}{found.b}"


# -- GGUF files -----------------------------------------------------------------------------------


def gguf_pair(tmp_path: Path, **changes: Any) -> tuple[Path, Path]:
    return (
        write_gguf_file(tmp_path / "a.gguf"),
        write_gguf_file(tmp_path / "b.gguf", **changes),
    )


def test_equal_files_have_no_difference(tmp_path: Path) -> None:
    pair = gguf_pair(tmp_path)
    assert gguf_differences(*pair) == []
    assert template_lines(*pair) == []


def test_metadata_is_compared_key_by_key(tmp_path: Path) -> None:
    other = {**METADATA, "llama.context_length": 8192, "general.url": "https://x.example"}
    del other["general.file_type"]
    assert gguf_differences(*gguf_pair(tmp_path, metadata=other)) == [
        Difference("metadata", "general.file_type", 7, None),
        Difference("metadata", "llama.context_length", 4096, 8192),
        Difference("metadata", "general.url", None, "https://x.example"),
    ]


def test_a_token_that_differs_is_found_in_its_list(tmp_path: Path) -> None:
    tokens = list(METADATA["tokenizer.ggml.tokens"])
    tokens[30] = "臺"
    found = gguf_differences(
        *gguf_pair(tmp_path, metadata={**METADATA, "tokenizer.ggml.tokens": tokens})
    )
    assert found == [
        Difference(
            "metadata",
            "tokenizer.ggml.tokens",
            "a list of 32, [30] is 't30'",
            "a list of 32, [30] is '臺'",
        )
    ]
    shorter = {**METADATA, "tokenizer.ggml.tokens": tokens[:20]}
    (difference,) = gguf_differences(*gguf_pair(tmp_path, metadata=shorter))
    assert difference.b == "a list of 20"


def test_the_template_is_compared_line_by_line(tmp_path: Path) -> None:
    other = TEMPLATE.replace("assistant\n", "model\n")
    pair = gguf_pair(tmp_path, metadata={**METADATA, "tokenizer.chat_template": other})
    (found,) = gguf_differences(*pair)
    assert found.part == "template"
    lines = template_lines(*pair)
    assert lines[:2] == ["--- a.gguf", "+++ b.gguf"]
    removed = [line for line in lines[2:] if line.startswith("-")]
    assert len(removed) == 1
    assert "assistant" in removed[0]


def test_a_template_of_too_many_lines_is_not_compared_line_by_line(tmp_path: Path) -> None:
    """The time grows with the square of the lines."""
    other = "{# #}\n" * (MOST_LINES + 1)
    pair = gguf_pair(tmp_path, metadata={**METADATA, "tokenizer.chat_template": other})
    assert template_lines(*pair) == [
        f"the templates have 4 and {MOST_LINES + 1} lines, too many to compare"
    ]
    none = {k: v for k, v in METADATA.items() if k != "tokenizer.chat_template"}
    pair = gguf_pair(tmp_path, metadata=none)
    assert gguf_differences(*pair)[0].b is None
    assert len(template_lines(*pair)) > 2


def test_tensors_differ_in_type_shape_and_bytes(tmp_path: Path) -> None:
    embedding, norm = TENSORS
    other = (norm[0], norm[1], norm[2], b"\x01" + norm[3][1:])
    (found,) = gguf_differences(*gguf_pair(tmp_path, tensors=[embedding, other]))
    assert (found.part, found.where) == ("tensor", "output_norm.weight")
    assert found.a != found.b
    assert str(found.a).startswith("F32 64, sha256 ")
    half = (norm[0], (32, 2), 1, bytes(128))
    (found,) = gguf_differences(*gguf_pair(tmp_path, tensors=[embedding, half]))
    assert (found.a, found.b) == ("F32 64", "F16 32×2")
    renamed = ("x\x1b[2J", *norm[1:])
    missing, added = gguf_differences(*gguf_pair(tmp_path, tensors=[embedding, renamed]))
    assert (missing.b, added.a, added.where) == (None, None, "x�[2J")


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    a, b = gguf_pair(tmp_path)
    b.write_bytes(b.read_bytes()[:-300])
    with pytest.raises(ModelError, match=r"b\.gguf is damaged or cut off"):
        gguf_differences(a, b)
