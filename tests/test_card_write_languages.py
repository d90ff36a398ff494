"""Both halves of a card say the same, each in its own language."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from card_run import make_run
from formosa.card.claims import Claim, read_claims
from formosa.card.ledger import Ledger, Words
from formosa.card.markdown import read_document
from formosa.card.parts import read_parts
from formosa.card.values import read_card
from formosa.card.write import write_card
from formosa.zh.punctuation import to_full_width
from formosa.zh.purity import measure
from formosa.zh.script import count_han

TEMPLATES = Path(__file__).parent.parent / "src/formosa/card"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("languages"))
    write_card(run)
    return run


def halves(run: Path) -> tuple[str, str]:
    """The card without its front matter and claims: the Chinese part and the English one."""
    body = read_card(run / "README.md").body
    zh, en = body[: body.rindex("<!-- formosa:claims")].split("\n---\n")
    return zh, en


def claims_of(run: Path, ending: str) -> list[Claim]:
    claims = read_claims(read_document(read_card(run / "README.md").body).comments)
    assert claims is not None
    own = [claim for claim in claims.claims if claim.table != "model-index"]
    return [claim for claim in own if claim.table.endswith("-en") == bool(ending)]


def test_both_languages_carry_the_same_figures(run: Path) -> None:
    """Cell by cell: the same table, the same files, the same text wherever it is a figure."""
    zh, en = claims_of(run, ""), claims_of(run, "-en")
    assert len(zh) == len(en) > 100
    for a, b in zip(zh, en, strict=True):
        assert f"{a.table}-en" == b.table
        assert (a.files, a.scorer, a.pointer) == (b.files, b.scorer, b.pointer)
        assert re.sub("-(zh|en)$", "", a.metric) == re.sub("-(zh|en)$", "", b.metric)
        if re.search(r"\d", a.text + b.text):
            assert a.text == b.text


def test_both_languages_have_the_same_sections_and_tables(run: Path) -> None:
    zh, en = (read_parts(half) for half in halves(run))
    assert [h.level for h in zh.headings] == [h.level for h in en.headings]
    zh_tables, en_tables = (read_document(half).tables for half in halves(run))
    assert [f"{t.name}-en" for t in zh_tables] == [t.name for t in en_tables]
    for a, b in zip(zh_tables, en_tables, strict=True):
        assert (len(a.heads), len(a.rows)) == (len(b.heads), len(b.rows))


def test_both_languages_have_the_same_code_but_for_its_comments(run: Path) -> None:
    """A comment may be Chinese; the program may not differ."""
    zh, en = (read_parts(half).blocks for half in halves(run))
    assert [block.language for block in zh] == [block.language for block in en]
    for a, b in zip(zh, en, strict=True):
        if a.language == "python":
            assert ast.dump(ast.parse(a.text)) == ast.dump(ast.parse(b.text))
        else:
            assert a.text == b.text


def test_both_languages_link_to_the_same_places(run: Path) -> None:
    zh, en = (read_parts(half).links for half in halves(run))
    assert [link.url for link in zh] == [link.url for link in en]


# Names, versions of programs that are named, definitions, and the numbers of the four steps.
NO_FIGURES = (
    r"`[^`]*`", r"\]\([^)]*\)", "95 %", "sha256", r"Formosa \S+", r"openai \S+", "call-[12]",
    "SmolLM2-135M-Instruct", r"Apache License 2\.0", r"CC BY 4\.0", "[1-4]\ufe0f",
    r"不小於 0\.05", r"p of 0\.05", "含 0", "holds 0",
)  # fmt: skip


def test_no_figure_stands_in_prose_alone(run: Path) -> None:
    """Numbers of a run stand in tables, where a claim leads to their file."""
    for half in halves(run):
        for _, line in read_parts(half).prose:
            if "|" in line:
                continue
            said = re.sub("|".join(NO_FIGURES), "", line)
            assert not re.search(r"\d", said), line


def prose(text: str) -> str:
    """What we wrote: without code, tables and names of the run."""
    lines = [line for _, line in read_parts(text).prose if not line.startswith("|")]
    return re.sub(r"`[^`]*`|\[[^\]]*\]\([^)]*\)", "", "\n".join(lines))


def test_the_chinese_is_that_of_taiwan(run: Path) -> None:
    """No Simplified character and no word of mainland China, in the whole card."""
    found = measure(read_card(run / "README.md").body)
    assert found.han > 1000
    assert (found.simplified_only, found.mainland_terms) == (0, ())
    assert measure(prose(halves(run)[0])).pure


@pytest.mark.parametrize("name", ["card.zh.md.jinja", "card.en.md.jinja"])
def test_every_sentence_that_could_be_written_is_pure(name: str) -> None:
    """Also those of branches that no run of a test takes."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    assert measure(text).pure


def test_chinese_prose_has_full_width_marks(run: Path) -> None:
    assert to_full_width(prose(halves(run)[0])).changes == 0
    template = (TEMPLATES / "card.zh.md.jinja").read_text(encoding="utf-8")
    plain = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", template)
    assert to_full_width(plain).changes == 0


def test_the_english_half_is_english(run: Path) -> None:
    """But for what was said in Chinese, which stands in code blocks and tables."""
    assert count_han(prose(halves(run)[1])) == 0


def test_chinese_comes_first_and_says_that_english_follows(run: Path) -> None:
    zh, en = halves(run)
    assert count_han(zh) > 1000
    assert "The English part follows" in zh
    assert en.lstrip().startswith("# mini in English")


def test_every_pair_of_words_has_both_languages() -> None:
    """A head or label that was forgotten in one language is found here."""
    from formosa.card import licences, stage_tables, tables, tool_flow

    pairs = [
        value
        for module in (licences, stage_tables, tables, tool_flow)
        for thing in vars(module).values()
        for value in (thing.values() if isinstance(thing, dict) else [thing])
        if isinstance(value, Words)
    ]
    pairs += [licence.notice for licence in licences.LICENCES.values()]
    assert len(pairs) > 30
    for zh, en in pairs:
        assert zh and en
        assert count_han(en) == 0
        assert measure(zh, quoted=True).pure


def test_a_ledger_speaks_one_language_at_a_time(tmp_path: Path) -> None:
    book = Ledger(tmp_path)
    heads = [Words("甲", "a"), Words("乙", "b")]
    assert "| 甲 | 乙 |" in book.table("t", heads, 1, [[Words("列", "row"), "x"]])
    book.language = "en"
    drawn = book.table("t", heads, 1, [[Words("列", "row"), "x"]])
    assert "<!-- formosa:table t-en -->" in drawn
    assert "| row | x |" in drawn
    assert book.table("t", heads, 1, []) == ""
