"""The comparison's pages as HTML: what they say, link to, and never let through."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from compare_logs import HOSTILE, invented, log_at
from formosa.errors import LogError, UserError
from formosa.results.log import read_log
from formosa.results.metrics import Score, paired_difference
from formosa.web.app import create_pages
from formosa.web.compare.pages import export, page, routes
from formosa.web.compare.query import Query
from formosa.web.compare.runs import compare_runs, run_sides
from formosa.web.compare.words import COMPARE_WORDS
from formosa.web.places import Places
from formosa.web.read_logs import logs_in
from formosa.web.site import Link, Site

LINKS = (Link("Overview", "/"), Link("Leaderboard", "/leaderboard"))
PLACEHOLDER = re.compile(r"\{\w+\}")


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def client(*roots: Path) -> TestClient:
    return TestClient(create_pages(Places(roots), routes(), LINKS), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("three")
    return invented(folder, questions=90, subjects=5, scorers=("box", "pattern"))


def test_every_text_has_its_placeholders_in_both_languages() -> None:
    for english, chinese in COMPARE_WORDS.items():
        assert set(PLACEHOLDER.findall(english)) == set(PLACEHOLDER.findall(chinese)), english


@pytest.mark.parametrize("lang", ["zh-TW", "en"])
def test_the_page_says_the_difference_in_words_for_both_scorers(
    three: list[Path], lang: str
) -> None:
    html = client(three[0].parent).get(
        "/compare", params={"log": [str(path) for path in three], "lang": lang}
    ).text  # fmt: skip
    word = "chance explains" if lang == "en" else "超出機遇所能解釋"
    assert html.count(word) >= 2
    for scorer in ("box", "pattern"):
        assert scorer in html
    assert ("Holm&#39;s for 2 comparisons" if lang == "en" else "依 2 個比較做 Holm 校正") in html
    assert 'href="/evals/sample?path=' in html


def test_the_reference_the_other_and_the_group_stand_in_the_address(three: list[Path]) -> None:
    logs = [str(path) for path in three]
    asked = {"log": logs, "lang": "en", "ref": "B", "other": "C", "was": "correct", "now": "wrong"}
    html = client(three[0].parent).get("/compare", params=asked).text
    assert "What changed from B · trained to C · larger, by box" in html
    groups = {
        (given["data-was"], given["data-now"])
        for tag, given in Elements(html).found
        if tag == "details" and "data-was" in given
    }
    assert groups == {("correct", "wrong")}


def test_a_page_holds_fifty_changed_answers_and_leads_to_the_rest(tmp_path: Path) -> None:
    a = log_at(tmp_path / "a.jsonl", {f"q{n}": "c" for n in range(70)}, model="a")
    b = log_at(tmp_path / "b.jsonl", {f"q{n}": "w" for n in range(70)}, model="b")
    served = client(tmp_path)
    asked = {"log": [str(a.path), str(b.path)], "lang": "en"}
    first = served.get("/compare", params=asked).text
    assert first.count("<details class=") == 50
    assert "shown: 1 to 50" in first
    (address,) = re.findall(r'href="([^"]+)" rel="next"', first)
    second = served.get(address.replace("&amp;", "&")).text
    assert second.count("<details class=") == 20
    assert 'rel="prev"' in second


def test_other_tasks_are_refused_on_the_page_and_the_rest_is_shown(tmp_path: Path) -> None:
    a = log_at(tmp_path / "a.jsonl", {"q1": "c"}, model="a")
    b = log_at(tmp_path / "b.jsonl", {"q1": "c"}, model="b", task="other")
    html = page(Site("en"), [a, b]).html
    assert "B · b can&#39;t be compared with A · a." in html
    assert "They are of different tasks: sums and other." in html
    assert "What changed" not in html


def test_a_log_without_answers_is_no_error(tmp_path: Path) -> None:
    a = log_at(tmp_path / "a.jsonl", {"q1": "c"}, model="a")
    b = log_at(tmp_path / "b.jsonl", {}, model="b", finished=False)
    for logs in ([a, b], [b, a], [b]):
        assert "Interrupted: 0 of" in page(Site("en"), logs).html


def test_hostile_names_replies_and_subjects_stay_text(tmp_path: Path) -> None:
    subjects = {"q1": HOSTILE, "q2": "law"}
    a = log_at(tmp_path / "a.jsonl", {"q1": "c", "q2": "c"}, model=HOSTILE, subjects=subjects,
               replies={"q1": HOSTILE})  # fmt: skip
    b = log_at(tmp_path / "b.jsonl", {"q1": "w", "q2": "w"}, model="b", subjects=subjects)
    served = Site("en", LINKS, "/compare", "/compare")
    for site in (served, Site("zh-TW")):
        html = page(site, [a, b]).html
        elements = Elements(html).found
        assert "\u202e" not in html
        assert not [tag for tag, _ in elements if tag in ("img", "iframe", "object")]
        for _, given in elements:
            assert not [name for name in given if name.startswith("on") or name == "style"]
            assert not str(given.get("href") or "").lower().startswith("javascript")
    paths = [str(a.path), str(b.path)]
    text = client(tmp_path).get("/compare.csv", params={"log": paths, "what": "changed"}).text
    for row in csv.reader(io.StringIO(text)):
        assert not any(cell.startswith(("=", "+", "@")) for cell in row)


def test_an_exported_file_links_to_nothing_and_holds_both_replies(three: list[Path]) -> None:
    html = export(three[:2], "en")
    hrefs = {given["href"] for tag, given in Elements(html).found if given.get("href")}
    assert {str(href)[:5] for href in hrefs} <= {"#main", "data:"}
    assert str(three[0].parent) not in html, "a file that is sent says nothing of this machine"
    assert html.count('class="text"') >= 20


def test_exports_take_logs_or_folders(three: list[Path]) -> None:
    with pytest.raises(UserError, match="Logs and folders"):
        export([three[0], three[0].parent], "en")
    with pytest.raises(UserError, match="2 to 26"):
        export(three[:1], "en")


def test_questions_that_nobody_can_get_right_can_be_left_out(tmp_path: Path) -> None:
    from formosa.evals.registry import known_bad

    bad = min(known_bad("bfcl-simple"))
    logs = [
        log_at(tmp_path / f"{name}.jsonl", {bad: "w", "x": letter, "y": "w"}, model=name,
               task="bfcl-simple")
        for name, letter in (("a", "w"), ("b", "c"))
    ]  # fmt: skip
    served = Site("en", LINKS, "/compare", "/x")
    assert "+33.3" in page(served, logs).html
    html = page(served, logs, Query(bad="out")).html
    assert "+50.0" in html
    assert "left out (1)" in html


def test_the_differences_as_csv_are_those_of_the_page(three: list[Path]) -> None:
    answer = client(three[0].parent).get("/compare.csv", params={"log": [str(p) for p in three]})
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="differences.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    found = {(row["scorer"], row["model"]): float(row["difference"]) for row in rows}
    a, b = (read_log(path) for path in three[:2])
    assert found["box", "trained"] == pytest.approx(paired_difference(a, b, "box").value)
    assert len(rows) == 4


def test_only_named_places_are_read(three: list[Path], tmp_path: Path) -> None:
    other = log_at(tmp_path / "secret.jsonl", {"q1": "c"})
    asked = {"log": [str(three[0]), str(other.path)]}
    for address in ("/compare", "/compare.csv"):
        assert client(three[0].parent).get(address, params=asked).status_code == 404


def test_without_a_choice_one_chooses(three: list[Path], tmp_path: Path) -> None:
    log_at(tmp_path / "alone.jsonl", {"q1": "c"}, task="lonely")
    html = client(three[0].parent, tmp_path).get("/compare?lang=en").text
    boxes = [given for tag, given in Elements(html).found if given.get("name") == "log"]
    assert [box["value"] for box in boxes] == sorted(map(str, three))
    assert "lonely" not in html
    assert "no two logs" in client(tmp_path).get("/compare?lang=en").text


def test_a_link_that_leads_out_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        log_at(tmp_path / "outside" / f"{name}.jsonl", {"q1": "c"}, model=name)
    (tmp_path / "inside").mkdir()
    for name in ("a", "b"):
        (tmp_path / "inside" / f"{name}.jsonl").symlink_to(tmp_path / "outside" / f"{name}.jsonl")
    assert list(logs_in([tmp_path / "inside"])) == []
    assert len(list(logs_in([tmp_path, tmp_path / "outside"]))) == 2


def test_a_damaged_log_is_no_choice_and_no_error(three: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"type":"start","schema":99}\n')
    assert "bad.jsonl" not in client(three[0].parent, tmp_path).get("/compare").text


def test_a_strange_address_still_leads_to_the_page(three: list[Path]) -> None:
    asked = {"log": [str(three[0]), str(three[1])], "ref": "?", "scorer": "none", "was": "<b>",
             "first": "-1", "subject": "x", "other": "Z"}  # fmt: skip
    assert client(three[0].parent).get("/compare", params=asked).status_code == 200


BFCL = ("bfcl-simple", "bfcl-multiple", "bfcl-parallel", "bfcl-parallel-multiple")


def run_folder(folder: Path, skill: dict[str, int]) -> Path:
    """A run with the four tasks: of 8 questions, the first `skill[role]` are right."""
    for role, right in skill.items():
        for task in BFCL:
            answers = {f"q{n}": "c" if n < right else "w" for n in range(8)}
            log_at(folder / "logs" / f"{role}-{task}.jsonl", answers, model=f"{folder.name} {role}",
                   task=task, scorers=("ast",))  # fmt: skip
    return folder


class TestRuns:
    def test_one_run_is_compared_with_its_base(self, tmp_path: Path) -> None:
        run = run_folder(tmp_path / "mini", {"trained": 6, "base": 2})
        sides = run_sides({run: [read_log(path) for path in sorted(run.rglob("*.jsonl"))]})
        assert [side.name for side in sides] == ["mini base", "mini trained"]
        made = compare_runs(sides)
        assert [row.task for row in made.tasks] == list(BFCL)
        assert made.family == 5, "four tasks and the mean"
        (mean,) = [row for row in made.figures if row.figure == "bfcl ast_mean"]
        assert mean.values == pytest.approx([0.25, 0.75])
        assert mean.paired[0] is not None
        assert mean.paired[0].difference.value == pytest.approx(0.5)
        assert mean.paired[0].verdict == "better"
        assert mean.paired[0].difference.better == 16
        assert {one.verdict for row in made.tasks for o in row.others if o
                for one in o.paired.values()} == {"noise"}  # fmt: skip

    def test_several_runs_are_compared_by_their_trained_models(self, tmp_path: Path) -> None:
        runs = [run_folder(tmp_path / name, {"base": 1, "trained": n})
                for name, n in (("one", 3), ("two", 5))]  # fmt: skip
        html = client(tmp_path).get(
            "/compare", params={"run": [str(run) for run in runs], "lang": "en"}
        ).text  # fmt: skip
        assert "A · one trained" in html
        assert "two trained" in html
        assert "one base" not in html
        assert "bfcl ast_mean" in html
        assert 'href="/compare?log=' in html

    def test_an_interrupted_evaluation_has_no_part_in_a_mean(self, tmp_path: Path) -> None:
        run = run_folder(tmp_path / "mini", {"trained": 6, "base": 2})
        path = run / "logs" / "base-bfcl-parallel.jsonl"
        kept = [line for line in path.read_text().splitlines() if json.loads(line)["type"] != "end"]
        path.write_text("\n".join(kept) + "\n")
        made = compare_runs(
            run_sides({run: [read_log(path) for path in sorted(run.rglob("*.jsonl"))]})
        )
        mean = next(row for row in made.figures if row.figure == "bfcl ast_mean")
        assert mean.values[0] is None
        assert mean.paired == [None]

    def test_a_finished_log_stands_for_its_task(self, tmp_path: Path) -> None:
        run = tmp_path / "mini"
        log_at(run / "trained-sums-2.jsonl", {"q1": "w", "q2": "w"}, finished=False)
        log_at(run / "trained-sums.jsonl", {"q1": "c"})
        sides = run_sides({run: [read_log(path) for path in sorted(run.rglob("*.jsonl"))]})
        (row,) = compare_runs(sides).tasks
        assert isinstance(row.scores[0], Score)
        assert row.scores[0].value == 1.0

    def test_a_folder_without_logs_says_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(LogError, match="no evaluation log"):
            export([tmp_path / "empty"], "en")
        assert client(tmp_path).get(f"/compare?run={tmp_path / 'empty'}").status_code == 400

    def test_hostile_names_stay_text(self, tmp_path: Path) -> None:
        for role in ("base", "trained"):
            log_at(tmp_path / f"{role}-x.jsonl", {"q": "c"}, model=HOSTILE, task=HOSTILE)
        html = export([tmp_path], "zh-TW")
        assert not [tag for tag, _ in Elements(html).found if tag in ("img", "iframe")]
        assert "\u202e" not in html
