"""A card's text as lines: nothing is lost, findings keep their lines, figures know their source."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from card_foreign import BODY, CARD, HEAD
from card_run import make_run
from formosa.card.checks.finding import found
from formosa.card.markdown import NEWLINE, read_document
from formosa.card.verify import Report, check_card, read_subject
from formosa.card.write import write_card
from formosa.web.card.lines import LONGEST, Block, Line, blocks_of, cell_places

PIECES = [
    "| a | b |\n|---|---|\n| 1 | 2.5 |\n", "---\n", "```python\n", "```", "<!--", "-->", "# H\n",
    "\r\n", "\r", "\n", "\u2028", " ", "|", "\\|", "44.1", "https://a.example/x.",
    "](javascript:a)",
    "value: 3\n", "model-index:\n- name: x\n  results:\n", "formosa:claims", "\x0c", "灣",
]  # fmt: skip


def read(path: Path) -> tuple[tuple[Block, ...], Report]:
    subject, problems = read_subject(path)
    report = check_card(subject, problems)
    return blocks_of(subject, report.findings)[0], report


def lines_of(blocks: tuple[Block, ...]) -> list[Line]:
    return [line for block in blocks for line in block.lines]


def text_of(line: Line) -> str:
    return "".join(span.text for span in line.spans)


def marks(blocks: tuple[Block, ...], state: str) -> list[str]:
    return [
        span.text
        for line in lines_of(blocks)
        for span in line.spans
        if span.mark and span.mark.state == state
    ]


def card(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "README.md"
    path.write_bytes(text.encode("utf-8"))
    return path


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_every_character_of_any_card_is_shown_at_its_line(tmp_path: Path, text: str) -> None:
    blocks, _ = read(card(tmp_path, text))
    lines = lines_of(blocks)
    expected = NEWLINE.split(text)
    expected = expected if expected[-1] else expected[:-1]
    assert [text_of(line) for line in lines] == expected
    assert [line.number for line in lines] == [*range(1, len(expected) + 1)]


@settings(deadline=None)
@given(st.text("|\\ \tab1.", max_size=40))
def test_cells_stand_where_the_checks_read_them(line: str) -> None:
    marked = f"{line}|x"
    heads = read_document(f"{marked}\n{'|-' * 20}\n").tables
    count = len(cell_places(marked))
    delimiter = "|" + "---|" * count
    (table,) = read_document(f"{marked}\n{delimiter}\n").tables or heads or (None,)
    if table is not None:
        assert tuple(marked[a:b] for a, b in cell_places(marked)) == table.heads


def test_figures_without_a_source_are_marked_as_claimed(tmp_path: Path) -> None:
    blocks, report = read(card(tmp_path, CARD))
    claimed = marks(blocks, "claimed")
    unsupported = [
        f for f in report.findings if f.severity == "claimed" and f.code != "text-number"
    ]
    assert len(claimed) == len(unsupported) > 3
    assert {"41.23", "52.5"} <= set(claimed)
    assert not marks(blocks, "backed")


def test_figures_of_a_card_of_ours_lead_to_their_files(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_card(run)
    blocks, report = read(run / "README.md")
    backed = [
        span.mark
        for line in lines_of(blocks)
        for span in line.spans
        if span.mark and span.mark.state == "backed"
    ]
    assert report.supported == report.claims > 50
    assert len(backed) >= report.claims, "each figure is marked where it stands"
    assert any("logs/trained-bfcl-simple.jsonl" in mark.files for mark in backed)
    assert not marks(blocks, "claimed") and not marks(blocks, "wrong")


def test_a_figure_that_was_changed_is_marked_as_wrong(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_card(run)
    path = run / "README.md"
    text = path.read_text(encoding="utf-8")
    blocks, _ = read(path)
    line, figure = next(
        (text_of(line), span.text)
        for line in lines_of(blocks)
        if line.kind == "table"
        for span in line.spans
        if span.mark and "[" in span.text
    )
    path.write_text(text.replace(line, line.replace(figure, "99.9 [99.8, 100.0]")), "utf-8")
    assert "99.9 [99.8, 100.0]" in marks(read(path)[0], "wrong")


def test_a_changed_log_makes_all_its_figures_wrong(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_card(run)
    log = run / "logs" / "trained-bfcl-simple.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"correct"', b'"wrong"', 1))
    assert len(marks(read(run / "README.md")[0], "wrong")) > 1


def test_what_is_not_listed_is_not_called_backed(tmp_path: Path) -> None:
    """Of one code 200 findings are listed: a figure beyond them must not look checked."""
    run = make_run(tmp_path)
    write_card(run)
    subject, problems = read_subject(run / "README.md")
    more = found("too-many", 0, "x", "the rest is left out")
    blocks, _ = blocks_of(subject, [*check_card(subject, problems).findings, more])
    assert not marks(blocks, "backed") and marks(blocks, "claimed")


def test_only_web_addresses_are_links(tmp_path: Path) -> None:
    text = (
        "[a](javascript:alert(1)) [b](https://good.example/x?y=1). <a href='data:text/html,x'>\n"
        '[c]( JaVaScRiPt:alert(2)) <img src="vbscript:x"> [d](mailto:a@b.c) [e](#here)\n'
        "[ref]: file:///etc/passwd\n"
    )
    blocks, _ = read(card(tmp_path, text))
    spans = [span for line in lines_of(blocks) for span in line.spans]
    assert [span.url for span in spans if span.url] == ["https://good.example/x?y=1"]
    odd = [span.text for span in spans if span.odd]
    assert [text.partition(":")[0].lower() for text in odd] == [
        *("javascript", "data", "javascript", "vbscript", "file"),
    ]


def test_lines_are_what_they_are(tmp_path: Path) -> None:
    table, code = "| a | b |\n|---|---|\n| 1 | 2 |\n", "```py\n# no heading\n```\n"
    body = f"# T\n\ntext\n\n{table}\n{code}<!-- c\nd -->\n"
    blocks, _ = read(card(tmp_path, f"---\nlicense: mit\n---\n{body}"))
    kinds = "".join(line.kind[0] for line in lines_of(blocks))
    assert kinds == "fff" + "h" + "ttt" + "ttt" + "t" + "ccc" + "cc"
    lines = lines_of(blocks)
    assert [line.number for line in lines if line.head] == [8, 9]
    assert [line.level for line in lines if line.kind == "heading"] == [1]


def test_long_front_matter_is_folded_unless_a_finding_is_in_it(tmp_path: Path) -> None:
    tags = "".join(f"- t{n}\n" for n in range(40))
    blocks, _ = read(card(tmp_path, HEAD.replace("- zhtw\n", tags) + BODY))
    front = [block for block in blocks if block.kind == "front"]
    assert [block.folded for block in front] == [False], "its figures are claimed"
    sound = f"---\nlicense: mit\nlanguage: [en]\npipeline_tag: text-generation\ntags:\n{tags}---\n"
    (front_block, *_) = read(card(tmp_path, sound + "# T\n"))[0]
    assert front_block.folded


def test_a_giant_card_is_cut_and_says_so(tmp_path: Path) -> None:
    subject, _ = read_subject(card(tmp_path, "x" * (2 * LONGEST) + "\n" + "y\n" * 60))
    blocks, left = blocks_of(subject, [], most=11)
    lines = lines_of(blocks)
    assert (len(lines), left) == (11, 50)
    assert lines[0].cut == LONGEST and len(text_of(lines[0])) == LONGEST


@pytest.mark.parametrize("text", ["", "\n", "---", "|", "---\n---\n"])
def test_nearly_nothing_is_a_card_too(tmp_path: Path, text: str) -> None:
    assert "".join(map(text_of, lines_of(read(card(tmp_path, text))[0]))) == text.replace("\n", "")
