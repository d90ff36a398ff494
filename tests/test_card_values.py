"""Front matter as typed values: nothing is lost, and nothing hostile gets through."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.card.hub import is_hub_id, is_language
from formosa.card.values import (
    MAX_CARD,
    MAX_FRONT_MATTER,
    Card,
    finite,
    front_matter,
    parse_card,
    read_card,
    split_card,
)
from formosa.errors import CardError

F1 = """\
---
license: llama3.2
language:
- en
- zh
base_model:
- meta-llama/Llama-3.2-3B
library_name: transformers
x_our_own_key: {b: 1, a: [2, 3]}   # a comment
tags:
- Taiwan
- R.O.C
datasets:
- lianghsun/tw-reasoning-instruct
model-index:
- name: F1
  results:
  - task:
      type: question-answering
      name: Single Choice Question
    dataset:
      type: ikala/tmmluplus
      name: tmmlu+
      revision: c0e8ae955997300d5dbf0e382bf0ba5115f85e8c
    metrics:
    - name: single choice
      type: accuracy
      value: 44.11
      unknown: kept
metrics:
- accuracy
---
# 模型卡

Text — with `---` in it.
---
"""


def test_fields_are_typed() -> None:
    card = parse_card(F1)
    assert card.license == "llama3.2"
    assert card.language == ("en", "zh")
    assert card.base_model == ("meta-llama/Llama-3.2-3B",)
    assert card.library_name == "transformers"
    assert card.pipeline_tag == ""
    assert card.tags == ("Taiwan", "R.O.C")
    assert card.datasets == ("lianghsun/tw-reasoning-instruct",)
    (result,) = card.results
    assert (result.dataset_name, result.metric_value) == ("tmmlu+", 44.11)
    assert result.verified is None


def test_one_text_is_a_list_of_one() -> None:
    """The hub allows both `language: zh` and a list."""
    card = parse_card("---\nlanguage: zh\nbase_model: a/b\n---\n")
    assert (card.language, card.base_model) == (("zh",), ("a/b",))


def test_a_card_that_nobody_changed_keeps_its_bytes() -> None:
    assert parse_card(F1).text() == F1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_survive(end: str) -> None:
    text = F1.replace("\n", end)
    card = parse_card(text)
    assert card.text() == text
    assert card.language == ("en", "zh")


def test_a_change_keeps_order_unknown_keys_and_the_body() -> None:
    before = parse_card(F1)
    after = parse_card(before.changed(license="apache-2.0", pipeline_tag="text-generation").text())
    assert list(after.fields) == [*before.fields, "pipeline_tag"]
    assert after.fields["x_our_own_key"] == {"b": 1, "a": [2, 3]}
    assert list(after.fields["x_our_own_key"]) == ["b", "a"]
    assert after.fields["model-index"] == before.fields["model-index"]
    assert after.license == "apache-2.0"
    assert after.body == before.body


def test_a_field_can_be_removed_and_the_model_index_set() -> None:
    card = parse_card(F1).changed(model_index=None, x_our_own_key=None)
    assert "model-index" not in card.fields
    assert "x_our_own_key" not in card.text()
    assert card.results == ()


def test_every_model_of_a_model_index_is_read() -> None:
    """`huggingface_hub.ModelCard` writes back only one of two."""
    entry = parse_card(F1).fields["model-index"][0]
    card = parse_card(front_matter({"model-index": [entry, {**entry, "name": "other"}]}))
    assert len(card.results) == 2
    assert [model["name"] for model in card.fields["model-index"]] == ["F1", "other"]


def test_a_card_without_front_matter_is_all_body() -> None:
    card = parse_card("# Title\n\n---\na: 1\n---\n")
    assert not card.fields
    assert card.text() == "# Title\n\n---\na: 1\n---\n"


def test_empty_front_matter_is_no_error() -> None:
    card = parse_card("---\n---\nbody")
    assert (dict(card.fields), card.body, card.text()) == ({}, "body", "---\n---\nbody")


# Not control characters: PyYAML itself does not give U+0085 back as it was.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(TEXT, VALUES, min_size=1, max_size=5)


@settings(deadline=None)  # the machine may be busy
@given(FIELDS)
def test_written_fields_are_read_again(fields: dict[str, Any]) -> None:
    card = parse_card(front_matter(fields) + "body\n")
    assert dict(card.fields) == fields
    assert list(card.fields) == list(fields)
    assert card.body == "body\n"


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_splitting_loses_nothing(text: str) -> None:
    head, block, body = split_card(text)
    assert head + body == text
    assert block in head


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="-: \n\r\tabc[]{}'\"#&*!|>%@,?1.\\"))
def test_any_front_matter_is_read_or_refused(block: str) -> None:
    """Never another exception, however broken the YAML."""
    try:
        parse_card(f"---\n{block}\n---\n")
    except CardError as error:
        assert "the card" in error.message


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)

HOSTILE = {
    "aliases that grow (billion laughs)": (BOMB, "anchors and aliases"),
    "an anchor alone": ("a: &x 1", "anchors and aliases"),
    "an alias without an anchor": ("a: *x", "anchors and aliases"),
    "a list that holds itself": ("&a [*a]", "anchors and aliases"),
    "deep brackets": ("a: " + "[" * 100_000, "levels deep"),
    "deep mappings": ("{a: " * 5_000, "levels deep"),
    "deep dashes": ("- " * 5_000 + "x", "levels deep"),
    "too long": ("a: " + "x" * MAX_FRONT_MATTER, "characters, more than"),
    "a list": ("- a\n- b", "must be a mapping, not list"),
    "a text": ("just words", "must be a mapping, not str"),
    "a number": ("12", "must be a mapping, not int"),
    "a Python object": ("a: !!python/object/apply:os.system ['true']", "line 2"),
    "a key twice": ("license: mit\nlanguage: zh\nlicense: gpl", "'license' stands twice"),
    "a key that is a list": ("? [a]\n: b", "unhashable"),
    "half a mapping": ("a: {b: 1", "line"),
    "a tab": ("a:\n\t- b", "line 3"),
    "two documents": ("a: 1\n--- \nb: 2", ""),
    "a control character": ("a: \x07", "no YAML"),
    "an integer with 10,000 digits": ("a: " + "9" * 10_000, "no YAML"),
    "a day that is not": ("a: 2026-13-45", "no YAML"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_front_matter_is_refused_at_once(name: str) -> None:
    block, words = HOSTILE[name]
    began = time.process_time()
    text = f"---\n{block}\n---\nbody"
    if name == "two documents":  # the second `---` ends the front matter: it is a body
        assert parse_card(text).fields == {"a": 1}
        return
    with pytest.raises(CardError) as caught:
        parse_card(text)
    assert words in caught.value.message
    assert len(caught.value.message) < 500
    assert time.process_time() - began < 10  # the bomb would take for ever, and all memory


def test_an_error_names_the_line_of_the_file() -> None:
    with pytest.raises(CardError, match="README, line 4"):
        parse_card("---\na: 1\nb: 2\nc: &x 3\n---\n", "README")


@pytest.mark.parametrize(
    "index",
    [
        "text",
        7,
        [],
        [1],
        [{"name": "x"}],
        [{"name": "x", "results": [{"task": {}}]}],
        [{"name": "x", "results": [{"task": None, "dataset": {}, "metrics": []}]}],
        {"name": "x"},
    ],
)
def test_a_model_index_of_another_shape_is_a_sentence(index: Any) -> None:
    with pytest.raises(CardError, match="hub's shape"):
        _ = parse_card(front_matter({"model-index": index})).results


def test_fields_of_another_type_are_left_out_and_not_guessed() -> None:
    """`language: no` is the boolean false in YAML 1.1."""
    card = parse_card("---\nlicense: [a]\nlanguage: no\ntags: [1, zh, null]\n---\n")
    assert (card.license, card.language, card.tags) == ("", (), ("zh",))


def test_reading_a_file(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(b"\xef\xbb\xbf" + F1.encode())
    assert read_card(path).license == "llama3.2"  # a byte order mark is not part of it
    path.write_bytes(F1.encode("utf-16"))
    with pytest.raises(CardError, match="not UTF-8"):
        read_card(path)
    with pytest.raises(CardError, match="Cannot read the card"):
        read_card(tmp_path / "missing.md")
    with pytest.raises(CardError, match="Cannot read the card"):
        read_card(tmp_path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    with path.open("wb") as file:
        file.truncate(MAX_CARD * 1000)  # sparse: it takes no space
    with pytest.raises(CardError, match="too large"):
        read_card(path)


def test_new_cards_write_readable_yaml() -> None:
    card = Card({"license": "mit", "title": "繁體中文 " * 40}, "\nbody\n")
    head = card.text().split("---\n")[1]
    assert "繁體中文" in head  # no escapes
    assert len(head.splitlines()) == 2  # no folding
    assert yaml.safe_load(head) == card.fields


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, True), (0.5, True), (float("nan"), False), (float("inf"), False), (True, False)],
)
def test_only_finite_numbers_are_scores(value: Any, expected: bool) -> None:
    assert finite(value) is expected
    assert not finite("44.11")


def test_the_hubs_names() -> None:
    assert all(map(is_hub_id, ("twinkle-ai/Llama-3.2-3B-F1-Instruct", "a/b", "o-r_g.x/y")))
    assert not any(map(is_hub_id, ("", "a", "a/b/c", "https://x/y", "a/ b", "../b", "a/.b")))
    assert all(map(is_language, ("zh", "nan", "code", "multilingual")))
    assert not any(map(is_language, ("", "zh-TW", "Chinese", "ZH", "z")))
