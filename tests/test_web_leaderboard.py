"""The leaderboard: which scores are ranked, which can't be told apart, and what cards claim."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from compare_logs import HOSTILE, log_at
from formosa.results.metrics import score
from formosa.results.several import mean_score
from formosa.web.app import create_pages
from formosa.web.leaderboard.board import MEAN, Board, boards
from formosa.web.leaderboard.claims import Claim, claims_of, plain
from formosa.web.leaderboard.entries import entry, place_of
from formosa.web.leaderboard.pages import export, routes
from formosa.web.leaderboard.words import LEADERBOARD_WORDS
from formosa.web.places import Places
from formosa.web.read_logs import logs_in
from formosa.web.site import Link

LINKS = (Link("Overview", "/"), Link("Leaderboard", "/leaderboard"))
PLACEHOLDER = re.compile(r"\{\w+\}")
AST = ("simple", "multiple", "parallel", "parallel-multiple")


def client(*roots: Path) -> TestClient:
    return TestClient(create_pages(Places(roots), routes(), LINKS), base_url="http://127.0.0.1")


def write(folder: Path, model: str, right: int, of: int = 40, **more: Any) -> None:
    """A log of `of` questions of which the first `right` are answered."""
    task = more.pop("task", "tmmluplus")
    answers = {f"q{n}": "c" if n < right else "w" for n in range(of)}
    given = {"scorers": ("box",), **more}
    name = f"{model}-{task}".replace("/", "-").replace(":", "-")
    log_at(folder / f"{name}.jsonl", answers, model=model, task=task, **given)


def board_of(folder: Path) -> Board:
    (made,) = boards(entry(path) for path in logs_in([folder]))
    return made


def marks(folder: Path, column: str = "tmmluplus") -> dict[str, str]:
    return {row.model: row.cells[column].mark for row in board_of(folder).rows}


def test_every_text_has_its_placeholders_in_both_languages() -> None:
    for english, chinese in LEADERBOARD_WORDS.items():
        assert set(PLACEHOLDER.findall(english)) == set(PLACEHOLDER.findall(chinese)), english


class TestRanks:
    def test_the_best_is_marked_where_all_others_are_outside_the_noise(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path, "good", 36)
        write(tmp_path, "poor", 12)
        assert marks(tmp_path) == {"good": "best", "poor": ""}

    def test_those_that_can_t_be_told_apart_are_marked_alike(self, tmp_path: Path) -> None:
        write(tmp_path, "good", 36)
        write(tmp_path, "as good", 35)
        write(tmp_path, "poor", 5)
        assert marks(tmp_path) == {"good": "top", "as good": "top", "poor": ""}

    def test_the_same_difference_is_not_told_apart_among_many(self, tmp_path: Path) -> None:
        """Six better of six is p = 0.031 between two models, and nothing among five."""
        write(tmp_path, "a", 16)
        write(tmp_path, "b", 10)
        assert marks(tmp_path) == {"a": "best", "b": ""}
        for name in ("c", "d", "e"):
            write(tmp_path, name, 10)
        assert set(marks(tmp_path).values()) == {"top"}

    def test_one_model_alone_is_no_best(self, tmp_path: Path) -> None:
        write(tmp_path, "good", 36)
        assert marks(tmp_path) == {"good": ""}

    def test_only_the_same_questions_are_ranked(self, tmp_path: Path) -> None:
        """90 % of a tenth of the questions is not more than 80 % of all of them."""
        write(tmp_path, "part", 9, of=10, original=100)
        write(tmp_path, "whole", 80, of=100)
        write(tmp_path, "too", 20, of=100)
        made = {row.model: row.cells["tmmluplus"] for row in board_of(tmp_path).rows}
        assert {name: cell.ranked for name, cell in made.items()} == {
            "part": False, "whole": True, "too": True,
        }  # fmt: skip
        assert (made["whole"].mark, made["part"].mark) == ("best", "")
        assert [row.model for row in board_of(tmp_path).rows] == ["whole", "too", "part"]
        assert "10 of 100 questions" in client(tmp_path).get("/leaderboard?lang=en").text

    def test_another_version_of_the_task_is_not_ranked_with_it(self, tmp_path: Path) -> None:
        write(tmp_path, "a", 36)
        write(tmp_path, "b", 10)
        write(tmp_path, "old", 5, version=0)
        assert marks(tmp_path) == {"a": "best", "b": "", "old": ""}
        assert "other questions" in client(tmp_path).get("/leaderboard?lang=en").text

    def test_an_interrupted_evaluation_is_shown_as_such(self, tmp_path: Path) -> None:
        write(tmp_path, "done", 20)
        write(tmp_path, "stopped", 39, finished=False)
        assert marks(tmp_path) == {"done": "", "stopped": ""}
        html = client(tmp_path).get("/leaderboard?lang=en").text
        assert "interrupted: 40 of 40 answers" in html

    def test_of_two_logs_of_one_model_the_finished_one_counts(self, tmp_path: Path) -> None:
        write(tmp_path / "new", "m", 20)
        write(tmp_path / "old", "m", 40, finished=False)
        made = board_of(tmp_path)
        assert [row.cells["tmmluplus"].value for row in made.rows] == [0.5]
        assert len(made.left_out) == 1
        assert "1 more logs" in client(tmp_path).get("/leaderboard?lang=en").text

    def test_two_files_of_one_name_are_two_models(self, tmp_path: Path) -> None:
        for sha in ("aaaaaaaaaaaa", "bbbbbbbbbbbb"):
            write(tmp_path / sha, "m", 20, sha256=sha)
        html = client(tmp_path).get("/leaderboard?lang=en").text
        assert "aaaaaaaa<" in html
        assert "bbbbbbbb<" in html

    def test_scores_are_those_of_the_log(self, tmp_path: Path) -> None:
        log = log_at(tmp_path / "x.jsonl", {"q1": "cwc", "q2": "uct", "q3": "ccc"}, task="mmlu",
                     scorers=("box", "pattern"))  # fmt: skip
        for row in board_of(tmp_path).rows:
            cell = row.cells["mmlu"]
            assert cell.reading is not None
            assert cell.reading.score == score(log, row.reading)
            assert (cell.value, cell.low, cell.high) == score(log, row.reading)[:3]
            assert cell.reading.deviation is not None


class TestTables:
    @pytest.mark.parametrize(
        ("task", "scorers", "place"),
        [
            ("tmmluplus", ["box", "pattern"], ("choice", "tmmluplus", "")),
            ("tmmluplus-logit", ["logit"], ("choice", "tmmluplus", "logit")),
            ("mmlu-twinkle-box", ["twinkle"], ("choice", "mmlu", "twinkle-box")),
            ("file-logit:a.csv", ["logit"], ("choice", "file:a.csv", "logit")),
            ("bfcl-parallel-multiple", ["ast"], ("bfcl", "parallel-multiple", "bfcl")),
            ("bfcl-zhtw-simple", ["ast"], ("bfcl", "simple", "bfcl-zhtw")),
            ("bfcl-prompt-live-simple", ["ast"], ("bfcl", "live-simple", "bfcl-prompt")),
            ("math-500", ["boxed"], ("other", "math-500", "")),
            ("something-else", ["x"], ("other", "something-else", "")),
        ],
    )
    def test_a_task_has_its_table_and_column(
        self, task: str, scorers: list[str], place: tuple[str, str, str]
    ) -> None:
        assert place_of(task, scorers) == place

    def test_readings_are_rows_and_lenient_ones_are_not(self, tmp_path: Path) -> None:
        write(tmp_path, "m", 9, scorers=("box", "pattern"))
        assert [row.reading for row in board_of(tmp_path).rows] == ["box", "pattern"]
        write(tmp_path / "tools", "m", 9, task="bfcl-simple", scorers=("ast", "ast_lenient"))
        assert [row.reading for row in board_of(tmp_path / "tools").rows] == ["bfcl"]

    def test_columns_stand_as_in_the_cards(self, tmp_path: Path) -> None:
        for task in ("mmlu", "tw-legal", "another", "tmmluplus"):
            write(tmp_path, "m", 9, task=task)
        assert board_of(tmp_path).columns == ["tmmluplus", "tw-legal", "mmlu", "another"]

    def test_heads_are_those_of_the_cards(self, tmp_path: Path) -> None:
        for task in ("tmmluplus", "tw-legal", "mmlu", "file:a.csv"):
            write(tmp_path, "m", 9, task=task)
        for lang, law in (("en", "Taiwan law"), ("zh-TW", "台灣法律")):
            html = client(tmp_path).get(f"/leaderboard?lang={lang}").text
            found = re.findall(r'<th scope="col" class="number">([^<]+)</th>', html)
            assert found[:4] == ["TMMLU+", law, "MMLU", "file:a.csv"]

    def test_bfcl_s_mean_is_of_four_finished_tasks_and_is_ranked_by_all_questions(
        self, tmp_path: Path
    ) -> None:
        for name, right in (("good", 14), ("poor", 11)):
            for part in AST:
                write(tmp_path, name, right, of=20, task=f"bfcl-{part}", scorers=("ast",))
        write(tmp_path, "part", 20, of=20, task="bfcl-simple", scorers=("ast",))
        made = board_of(tmp_path)
        assert made.columns == [MEAN, *AST]
        rows = {row.model: row.cells for row in made.rows}
        assert rows["good"][MEAN].value == pytest.approx(0.7)
        assert MEAN not in rows["part"]
        scores = [rows["good"][name].reading.score for name in AST]  # type: ignore[union-attr]
        mean = rows["good"][MEAN]
        assert (mean.value, mean.low, mean.high) == mean_score([one for one in scores if one])
        # 3 of 3 is nothing in one task, 12 of 12 is something in all of them.
        assert (rows["good"]["parallel"].mark, rows["good"][MEAN].mark) == ("top", "best")

    def test_english_and_chinese_questions_are_never_mixed(self, tmp_path: Path) -> None:
        write(tmp_path, "a", 36, task="bfcl-simple", scorers=("ast",))
        write(tmp_path, "b", 2, task="bfcl-zhtw-simple", scorers=("ast",))
        rows = board_of(tmp_path).rows
        assert [(row.reading, row.cells["simple"].mark) for row in rows] == [
            ("bfcl", ""), ("bfcl-zhtw", ""),
        ]  # fmt: skip

    def test_twinkle_s_figure_stands_beside_as_its_cards_print_it(self, tmp_path: Path) -> None:
        answers = {f"q{n}": "ccw" if n % 2 else "wcc" for n in range(10)}
        log_at(tmp_path / "x.jsonl", answers, task="mmlu-twinkle-box",
               scorers=("twinkle", "twinkle-2.10", "box", "pattern"))  # fmt: skip
        (row,) = board_of(tmp_path).rows
        assert row.reading == "twinkle-box"
        assert "66.67 (±0." in client(tmp_path).get("/leaderboard?lang=en").text

    def test_other_settings_are_said(self, tmp_path: Path) -> None:
        write(tmp_path, "a", 9)
        write(tmp_path, "b", 9, request={"max_tokens": 4096})
        assert "max_tokens: 4096, 64" in client(tmp_path).get("/leaderboard?lang=en").text


CARD = """---
license: llama3.2
---
# A model

| 模型 | 評測模式 | TMMLU+(%) | 台灣法律(%) | 測試次數 |
|---|---|---|---|---|
| [org/one](https://huggingface.co/org/one) | box | 44.11 (±0.0179) | 35.24 | 3 |
| 🌟[evil](javascript:alert(1)) (ours) | pattern | **50.1** | – | 3 |

| Model | Overall Accuracy | AST Accuracy (S.) | AST Accuracy (P.M.) |
|---|---|---|---|
| GPT-4o-mini | **87** | 91 | 84 |

| Name | Size |
|---|---|
| x | 3 |
"""


class TestClaims:
    def claims(self, tmp_path: Path, text: str = CARD) -> list[Claim]:
        path = tmp_path / "README.md"
        path.write_text(text, encoding="utf-8")
        return claims_of([path])

    def test_a_card_s_tables_are_read_as_they_stand(self, tmp_path: Path) -> None:
        one, evil, tools = self.claims(tmp_path)
        assert one.figures == {"tmmluplus": "44.11 (±0.0179)", "tw-legal": "35.24"}
        assert (one.model, one.url, one.reading) == (
            "org/one", "https://huggingface.co/org/one", "box",
        )  # fmt: skip
        assert evil.figures == {"tmmluplus": "50.1"}
        assert tools.figures == {"overall": "87", "simple": "91", "parallel-multiple": "84"}
        assert (tools.kind, tools.reading) == ("bfcl", "")
        lines = (tmp_path / "README.md").read_text(encoding="utf-8").splitlines()
        assert "org/one" in lines[int(one.where) - 1]
        assert "GPT-4o" in lines[int(tools.where) - 1]

    def test_a_model_index_is_read_where_no_table_says_the_same(self, tmp_path: Path) -> None:
        results = [
            {
                "task": {"type": "qa"},
                "dataset": {"name": name, "type": name},
                "metrics": [{"type": "accuracy", "name": "single choice", "value": 46.16}],
            }
            for name in ("tmmlu+", "math-500")
        ]
        front = json.dumps({"model-index": [{"name": "F1", "results": results}]})
        text = CARD.replace("license: llama3.2", front.strip("{}"))
        assert [claim.kind for claim in self.claims(tmp_path, text)] == [
            "choice", "choice", "bfcl", "other",
        ]  # fmt: skip
        made = self.claims(tmp_path, f"---\n{front.strip('{}')}\n---\n")
        assert [(one.kind, one.figures, one.where) for one in made] == [
            ("choice", {"tmmluplus": "46.16"}, "model-index"),
            ("other", {"math-500": "46.16"}, "model-index"),
        ]

    def test_a_card_that_can_t_be_read_claims_nothing(self, tmp_path: Path) -> None:
        assert self.claims(tmp_path, "---\na: [\n---\n") == []
        assert self.claims(tmp_path, "---\nmodel-index: 3\n---\n") == []
        assert claims_of([tmp_path / "missing.md"]) == []

    def test_cells_are_text(self) -> None:
        assert plain("**[a](https://x.y)** <b>b</b> `c`\\|") == "a b c|"

    def test_claims_stand_apart_and_bad_links_are_text(self, tmp_path: Path) -> None:
        self.claims(tmp_path)
        write(tmp_path, "measured", 9)
        html = client(tmp_path).get("/leaderboard?lang=en").text
        assert html.index("measured") < html.index("Claimed in model cards")
        assert 'href="https://huggingface.co/org/one"' in html
        assert "javascript:" not in html

    def test_cards_that_copy_each_other_are_one_row(self, tmp_path: Path) -> None:
        for name in ("a.md", "b.md"):
            (tmp_path / name).write_text(CARD, encoding="utf-8")
        html = client(tmp_path).get("/leaderboard?lang=en").text
        assert html.count("GPT-4o-mini") == 1
        assert html.count(">a.md</a>") == html.count(">b.md</a>") == 3


class TestPage:
    def test_both_languages_and_links_to_logs_and_comparisons(self, tmp_path: Path) -> None:
        write(tmp_path, "a", 36)
        write(tmp_path, "b", 5)
        for lang in ("zh-TW", "en"):
            html = client(tmp_path).get(f"/leaderboard?lang={lang}").text
            assert 'href="/evals/log?path=' in html
            assert 'href="/compare?log=' in html
            assert "★" in html

    def test_a_file_links_to_nothing_and_names_no_folder(self, tmp_path: Path) -> None:
        write(tmp_path, "a", 36)
        html = export([tmp_path], "zh-TW")
        assert str(tmp_path) not in html
        assert set(re.findall(r'href="([^"]+)"', html)) == {"#main", "data:,"}

    def test_nothing_there_says_what_to_do(self, tmp_path: Path) -> None:
        assert "formosa eval run" in client(tmp_path).get("/leaderboard?lang=en").text

    def test_a_damaged_log_is_named_and_the_rest_is_shown(self, tmp_path: Path) -> None:
        write(tmp_path, "a", 36)
        (tmp_path / "bad.jsonl").write_text('{"type":"start","schema":99}\n')
        html = client(tmp_path).get("/leaderboard?lang=en").text
        assert "bad.jsonl has the log schema 99" in html
        assert "90.0" in html

    def test_hostile_names_stay_text_also_in_csv(self, tmp_path: Path) -> None:
        log_at(tmp_path / "x.jsonl", {"q": "c"}, model=HOSTILE, task=HOSTILE)
        log_at(tmp_path / "y.jsonl", {"q": "c"}, model="=1+1", task="sums")
        html = client(tmp_path).get("/leaderboard").text
        assert "<img" not in html
        assert "onload=alert" not in re.sub(r"&lt;.*?&gt;", "", html)
        text = client(tmp_path).get("/leaderboard.csv").text
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
        assert {row["model"] for row in rows} == {HOSTILE, "'=1+1"}

    def test_the_csv_has_every_score(self, tmp_path: Path) -> None:
        write(tmp_path, "a", 36, scorers=("box", "pattern"))
        text = client(tmp_path).get("/leaderboard.csv").text
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
        assert [(row["reading"], float(row["correct"])) for row in rows] == [
            ("box", 0.9), ("pattern", 0.9),
        ]  # fmt: skip
