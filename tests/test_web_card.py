"""The card's page: findings beside the text, two cards' difference, and nothing of a card runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from card_foreign import BODY, CARD, HEAD
from card_run import make_run
from formosa.card.checks.finding import CODES
from formosa.card.verify import Report
from formosa.card.write import write_card
from formosa.errors import CardError, UserError
from formosa.web.card import pages
from formosa.web.card.codes import CODES_ZH
from formosa.web.card.differences import changed_lines
from formosa.web.card.pages import SEVERITIES, card_file, export, routes, verdict
from formosa.web.places import Places
from web_run import Reader, pages_app
from web_run import get as ask

ATTACK = """---
license: mit
tags: ["<script>alert('tag')</script>", "\\u202eevil"]
---
# <img src=x onerror=alert(1)>Model
<script>alert(2)</script><svg onload=alert(3)><iframe srcdoc="<script>alert(4)</script>"></iframe>
[click](javascript:alert(5)) [x](data:text/html,<script>alert(6)</script>)
<a href="javascript:alert(7)">y</a>
</code></div></section><style>body{display:none}</style><base href="https://evil.example/">
| <b onclick=alert(8)>Model</b> | TMMLU+ |
|---|---|
| ours "><script>alert(9)</script> | 41.2 |
```html
<meta http-equiv=refresh content="0;url=https://evil.example">
```
{{ 7 * 7 }} {% raw %} \x1b[2J \u202e
"""


def card(tmp_path: Path, text: str = CARD, name: str = "README.md") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def read(*paths: Path, lang: Any = "en") -> Reader:
    return Reader(export(paths, lang))


def test_findings_and_lines_lead_to_each_other(tmp_path: Path) -> None:
    reader = read(card(tmp_path, CARD.replace("license: llama3.2", "license: mitt")))
    ids = {str(a["id"]) for _, a in reader.tags if "id" in a}
    links = [str(a["href"]) for a in reader.of("a") if str(a["href"]).startswith("#")]
    assert "#L2" in links and "#f1" in links
    assert {link[1:] for link in links} <= ids, "no link leads nowhere"
    assert "license-unknown" in reader.text and "Not verified: something is wrong." in reader.text


@pytest.mark.parametrize("lang", ["en", "zh-TW"])
def test_the_page_of_a_whole_card_of_ours(tmp_path: Path, lang: str) -> None:
    run = make_run(tmp_path)
    write_card(run)
    reader = read(run, lang=lang)
    good = {"en": "every figure has a source", "zh-TW": "每個數字都有來源"}[lang]
    assert good in reader.text
    assert "logs/trained-bfcl-simple.jsonl" in reader.text
    assert reader.count("form") == 0, "nothing to filter; and a file can't ask a server"


def test_unsupported_figures_of_a_row_stand_together(tmp_path: Path) -> None:
    reader = read(card(tmp_path))
    levels: list[Any] = [a["data-level"] for a in reader.of("li") if "data-level" in a]
    assert "claimed" in levels
    assert levels == sorted(levels, key=lambda level: SEVERITIES.index(level))
    rows = [a for a in reader.of("li") if a.get("data-code") == "number-without-claim"]
    lines = [a["data-line"] for a in rows]
    assert len(lines) == len(set(lines)), "one entry a row"


def test_nothing_of_a_hostile_card_becomes_markup(tmp_path: Path) -> None:
    for lang in ("en", "zh-TW"):
        reader = read(card(tmp_path, ATTACK), lang=lang)
        tags = {tag for tag, _ in reader.tags}
        assert not tags & {"img", "svg", "iframe", "base", "b", "object", "embed"}
        assert reader.count("script") == 2 and reader.count("style") == 1, "the page's own"
        assert reader.count("meta") == 4
        names = {name for _, attributes in reader.tags for name in attributes}
        assert not [name for name in names if name.startswith("on")] and "style" not in names
        schemes = {str(a.get("href")).partition(":")[0] for a in reader.of("a")}
        assert not schemes & {"javascript", "data"}
        assert "alert(2)" in reader.text and "{{ 7 * 7 }}" in reader.text
        assert "\\u202e" in reader.text and "\\x1b" in reader.text


@pytest.mark.parametrize(
    "head",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "a: " + "[" * 5000,
        "license: !!python/object/apply:os.system [echo]",
        "? [a, b]\n: c",
    ],
)
def test_front_matter_that_means_harm_is_a_finding(tmp_path: Path, head: str) -> None:
    reader = read(card(tmp_path, f"---\n{head}\n---\n{BODY}"))
    assert "front-matter" in reader.text


def test_the_code_of_a_card_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a page started a program")

    monkeypatch.setattr("subprocess.Popen.__init__", refuse)
    text = CARD + "\n```python\nopen('/tmp/owned', 'w')\n```\n```bash\nvllm serve x --flag\n```\n"
    reader = read(card(tmp_path, text))
    assert "--run-code" in reader.text and "formosa card verify" in reader.text


def test_a_path_in_a_command_is_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "a; rm -rf"
    folder.mkdir()
    assert f"formosa card verify '{folder}/README.md'" in read(card(folder)).text


def test_every_code_is_explained_in_chinese() -> None:
    assert CODES_ZH.keys() == CODES.keys()


def test_verified_is_only_said_where_every_figure_has_a_source() -> None:
    assert verdict(Report((), 3, 3))[1] == "good"
    assert verdict(Report((), 3, 2))[1] == ""


def test_two_cards_show_their_difference(tmp_path: Path) -> None:
    one = card(tmp_path)
    two = card(tmp_path, CARD.replace("41.23", "<b>43.21</b>"), "other.md")
    reader = read(one, two)
    assert "<b>43.21</b>" in reader.text and "41.23" in reader.text
    assert "removed" in reader.text and "added" in reader.text
    assert "The cards say the same." in read(one, one).text


def test_cards_of_many_lines_are_not_compared_line_by_line() -> None:
    assert changed_lines(["x"] * 4001, []) is None
    assert changed_lines(["a", "b"], ["a", "b"]) == []
    kinds = [line.kind for line in changed_lines(["a", "b"], ["a", "c"]) or ()]
    assert kinds == ["gap", "same", "removed", "added"]


def test_one_card_or_two(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"has no README\.md"):
        export([tmp_path])
    one = card(tmp_path)
    assert card_file(tmp_path) == one
    with pytest.raises(UserError, match="of one card, or of two"):
        export([one, one, one])
    with pytest.raises(CardError, match="Cannot read"):
        export([tmp_path / "none.md"])


# -- served -------------------------------------------------------------------------------------


def test_a_served_card_leads_to_its_logs(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_card(run)
    app = pages_app(tmp_path, routes())
    reader = Reader(ask(app, "/card", path=str(run), lang="en").text)
    links = {str(a["href"]) for a in reader.of("a")}
    log = str(run / "logs" / "trained-bfcl-simple.jsonl").replace("/", "%2F")
    assert f"/evals/log?path={log}" in links
    figures = [a for a in reader.of("a") if "figure backed" in str(a.get("class"))]
    assert any(f"/evals/log?path={log}" == a["href"] for a in figures)


def test_claims_that_name_files_elsewhere_are_no_links(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_card(run)
    outside = tmp_path / "secret.jsonl"
    outside.write_text("{}\n", encoding="utf-8")
    subject_links = pages._lies_in(run, "../secret.jsonl")
    assert subject_links is False
    (run / "logs" / "link.jsonl").symlink_to(outside)
    assert pages._lies_in(run, "logs/link.jsonl") is False
    assert pages._lies_in(run, "\0") is False


def test_logs_and_another_card_are_named_by_the_address(tmp_path: Path) -> None:
    one, two = card(tmp_path), card(tmp_path, CARD.replace("52.5", "52.6"), "two.md")
    app = pages_app(tmp_path, routes())
    assert "52.6" in ask(app, "/card", path=str(one), other=str(two)).text
    held = ask(app, "/card", path=str(one), logs=str(tmp_path))
    assert held.status_code == 200
    for params in ({"path": "/etc/passwd"}, {"path": str(one), "other": "/etc/passwd"},
                   {"path": str(one), "logs": "/etc"}):  # fmt: skip
        answered = ask(app, "/card", **params)
        assert answered.status_code == 404
        assert "root:x:" not in answered.text
    assert ask(app, "/card").status_code == 400


def test_a_served_page_sends_a_policy_without_holes(tmp_path: Path) -> None:
    answered = ask(pages_app(tmp_path, routes()), "/card", path=str(card(tmp_path, ATTACK)))
    policy = answered.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert re.search(r"script-src 'sha256-[^;]+'", policy)
    assert Places([tmp_path]).roots and HEAD
