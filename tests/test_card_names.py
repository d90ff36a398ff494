"""Names, licences and links: what is a contradiction, and what is only another way to say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from card_foreign import CARD, changed, check, codes, line_of, only, wrong

OWN_ROW = "[Tiny-3B-Instruct](https://hf.co/example/Tiny-3B-Instruct) (ours)"
LICENSE = "- **License:** [llama3.2](https://huggingface.co/example/Base-3B/blob/main/LICENSE)"


# -- the model's name ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        "Tiny-3B-Instruct (ours)",
        "3B-Instruct (ours)",  # the end of the name
        "Ours",
        "本模型",
        "**Tiny-3B-Instruct** (ours)",
        "Tiny-3B-Instruct-GGUF (ours)",
        "example/tiny-3b-instruct (ours)",
    ],
)
def test_rows_that_mean_the_cards_model(tmp_path: Path, row: str) -> None:
    assert wrong(check(tmp_path, changed(OWN_ROW, row))) == []


@pytest.mark.parametrize(
    "row",
    [
        "Tiny-1B-Instruct (ours)",
        "[Tiny-3B-Instruct](https://huggingface.co/example/Tiny-9B-Instruct) (ours)",
        "Tiny-3B (ours)",  # the beginning of the name is the base model's
    ],
)
def test_rows_that_name_another_model_as_their_own(tmp_path: Path, row: str) -> None:
    text = changed(OWN_ROW, row)
    finding = only(check(tmp_path, text), "name-differs")
    assert finding.severity == "warning"
    assert finding.line == line_of(row, text)


@pytest.mark.parametrize("title", ["# Introduction", "# 小模型", "# Tiny-3B-Instruct 介紹", ""])
def test_titles_that_say_no_other_name(tmp_path: Path, title: str) -> None:
    assert wrong(check(tmp_path, changed("# Model Card for Tiny-3B-Instruct", title))) == []


def test_a_link_of_the_repository_to_another_model(tmp_path: Path) -> None:
    old = "**Repository:** [example/Tiny-3B-Instruct](https://huggingface.co/example/Tiny-3B-Instruct)"
    text = changed(old, "**Repository:** [here](https://huggingface.co/example/Tiny-9B)")
    finding = only(check(tmp_path, text), "repository-link")
    assert finding.line == line_of("**Repository:**")
    assert "example/Tiny-9B" in finding.message


# -- licences -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "- **License:** apache-2.0",
        "- **License:** [MIT](https://example.org/LICENSE)",
        "本模型以 gpl-3.0 授權",
        "License: cc-by-4.0",
    ],
)
def test_the_text_names_another_licence(tmp_path: Path, words: str) -> None:
    text = changed(LICENSE, words)
    finding = only(check(tmp_path, text), "license-text")
    assert finding.line == line_of(words, text)
    assert "llama3.2" in finding.message


@pytest.mark.parametrize(
    "words",
    [
        "- **License:** llama3.2",
        "- **License:** see the base model",
        "The code is under the MIT license",
        "資料集以 cc-by-4.0 授權",
        "License: llama3.2 for the weights, apache-2.0 for the rest",
        "授權請見基底模型",
        "Users must permit others; licences differ",
    ],
)
def test_sentences_about_licences_that_contradict_nothing(tmp_path: Path, words: str) -> None:
    assert wrong(check(tmp_path, changed(LICENSE, words))) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://huggingface.co/example/Base-3B/blob/main/LICENSE.txt",
        "https://huggingface.co/example/Tiny-3B-Instruct/blob/main/LICENCE",
        "https://www.llama.com/llama3_2/license",
        "https://huggingface.co/other/Other-1B",
        "https://huggingface.co/datasets/other/set/blob/main/LICENSE",
    ],
)
def test_licence_links_that_are_fine(tmp_path: Path, url: str) -> None:
    assert wrong(check(tmp_path, f"{CARD}\n[license]({url})\n")) == []


def test_each_foreign_licence_is_one_finding(tmp_path: Path) -> None:
    links = "".join(f"[a](https://huggingface.co/o/{name}/blob/main/LICENSE)\n\n"
                    for name in ("A-1", "B-2", "A-1", "A-1"))  # fmt: skip
    found = [f for f in check(tmp_path, CARD + links).findings if f.code == "license-link"]
    assert len(found) == 2
    assert "(also line " in found[0].message
    assert "(also line " not in found[1].message


# -- base models --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "Finetuned from [x](https://huggingface.co/other/Base-9B)",
        "fine-tuned from [x](https://huggingface.co/other/Base-9B).",
        "基底模型：[x](https://huggingface.co/other/Base-9B)",
        "Based on https://huggingface.co/other/Base-9B",
    ],
)
def test_the_text_names_another_base_model(tmp_path: Path, words: str) -> None:
    text = f"{CARD}\n{words}\n"
    finding = only(check(tmp_path, text), "base-model-text")
    assert finding.line == line_of(words, text)


@pytest.mark.parametrize(
    "words",
    [
        "Based on [x](https://huggingface.co/example/Base-3B)",
        "Based on [data](https://huggingface.co/datasets/other/set)",
        "Based on our own ideas",
        "See [x](https://huggingface.co/other/Base-9B)",
    ],
)
def test_sentences_about_base_models_that_are_fine(tmp_path: Path, words: str) -> None:
    assert codes(check(tmp_path, f"{CARD}\n{words}\n")) == set()


# -- links --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "fine"),
    [
        ("[a/b](https://huggingface.co/a/b)", True),
        ("[A/B](https://huggingface.co/a/b)", True),
        ("[a/b](https://huggingface.co/a/b/tree/main)", True),
        ("[a/b](https://github.com/a/c)", True),
        ("[the model](https://huggingface.co/a/c)", True),
        ("[either/or](https://example.org/x)", True),
        ("[a/b](https://huggingface.co/a/c)", False),
        ("**[a/b](https://hf.co/x/b)**", False),
    ],
)
def test_where_links_lead(tmp_path: Path, link: str, fine: bool) -> None:
    assert codes(check(tmp_path, f"{CARD}\n{link}\n")) == (set() if fine else {"link-text"})
