"""What verify says about the front matter, the model-index, names and links of anybody's card."""

from __future__ import annotations

from pathlib import Path

import pytest

from card_foreign import BODY, CARD, HEAD, changed, check, codes, line_of, only, wrong
from formosa.card.parts import hub_model, read_parts
from formosa.card.verify import read_subject


def test_a_card_without_a_fault_has_no_error_and_no_warning(tmp_path: Path) -> None:
    """Every other test changes one thing, so this one holds for all of them."""
    report = check(tmp_path)
    assert wrong(report) == []
    assert report.count("claimed") == report.claims == 11
    assert report.supported == 0


# -- front matter -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("licence: mit", "license"),
        ("base-model: a/b", "base_model"),
        ("dataset: a/b", "datasets"),
        ("pipline_tag: x", "pipeline_tag"),
        ("languages: en", "language"),
        ("model_index: x", "model-index"),
    ],
)
def test_a_misspelled_key_is_named_with_the_one_that_was_meant(
    tmp_path: Path, key: str, near: str
) -> None:
    """The hub drops unknown keys in silence."""
    text = changed("library_name:", f"{key}\nlibrary_name:")
    finding = only(check(tmp_path, text), "key-unknown")
    assert finding.severity == "warning"
    assert near in finding.message
    assert finding.line == line_of(key, text)


def test_a_key_of_ones_own_is_no_finding(tmp_path: Path) -> None:
    report = check(tmp_path, changed("library_name:", "our_ticket: 7\nlibrary_name:"))
    assert wrong(report) == []


def test_norwegian_that_yaml_reads_as_false(tmp_path: Path) -> None:
    finding = only(check(tmp_path, changed("- zh\n", "- no\n")), "key-type")
    assert "write 'no'" in finding.message


def test_text_where_a_list_is_wanted_and_the_other_way_round(tmp_path: Path) -> None:
    assert codes(check(tmp_path, changed("tags:\n- zhtw", "tags: zhtw"))) == set()
    report = check(tmp_path, changed("library_name: transformers", "library_name: [a, b]"))
    assert codes(report) == {"key-type"}


@pytest.mark.parametrize(
    ("value", "near"), [("llama-3.2", "llama3.2"), ("apache2", "apache-2.0"), ("llama-4", "llama4")]
)
def test_a_licence_that_the_hub_does_not_know(tmp_path: Path, value: str, near: str) -> None:
    text = changed("license: llama3.2", f"license: {value}")
    finding = only(check(tmp_path, text), "license-unknown")
    assert finding.severity == "error"
    assert finding.line == 2
    assert near in finding.message


def test_another_licence_needs_a_name_or_a_link(tmp_path: Path) -> None:
    text = changed("license: llama3.2", "license: other")
    assert "license-name-missing" in codes(check(tmp_path, text))
    named = changed("license: other", "license: other\nlicense_name: ours", text)
    assert "license-name-missing" not in codes(check(tmp_path, named))


def test_a_language_that_is_none_has_its_own_line(tmp_path: Path) -> None:
    text = changed("- zh\n", "- zh-TW\n")
    finding = only(check(tmp_path, text), "language")
    assert finding.line == line_of("- zh-TW", text)


def test_base_models(tmp_path: Path) -> None:
    text = changed("- example/Base-3B\n", "- Base-3B\n")
    assert "base-model" in codes(check(tmp_path, text))
    itself = changed("- example/Base-3B\n", "- example/Tiny-3B-Instruct\n")
    assert "its own base model" in only(check(tmp_path, itself), "base-model").message
    two = changed("- example/Base-3B\n", "- example/Base-3B\n- example/Mid-3B\n")
    finding = only(check(tmp_path, two), "base-model-several")
    assert (finding.severity, finding.line) == ("note", 6)
    merged = changed("library_name:", "base_model_relation: merge\nlibrary_name:", two)
    assert "base-model-several" not in codes(check(tmp_path, merged), "note")


def test_a_converted_copy_says_how_it_comes_from_its_base(tmp_path: Path) -> None:
    """The hub lists a GGUF under its base model by base_model_relation only."""
    gguf = CARD.replace("Tiny-3B-Instruct", "Tiny-3B-Instruct-GGUF")
    finding = only(check(tmp_path, gguf), "base-model-relation")
    assert "quantized" in finding.message
    said = changed("library_name:", "base_model_relation: quantized\nlibrary_name:", gguf)
    assert wrong(check(tmp_path, said)) == []
    unknown = changed("library_name:", "base_model_relation: child\nlibrary_name:")
    assert "finetune" in only(check(tmp_path, unknown), "base-model-relation").message


def test_data_sets_libraries_and_pipelines(tmp_path: Path) -> None:
    assert codes(check(tmp_path, changed("- example/tw-instruct", "- our data"))) == {"dataset-id"}
    assert codes(check(tmp_path, changed("- example/tw-instruct", "- squad"))) == set()
    text = changed("library_name: transformers", "library_name: transformer")
    assert "transformers?" in only(check(tmp_path, text), "library-unknown").message
    text = changed("pipeline_tag: text-generation", "pipeline_tag: text-generating")
    assert "text-generation?" in only(check(tmp_path, text), "pipeline-unknown").message
    text = changed("pipeline_tag: text-generation\n", "")
    assert only(check(tmp_path, text), "pipeline-missing").severity == "note"


# -- model-index --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revision", "words"), [("c30699e", "shortened"), ("main", "no hash"), ("1234567", "shortened")]
)
def test_a_revision_that_is_no_full_hash(tmp_path: Path, revision: str, words: str) -> None:
    """`c30699e` stands on both F1 cards; YAML reads 1234567 as a number."""
    text = changed("c30699e8356da336a370243923dbaf21066bb9fe", revision)
    finding = only(check(tmp_path, text), "revision-short")
    assert finding.severity == "warning"
    assert words in finding.message
    assert finding.line == line_of(f"revision: {revision}", text)


def test_an_entry_without_a_revision_is_a_note(tmp_path: Path) -> None:
    text = changed("      revision: c30699e8356da336a370243923dbaf21066bb9fe\n", "")
    assert only(check(tmp_path, text), "revision-missing").severity == "note"


def test_verified_by_somebody_else_is_only_noted(tmp_path: Path) -> None:
    text = changed("value: 52.5", "value: 52.5\n      verified: true")
    finding = only(check(tmp_path, text), "verified-unsupported")
    assert finding.severity == "note"
    assert wrong(check(tmp_path, text)) == []


def test_a_value_has_the_line_of_its_own_entry(tmp_path: Path) -> None:
    text = changed("value: 52.5", "value: .nan")
    finding = only(check(tmp_path, text), "model-index-value")
    assert finding.line == line_of("value: .nan", text) - 2


# -- names and links ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("# Model Card for Tiny-3B-Instruct", "# Model Card for Tiny-1B-Chat", "name-differs"),
        ("- name: Tiny-3B-Instruct", "- name: Tiny-1B-Chat", "name-differs"),
        (
            "**Repository:** [example/Tiny-3B-Instruct](https://huggingface.co/example/Tiny-3B-",
            "**Repository:** [example/Tiny-3B-Instruct](https://huggingface.co/example/Tiny-9B-",
            "link-text",
        ),
        ("(https://huggingface.co/example/Base-3B)\n", "(https://huggingface.co/x/Base-7B)\n",
         "base-model-text"),
        ("[example/Base-3B](https", "[example/Base-9B](https", "link-text"),
        ("[llama3.2](", "[gpl-3.0](", "license-text"),
        ("vllm serve example/Tiny-3B-Instruct", "vllm serve example/Base-3B", "command-model"),
        ("\\url{https://huggingface.co/example/Tiny-3B-Instruct}",
         "\\url{https://huggingface.co/example/Tiny-1B}", "citation-link"),
    ],
)  # fmt: skip
def test_the_card_is_about_one_model_everywhere(
    tmp_path: Path, old: str, new: str, code: str
) -> None:
    assert code in codes(check(tmp_path, changed(old, new)))


def test_a_licence_link_of_another_model(tmp_path: Path) -> None:
    """Both F1 cards (3B) link the licence of Llama-3.2-1B, in the badge and in the text."""
    text = CARD.replace("example/Base-3B/blob/main/LICENSE", "example/Base-1B/blob/main/LICENSE")
    finding = only(check(tmp_path, text), "license-link")
    assert "example/Base-1B" in finding.message
    assert "also line" in finding.message
    assert finding.line == line_of("[![License]")
    assert codes(check(tmp_path, text)) == {"license-link"}


def test_a_licence_link_in_the_front_matter(tmp_path: Path) -> None:
    link = "https://huggingface.co/example/Base-1B/blob/main/LICENSE"
    text = changed("license: llama3.2", f"license: llama3.2\nlicense_link: {link}")
    assert only(check(tmp_path, text), "license-link").line == 3


def test_html_badges_are_read_too(tmp_path: Path) -> None:
    badge = (
        '<a href="https://huggingface.co/example/Base-1B/blob/main/LICENSE.txt" style="x">\n'
        '<img alt="License" src="https://example.org/b.svg"/>\n</a>\n\n'
    )
    text = changed("[![License]", badge + "[![License]")
    assert codes(check(tmp_path, text)) == {"license-link"}


def test_the_citation_of_a_sister_model(tmp_path: Path) -> None:
    """The card of F1-Reasoning cites its own title with the address of F1."""
    text = changed("\\url{https://huggingface.co/example/Tiny-3B-Instruct}",
                   "\\url{https://huggingface.co/example/Tiny-3B}")  # fmt: skip
    finding = only(check(tmp_path, text), "citation-link")
    assert "example/Tiny-3B" in finding.message
    assert finding.line == line_of("howpublished", text)


def test_citations_of_other_works_are_left_alone(tmp_path: Path) -> None:
    other = "@misc{o,\n title = {Other-7B: a paper},\n url = {https://huggingface.co/o/Other-9B}}\n"
    assert wrong(check(tmp_path, changed("@misc{tiny,", other + "@misc{tiny,"))) == []


def test_an_arxiv_number_that_the_link_does_not_have(tmp_path: Path) -> None:
    link = "[arXiv 2501.13921](https://arxiv.org/pdf/2501.11111)"
    assert codes(check(tmp_path, CARD + link + "\n")) == {"link-text"}
    assert codes(check(tmp_path, CARD + link.replace("11111", "13921") + "\n")) == set()


def test_converted_copies_have_the_name_of_their_model(tmp_path: Path) -> None:
    """A GGUF card tells how to serve both."""
    text = changed("vllm serve example/Tiny-3B-Instruct", "vllm serve other/tiny-3b-instruct-AWQ")
    assert wrong(check(tmp_path, text)) == []


def test_tables_that_compare_models_without_a_revision(tmp_path: Path) -> None:
    row = "| [other/Other-7B](https://huggingface.co/other/Other-7B) | box | 50.10 | 60.20 | 3 |"
    text = changed("| Other-7B | box | 50.10 | 60.20 | 3 |", row)
    finding = only(check(tmp_path, text), "table-without-revision")
    assert finding.severity == "note"
    assert "2 models" in finding.message


# -- reading ------------------------------------------------------------------------------------


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    subject, _ = read_subject(tmp_path / "README.md")
    lines = CARD.split("\n")
    assert subject.own_id == "example/Tiny-3B-Instruct"
    for heading in subject.parts.headings:
        assert heading.text in lines[heading.line - 1]
    for block in subject.parts.blocks:
        assert lines[block.line - 1] == block.text.split("\n")[0]
    for table in subject.document.tables:
        assert lines[subject.table_line(table) - 1].startswith(f"| {table.heads[0]}")
        assert lines[subject.table_line(table, 0) - 1].startswith(f"| {table.rows[0][0]}")
    for i, result in enumerate(subject.results):
        assert "single choice" in lines[subject.result_line(i) - 1]
        assert (
            str(result.dataset_revision) in lines[subject.result_line(i, "dataset", "revision") - 1]
        )


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_lines_with_windows_ends(tmp_path: Path, newline: str) -> None:
    text = changed("--port", "--prot").replace("\n", newline)
    (tmp_path / "README.md").write_bytes(text.encode())
    subject, _ = read_subject(tmp_path / "README.md")
    assert subject.parts.blocks[0].line == line_of("vllm serve")


def test_links_in_code_are_no_links() -> None:
    text = "`[a](https://a.example)`\n```\n[b](https://b.example)\n```\n<!-- [c](https://c) -->\n"
    assert read_parts(text).links == ()
    parts = read_parts("[![x](img)](https://d.example)\n<https://e.example>\nhttps://f.example.\n")
    assert {link.url for link in parts.links} == {"img", "https://d.example", "https://f.example"}


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("https://huggingface.co/a/b", "a/b"),
        ("https://huggingface.co/a/b/blob/main/LICENSE", "a/b"),
        ("https://hf.co/a/b.", "a/b"),
        ("https://huggingface.co/datasets/a/b", ""),
        ("https://huggingface.co/a", ""),
        ("https://example.org/a/b", ""),
    ],
)
def test_which_addresses_are_models(url: str, model: str) -> None:
    assert hub_model(url)[0] == model


def test_a_card_of_front_matter_alone_and_one_without(tmp_path: Path) -> None:
    assert wrong(check(tmp_path, HEAD)) == []
    assert codes(check(tmp_path, BODY)) == {"front-matter"}
