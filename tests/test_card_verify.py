"""The check of a card: whatever is changed in the card or in its files is found, by its code."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from card_run import make_run
from formosa.card import verify as module
from formosa.card.checks.finding import CODES
from formosa.card.claims import (
    CLAIMS_FILE,
    Ask,
    Cell,
    ClaimedTable,
    Claims,
    claims_mark,
    claims_text,
    parse_claims,
)
from formosa.card.verify import Finding, verify_card
from formosa.card.write import write_card
from formosa.errors import CardError


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run with its card, made once; tests that change something work on a copy."""
    run = make_run(tmp_path_factory.mktemp("card"))
    write_card(run)
    return run


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "mini"))


def codes(found: list[Finding], severity: str = "error") -> set[str]:
    return {finding.code for finding in found if finding.severity == severity}


def verify(run: Path) -> list[Finding]:
    return verify_card(run / "README.md")


def edit(run: Path, old: str, new: str, name: str = "README.md") -> None:
    path = run / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_card_that_was_just_written_is_clean(run: Path) -> None:
    assert verify(run) == []


def test_a_run_folder_can_be_moved(run: Path) -> None:
    moved = run.rename(run.parent / "elsewhere")
    assert verify(moved) == []


def test_a_changed_number_in_a_table(run: Path) -> None:
    edit(run, "| 75.0 [40.9, 92.9] |", "| 95.0 [40.9, 92.9] |")
    (finding,) = verify(run)
    assert (finding.code, finding.severity) == ("text-differs", "error")
    assert "scores: bfcl-simple · ast · trained" in finding.where
    assert "95.0" in finding.message


def test_a_changed_outcome_count(run: Path) -> None:
    edit(run, "| trained | 75.0 [40.9, 92.9] | 6 | 1 |", "| trained | 75.0 [40.9, 92.9] | 7 | 0 |")
    assert [finding.code for finding in verify(run)] == ["text-differs"] * 2


def test_a_number_changed_in_the_table_and_in_its_claim(run: Path) -> None:
    """Only the log can tell."""
    edit(run, "ast | trained | 75.0 [40.9, 92.9]", "ast | trained | 95.0 [70.0, 99.9]")
    edit(run, '"text": "75.0 [40.9, 92.9]"', '"text": "95.0 [70.0, 99.9]"', CLAIMS_FILE)
    changed, differs = verify(run)
    assert (changed.code, changed.where) == ("sha256-differs", CLAIMS_FILE)
    assert differs.code == "number-differs"
    assert "75.0 [40.9, 92.9]" in differs.message


def test_a_number_changed_in_one_language_only(run: Path) -> None:
    edit(run, "| trained | box | 33.3", "| trained | box | 38.3")
    (finding,) = verify(run)
    assert (finding.code, finding.where) == (
        "text-differs",
        "choice-en: trained · box: mini-zh-tw (%)",
    )


def test_the_claims_of_another_run_are_found(run: Path, tmp_path: Path) -> None:
    """The card names its claims by their sha256, so the two can't be put together at will."""
    other = make_run(tmp_path / "other")
    edit(other, '"steps": 140', '"steps": 141', "train/summary.json")
    write_card(other)
    shutil.copy(other / CLAIMS_FILE, run / CLAIMS_FILE)
    assert {"sha256-differs", "text-differs"} <= codes(verify(run))
    places = [f.where for f in verify(run) if f.code == "sha256-differs"]
    assert places == [CLAIMS_FILE, "train/summary.json"]


def test_a_changed_value_of_the_model_index(run: Path) -> None:
    edit(run, "value: 75.0", "value: 85.0")
    assert codes(verify(run)) == {"model-index-differs"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("revision: " + "a" * 40, "revision: " + "b" * 40),
        ("of: 400", "of: 8"),
        ("questions: 8", "questions: 400"),
        ("config: bfcl-simple", "config: all"),
    ],
)
def test_a_changed_description_of_the_benchmark(run: Path, old: str, new: str) -> None:
    """A score of 8 of 400 questions must not pass for one of all 400."""
    edit(run, old, new)
    assert codes(verify(run)) == {"model-index-differs"}


def test_verified_true_is_refused(run: Path) -> None:
    """Decided with the design: we never vouch for ourselves."""
    edit(run, "verified: false", "verified: true")
    assert codes(verify(run)) == {"verified"}


def test_an_entry_taken_out_of_the_model_index(run: Path) -> None:
    edit(run, "name: box", "name: other")
    found = verify(run)
    assert codes(found) == {"place-missing"}
    assert codes(found, "claimed") == {"model-index-without-claim"}


def test_a_deleted_log(run: Path) -> None:
    (run / "logs/trained-bfcl-simple.jsonl").unlink()
    (finding,) = verify(run)  # one, not one for each of its figures
    assert (finding.code, finding.where) == ("file-missing", "logs/trained-bfcl-simple.jsonl")


def test_a_changed_byte_of_a_log(run: Path) -> None:
    edit(run, '"why": ""', '"why": "x"', "logs/base-mini-zh-tw.jsonl")
    found = verify(run)
    assert "sha256-differs" in codes(found)
    assert all("base-mini" in f.where or f.code == "number-differs" for f in found)


def test_a_changed_outcome_of_a_log(run: Path) -> None:
    """The score follows from the samples, and the log's own last record disagrees too."""
    edit(run, '"outcome": "wrong"', '"outcome": "correct"', "logs/trained-bfcl-simple.jsonl")
    found = verify(run)
    assert codes(found) == {"sha256-differs", "log-end-differs", "number-differs"}
    assert any("75.0 [40.9, 92.9]" in f.message and "87.5" in f.message for f in found)


def test_a_log_cut_short(run: Path) -> None:
    path = run / "logs/trained-bfcl-simple.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    assert {"sha256-differs", "log-unfinished"} <= codes(verify(run))


def test_a_log_that_is_no_log_any_more(run: Path) -> None:
    (run / "logs/trained-bfcl-simple.jsonl").write_text("[]\n")
    # The printed sha256 is a figure too, and another one now.
    assert codes(verify(run)) == {"sha256-differs", "not-computable", "number-differs"}


def test_a_log_without_the_scorer_or_the_task_name(run: Path) -> None:
    """Files of another shape are findings, never a crash."""
    path = run / "logs/trained-bfcl-simple.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"ast"', '"new"'))
    assert "not-computable" in codes(verify(run))
    path.write_text(text.replace('"task": {"name"', '"task": {"title"'))
    assert {"sha256-differs", "number-differs"} <= codes(verify(run))


def test_a_changed_report(run: Path) -> None:
    edit(run, '"rows_in": 1200', '"rows_in": 12000', "data/report.json")
    found = verify(run)
    assert codes(found) == {"sha256-differs", "number-differs"}
    edit(run, '"steps": 140', '"pasos": 140', "train/summary.json")
    assert "not-computable" in codes(verify(run))


def test_a_log_replaced_by_a_link_out_of_the_folder(run: Path, tmp_path: Path) -> None:
    log = run / "logs/trained-bfcl-simple.jsonl"
    log.rename(tmp_path / "elsewhere.jsonl")
    log.symlink_to(tmp_path / "elsewhere.jsonl")
    (finding,) = verify(run)
    assert finding.code == "file-missing"
    assert "outside" in finding.message


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../etc/passwd", "logs", "x" * 5000, "a\0b", "", "loop"]
)
def test_a_claim_cannot_lead_out_of_the_folder(run: Path, name: str) -> None:
    (run / "loop").symlink_to("loop")
    claims = one_table(name, {name: "0"})
    (run / CLAIMS_FILE).write_text(claims)
    text = f"| k | b |\n|---|---|\n| a | 1 |\n\n{claims_mark(claims)}"
    (run / "other.md").write_text(text)
    assert "file-missing" in codes(verify_card(run / "other.md"))


def one_table(file: str, files: dict[str, str], *, rows: int = 1, text: str = "1") -> str:
    """A claims file of one table, all figures of which are the number of rows for training."""
    ask = Ask("value", (file,), "", "/rows/train")
    cells = [[Cell((f"r{i}",)), Cell((text,), ask)] for i in range(rows)]
    return claims_text(files, (), [ClaimedTable("t", ("zh",), 1, [("a",), ("b",)], cells)])


def test_an_added_number_is_claimed_and_no_error(run: Path) -> None:
    row = "| bfcl-simple | ast | gpt | 99.9 [99.0, 100.0] | 8 | 0 | 0 | 0 | 0 | 8 × 1 | – |"
    edit(run, "| bfcl-simple | ast | trained |", row + "\n| bfcl-simple | ast | trained |")
    found = verify(run)
    assert codes(found) == set()
    assert codes(found, "claimed") == {"number-without-claim"}
    assert len(found) == 7  # the score, five outcomes, and how many were asked
    assert "99.9" in found[0].message


def test_an_added_table_is_claimed(run: Path) -> None:
    edit(run, "## 使用", "| model | MMLU |\n|---|---|\n| Llama-3.2-3B | 61.2 |\n\n## 使用")
    (finding,) = verify(run)
    assert (finding.code, finding.severity) == ("number-without-claim", "claimed")
    assert "Llama-3.2-3B: MMLU" in finding.where


def test_an_added_cell_and_an_added_column_are_claimed(run: Path) -> None:
    edit(run, "| LoRA | rank 16, alpha 32 |", "| LoRA | rank 16, alpha 32 | 77 |")
    assert codes(verify(run), "claimed") == {"number-without-claim"}


def test_a_second_row_of_the_same_name_must_be_right_too(run: Path) -> None:
    edit(
        run,
        "| LoRA | rank 16, alpha 32 |",
        "| LoRA | rank 16, alpha 32 |\n| LoRA | rank 64, alpha 64 |",
    )
    assert codes(verify(run)) == {"text-differs"}


def test_a_row_taken_out(run: Path) -> None:
    lines = (run / "README.md").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("| bfcl-simple | ast | base |")]
    (run / "README.md").write_text("".join(kept))
    found = verify(run)
    assert codes(found) == {"place-missing"}
    assert len(found) == 11


def test_a_row_taken_out_of_both_languages(run: Path) -> None:
    lines = (run / "README.md").read_text().splitlines(keepends=True)
    kept = [
        line for line in lines if not line.startswith(("| 訓練後 | box |", "| trained | box |"))
    ]
    (run / "README.md").write_text("".join(kept))
    found = verify(run)
    assert codes(found) == {"place-missing"}
    assert {finding.where.split(":")[0] for finding in found} == {"choice", "choice-en"}


def test_swapped_labels_are_found(run: Path) -> None:
    """Base shown as trained: the name of the log says who it was."""
    text = (run / "README.md").read_text()
    for old, new in (("ast | base", "ast | ???"), ("ast | trained", "ast | base"),
                     ("ast | ???", "ast | trained")):  # fmt: skip
        text = text.replace(old, new)
    (run / "README.md").write_text(text)
    assert "text-differs" in codes(verify(run))


def test_tables_may_move_and_prose_may_change(run: Path) -> None:
    text = (run / "README.md").read_text()
    text = text.replace("## 評測", "Our own words.\n\n## Results 2026")
    i, j = text.index("<!-- formosa:table logs"), text.index("### 訓練資料")
    text = text[:i] + text[j:].replace("## 引用", text[i:j] + "## 引用", 1)
    (run / "README.md").write_text(text)
    assert verify(run) == []


@pytest.mark.parametrize("taken", ["line", "file", "both"])
def test_claims_taken_out_are_missed(run: Path, taken: str) -> None:
    if taken != "file":
        text = (run / "README.md").read_text()
        (run / "README.md").write_text(text[: text.index("<!-- formosa:claims")])
    if taken != "line":
        (run / CLAIMS_FILE).unlink()
    found = verify(run)
    assert codes(found) == {"claims-missing"}
    assert codes(found, "claimed") == {"number-without-claim", "model-index-without-claim"}


def test_marks_and_claims_taken_out_make_a_foreign_card(run: Path) -> None:
    text = (run / "README.md").read_text()
    text = text[: text.index("<!-- formosa:claims")].replace("formosa:table ", "table ")
    (run / "README.md").write_text(text)
    found = verify(run)
    assert codes(found) == set()
    assert "number-without-claim" in codes(found, "claimed")


@pytest.mark.parametrize(
    "damage",
    [
        ('{"schema": 1,', '{"schema": 1'),
        ('{"schema": 1,', '{"schema": 2,'),
        ('{"schema": 1,', '{"schema": 1, "schema": [],'),
        ('"files": {', '"files": ["'),
        ('"scores": {', '"scores": 5, "x": {'),
        ('"scores": {', '"\\ud800": {'),
        ('"keys": 3', '"keys": 0'),
        ('"keys": 3', '"keys": "3"'),
        ('"languages": ["both"]', '"languages": ["xx"]'),
        ('"languages": ["both"]', '"languages": []'),
        ('"languages": ["zh", "en"]', '"languages": ["zh"]'),
        ('"metric": "score"', '"unknown": "x", "metric": "score"'),
        ('"metric": "score", ', ""),
        ('"metric": "score"', '"metric": 5'),
        ('"files": ["logs/', '"files": ["other/'),
        ('"tables": {', '"tables": {"t": ' + "[" * 100_000 + '"'),
        ('{"schema": 1,', "[{"),
    ],
)
def test_damaged_claims_are_a_finding(run: Path, damage: tuple[str, str]) -> None:
    edit(run, *damage, name=CLAIMS_FILE)
    assert codes(verify(run)) == {"claims-unreadable"}


@pytest.mark.parametrize(
    "damage",
    [
        (f"claims {CLAIMS_FILE}", "claims other.json"),
        ("sha256:", "sha1:"),
        (f"<!-- formosa:claims {CLAIMS_FILE}", "<!-- formosa:claims -->\n<!-- formosa:claims"),
    ],
)
def test_a_damaged_line_of_the_claims_is_a_finding(run: Path, damage: tuple[str, str]) -> None:
    edit(run, *damage)
    assert codes(verify(run)) == {"claims-unreadable"}


def test_a_claims_file_that_is_no_file_of_text(run: Path) -> None:
    """A pipe would be waited for, for ever."""
    path = run / CLAIMS_FILE
    path.write_bytes(b"\xff")
    assert codes(verify(run)) == {"claims-unreadable"}
    path.unlink()
    os.mkfifo(path)
    assert codes(verify(run)) == {"claims-missing"}


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "unheard-of"},
        {"metric": "difference"},  # needs two logs
        {"metric": "value", "pointer": "/x"},  # a log is no JSON document
        {"files": ["data/report.json"]},  # a report is no log
        {"scorer": "unheard-of"},
    ],
)
def test_a_claim_that_cannot_be_computed_is_a_finding(run: Path, change: dict[str, Any]) -> None:
    path = run / CLAIMS_FILE
    value = json.loads(path.read_text())
    (cell,) = [
        cell
        for cell in value["tables"]["scores"]["rows"][0]
        if isinstance(cell, dict) and cell["metric"] == "score"
    ]
    cell |= change
    path.write_text(json.dumps(value))
    assert codes(verify(run)) == {"sha256-differs", "not-computable"}


def test_another_rounding_is_another_number(run: Path) -> None:
    edit(run, "| 75.0 [40.9, 92.9] |", "| 75.00 [40.9, 92.9] |")
    assert codes(verify(run)) == {"text-differs"}


# -- properties ---------------------------------------------------------------------------------


def digits(text: str) -> list[int]:
    """Where digits stand in tables, of every part and in both languages, heads and links included;
    and in the line that names the claims."""
    found = []
    for mark in re.finditer(r"<!-- formosa:(table [\w-]+ -->|claims card)", text):
        end = len(text)
        if mark[1].startswith("table"):
            end = text.index("\n\n", text.index("| --- |", mark.start()))
        found += [i for i in range(mark.end(), end) if text[i].isdigit()]
    return found


def test_the_digits_of_all_tables_are_drawn_from(run: Path) -> None:
    text = (run / "README.md").read_text()
    assert len(re.findall("<!-- formosa:table", text)) > 15
    assert len(digits(text)) > 1_300


@settings(deadline=None)  # the machine may be busy
@given(st.data())
def test_any_changed_digit_of_a_table_is_found(written: Path, data: st.DataObject) -> None:
    """Asked for: every number on a card leads to a log."""
    text = (written / "README.md").read_text()
    place = data.draw(st.sampled_from(digits(text)))
    digit = data.draw(st.sampled_from([d for d in "0123456789" if d != text[place]]))
    changed = written / "changed.md"
    changed.write_text(text[:place] + digit + text[place + 1 :])
    assert codes(verify_card(changed))


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_any_changed_byte_of_a_file_is_found(written: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(shutil.copytree(written, Path(folder) / "mini"))
        path = run / data.draw(st.sampled_from([CLAIMS_FILE, *sorted(claims_in(run).files)]))
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = (content[place] + data.draw(st.integers(1, 255))) % 256
        path.write_bytes(content)
        assert {"sha256-differs", "claims-unreadable"} & codes(verify(run))


def claims_in(run: Path) -> Claims:
    return parse_claims((run / CLAIMS_FILE).read_text())


@settings(deadline=None)  # the machine may be busy
@given(st.text() | st.text(alphabet="|-: \n0123456789abc<!>#`"))
def test_any_text_can_be_checked(written: Path, text: str) -> None:
    path = written / "any.md"
    path.write_text(text)
    verify_card(path)


# -- foreign cards ------------------------------------------------------------------------------

FOREIGN = """\
---
license: llama3.2
language:
- en
- zh
base_model:
- meta-llama/Llama-3.2-3B
model-index:
- name: F1
  results:
  - task: {type: question-answering}
    dataset: {type: ikala/tmmluplus, name: tmmlu+}
    metrics:
    - {name: single choice, type: accuracy, value: 44.11}
---
# F1

| 模型 | 評測模式 | TMMLU+(%) | 測試次數 |
|------|---------|-----------|---------|
| [meta-llama/Llama-3.2-3B](https://huggingface.co/meta-llama) | box | 15.49 (±0.0104) | 3 |
| [meta-llama/Llama-3.2-3B](https://huggingface.co/meta-llama) | pattern | 35.85 (±0.0174) | 3 |
| 🌟F1 (ours) | box | **44.11** (±0.0179) | 3 |

| Tool | About |
|------|-------|
| vLLM | version 0.8.3 or later |
"""


def foreign(tmp_path: Path, text: str) -> list[Finding]:
    path = tmp_path / "README.md"
    path.write_text(text)
    return verify_card(path)


def test_a_foreign_cards_numbers_are_claimed_one_by_one(tmp_path: Path) -> None:
    found = foreign(tmp_path, FOREIGN)
    assert codes(found) == set()
    assert codes(found, "warning") == {"plus-minus-unit"}
    places = [finding.where for finding in found if finding.severity == "claimed"]
    assert places == [
        "model-index: tmmlu+ · single choice",
        "table 1: meta-llama/Llama-3.2-3B · box: TMMLU+(%)",
        "table 1: meta-llama/Llama-3.2-3B · box: 測試次數",
        "table 1: meta-llama/Llama-3.2-3B · pattern: TMMLU+(%)",
        "table 1: meta-llama/Llama-3.2-3B · pattern: 測試次數",
        "table 1: 🌟F1 (ours) · box: TMMLU+(%)",
        "table 1: 🌟F1 (ours) · box: 測試次數",
    ]


def test_front_matter_that_misleads(tmp_path: Path) -> None:
    head = "license: llama-3\nlanguage: [zh-TW]\nbase_model: Llama\n"
    found = foreign(tmp_path, f"---\n{head}---\n")
    assert codes(found) == {"license-unknown"}
    assert codes(found, "warning") == {"language", "base-model"}
    found = foreign(tmp_path, "---\ntags: [a]\n---\n")
    assert codes(found, "warning") == {"license-missing", "language"}


def test_values_and_verification_of_others(tmp_path: Path) -> None:
    found = foreign(tmp_path, FOREIGN.replace("value: 44.11", "value: .nan, verified: true"))
    assert codes(found) == set()
    assert codes(found, "warning") == {"model-index-value", "plus-minus-unit"}
    assert "verified-unsupported" in codes(found, "note")


@pytest.mark.parametrize("index", ["text", "[1]", "[{name: x}]", "{}"])
def test_a_model_index_of_another_shape(tmp_path: Path, index: str) -> None:
    found = foreign(tmp_path, f"---\nlicense: mit\nlanguage: zh\nmodel-index: {index}\n---\n")
    assert codes(found) == {"model-index-shape"}


@pytest.mark.parametrize("head", ["", "---\na: *b\n---\n", "---\n- a\n---\n", "---\n---\n"])
def test_bad_front_matter_is_a_finding_and_the_rest_is_still_checked(
    tmp_path: Path, head: str
) -> None:
    body = FOREIGN.split("---\n", 2)[2]
    found = foreign(tmp_path, head + body)
    assert codes(found) == {"front-matter"}
    assert codes(found, "claimed") == {"number-without-claim"}


def test_a_card_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CardError):
        verify_card(tmp_path / "missing.md")


def test_a_huge_foreign_card_takes_linear_time(tmp_path: Path) -> None:
    rows = "".join(f"| m{i} | {i}.5 | {'+' * 60} |\n" for i in range(20_000))
    began = time.process_time()
    found = foreign(tmp_path, "| a | b | c |\n|---|---|---|\n" + rows + "| x | 1" + "0" * 10**6)
    assert len(found) == 20_001  # and one for the missing front matter; the long cell is no figure
    assert time.process_time() - began < 20


def test_many_claims_on_many_rows_take_linear_time(run: Path) -> None:
    count = 8_000
    claims = one_table("data/report.json", dict(claims_in(run).files), rows=count, text="1100")
    (run / CLAIMS_FILE).write_text(claims)
    rows = "".join(f"| r{i} | 1100 |\n" for i in range(count))
    text = (
        "---\nlicense: mit\nlanguage: zh\npipeline_tag: text-generation\n---\n"
        f"<!-- formosa:table t -->\n\n| a | b |\n|---|---|\n{rows}\n{claims_mark(claims)}"
    )
    (run / "README.md").write_text(text)
    began = time.process_time()
    assert verify(run) == []
    assert time.process_time() - began < 20


def test_the_docs_explain_every_code() -> None:
    """The table of codes is what programs rely on; a code that nothing finds would be a lie."""
    card = Path(module.__file__).parent
    sources = [*card.glob("*.py"), *(card / "checks").glob("*.py")]
    sources += (card.parent / "cli").glob("card*.py")
    text = "\n".join(path.read_text() for path in sources if path.name != "finding.py")
    assert [code for code in CODES if f'"{code}"' not in text] == []
    assert set(re.findall(r'found\(\s*"([a-z0-9-]+)"', text)) <= set(CODES)
    docs = (Path(__file__).parent.parent / "docs/cards.md").read_text()
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (\w+) \|", docs, re.M)
    assert listed == [(code, severity) for code, (severity, _) in CODES.items()]


def test_each_code_has_one_of_four_severities() -> None:
    assert {severity for severity, _ in CODES.values()} == {"error", "warning", "note", "claimed"}
