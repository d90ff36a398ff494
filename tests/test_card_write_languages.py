"""Both halves of a card say the same, each in its own language; a third part is for both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from card_run import make_run
from formosa.card.claims import CLAIMS_FILE, Claim, parse_claims
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


def parts(run: Path) -> tuple[str, str, str]:
    """The card without its front matter and claims: Chinese, English, and what both share."""
    body = read_card(run / "README.md").body
    zh, en, both = body[: body.rindex("<!-- formosa:claims")].split("\n---\n")
    return zh, en, both


def halves(run: Path) -> tuple[str, str]:
    return parts(run)[:2]


def claims_of(run: Path, language: str) -> list[Claim]:
    claims = parse_claims((run / CLAIMS_FILE).read_text(encoding="utf-8")).claims
    shown = {claim.table.removesuffix("-en") for claim in claims if claim.table.endswith("-en")}
    own = [claim for claim in claims if claim.table.removesuffix("-en") in shown]
    return [claim for claim in own if claim.language == language]


def test_both_languages_carry_the_same_figures(run: Path) -> None:
    """Cell by cell: the same table, the same files, the same text wherever it is a figure."""
    zh, en = claims_of(run, "zh"), claims_of(run, "en")
    assert len(zh) == len(en) > 40
    for a, b in zip(zh, en, strict=True):
        assert f"{a.table}-en" == b.table
        assert (a.files, a.metric) == (b.files, b.metric)
        assert (a.scorer, a.pointer) == (b.scorer, b.pointer)
        if re.search(r"\d", a.text + b.text):
            assert a.text == b.text


def test_both_languages_have_the_same_sections_and_tables(run: Path) -> None:
    zh, en = (read_parts(half) for half in halves(run))
    assert [h.level for h in zh.headings] == [h.level for h in en.headings]
    zh_tables, en_tables = (read_document(half).tables for half in halves(run))
    assert [f"{t.name}-en" for t in zh_tables] == [t.name for t in en_tables]
    for a, b in zip(zh_tables, en_tables, strict=True):
        assert (len(a.heads), len(a.rows)) == (len(b.heads), len(b.rows))


def test_code_stands_once(run: Path) -> None:
    """It is the same for readers of both languages."""
    zh, en, both = (read_parts(part).blocks for part in parts(run))
    assert not zh and not en
    assert len(both) > 10


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
    for part in parts(run):
        for _, line in read_parts(part).prose:
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


@pytest.mark.parametrize("name", ["card.zh.md.jinja", "card.en.md.jinja", "card.both.md.jinja"])
def test_every_sentence_that_could_be_written_is_pure(name: str) -> None:
    """Also those of branches that no run of a test takes."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    assert measure(text).pure


def test_chinese_prose_has_full_width_marks(run: Path) -> None:
    assert to_full_width(prose(halves(run)[0])).changes == 0
    for name in ("card.zh.md.jinja", "card.both.md.jinja"):
        template = (TEMPLATES / name).read_text(encoding="utf-8")
        plain = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", template)
        said = [line for line in plain.splitlines() if count_han(line)]
        assert to_full_width("\n".join(said)).changes == 0


def test_the_part_of_both_says_all_twice(run: Path) -> None:
    """A line of Chinese prose is followed by one of English, in every branch of the template."""
    template = (TEMPLATES / "card.both.md.jinja").read_text(encoding="utf-8")
    lines = [re.sub(r"\{%.*?%\}", "", line) for line in template.splitlines()]
    quoted = re.sub(r"^```.*?^```", "", "\n".join(lines), flags=re.M | re.S).splitlines()
    told = [line for line in quoted if count_han(line)]
    assert len(told) > 15
    for line in told:
        following = quoted[quoted.index(line) + 1]
        if line.startswith(("#", "!")):  # headings and the text of a picture hold both
            assert re.search("[A-Za-z]{3}", line)
        else:
            assert following.strip() and not count_han(following), line


def test_the_english_half_is_english(run: Path) -> None:
    """But for what was said in Chinese, which stands in code blocks and tables."""
    assert count_han(prose(halves(run)[1])) == 0


def test_chinese_comes_first_and_says_that_english_follows(run: Path) -> None:
    zh, en = halves(run)
    assert count_han(zh) > 1000
    assert "The English part follows" in zh
    assert parts(run)[2].lstrip().startswith("# 使用與紀錄 Use and records")
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
    book.language = "both"
    assert "| 列 row | x |" in book.table("u", heads, 1, [[Words("列", "row"), "x"]])
    book.language = "en"
    assert "| row | x |" in drawn
    assert book.table("t", heads, 1, []) == ""
