"""Parts of the comparison pages: addresses, labels, replies, logs that are still written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from compare_logs import lines, log_at
from formosa.errors import LogError
from formosa.results.log import OUTCOMES
from formosa.web.compare.charts import Bar, bars
from formosa.web.compare.pair import reply_text
from formosa.web.compare.query import Query
from formosa.web.compare.runs import best_of, compare_runs, run_sides
from formosa.web.leaderboard.entries import entry
from formosa.web.page import address
from formosa.web.read_logs import read

QUERIES = st.builds(
    Query,
    ref=st.sampled_from("ABC"),
    other=st.sampled_from(["", "A", "B"]),
    scorer=st.sampled_from(["", "box", "a&b=c", "=x"]),
    was=st.sampled_from(["", *OUTCOMES, "not-correct"]),
    now=st.sampled_from(["", *OUTCOMES]),
    subject=st.none() | st.text(),
    bad=st.sampled_from(["", "out"]),
    first=st.integers(0, 10**8),
)


class TestQuery:
    @given(QUERIES)
    def test_an_address_leads_back_to_what_was_asked(self, query: Query) -> None:
        # A lone surrogate can't stand in an address, nor in a subject that was read as JSON text.
        if query.subject is not None:
            query = query._replace(subject=query.subject.encode("utf-8", "replace").decode())
        made = address("/compare", **query.pairs())
        assert Query.read(QueryParams(made.partition("?")[2])) == query

    @given(st.dictionaries(st.sampled_from(Query._fields), st.text(max_size=20)))
    def test_any_address_can_be_read(self, asked: Mapping[str, str]) -> None:
        made = Query.read(asked)
        assert made.first >= 0
        assert made.was in ("", *OUTCOMES, "not-correct")

    def test_what_is_as_by_default_is_left_out(self) -> None:
        assert address("/compare", **Query().pairs()) == "/compare"


class TestLabels:
    @pytest.mark.parametrize(
        "label", ["m" * 90, "國" * 60, "org/a-name-that-goes-on-and-on-and-on"]
    )
    def test_a_long_label_leaves_room_for_its_figures(self, label: str) -> None:
        says = "▲ +100.0 (+100.0 … +100.0)"
        made = bars("x", "t", "a", [Bar(label, 5, 1, 9, "noise", says)])
        (short,) = re.findall(r'class="label"[^>]*>([^<]*)<', made)
        assert short.endswith("…")
        wide = sum(13 if one > "\u2e80" else 7 for one in short)
        assert wide + 7 * len(says) < 400
        assert f"<title>{label}: " in made, "the whole name stands in the title"

    def test_a_short_label_stands_whole(self) -> None:
        made = bars("x", "t", "a", [Bar("國中理化", 5, 1, 9, "noise", "+5.0")])
        assert ">國中理化</text>" in made


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ({"reply": {"text": "A", "message": {"content": "B"}}}, "A"),
        ({"reply": {"message": {"content": "B", "reasoning_content": "so"}}}, "so\nB"),
        ({"reply": {"text": "", "message": {"content": "B"}}}, "B"),
        ({"reply": None, "error": "gone"}, "gone"),
        ({"reply": {"text": None}}, ""),
        ({}, ""),
        ({"reply": "strange"}, ""),
    ],
)
def test_a_reply_is_shown_from_what_the_log_holds(record: dict[str, Any], shown: str) -> None:
    assert reply_text(record) == shown


def test_calls_without_a_text_are_shown_as_they_are() -> None:
    calls = [{"function": {"name": "weather", "arguments": '{"city": "臺北"}'}}]
    text = reply_text({"reply": {"message": {"content": "", "tool_calls": calls}}})
    assert json.loads(text) == calls
    assert "臺北" in text


class TestLogsThatGrow:
    def test_a_log_is_read_again_when_it_has_more(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"
        log_at(path, {"q1": "c", "q2": "w"}, finished=False, scorers=("box",))
        assert read(path) is read(path)
        assert entry(path).answers == 2
        *_, last = lines(path)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**last, "id": "q3"}) + "\n")
        assert len(read(path).samples) == 3
        assert entry(path).answers == 3
        assert (entry(path).state, entry(path).finished) == ("interrupted", False)

    def test_a_log_that_went_away_is_a_sentence(self, tmp_path: Path) -> None:
        for reading in (read, entry):
            with pytest.raises(LogError):
                reading(tmp_path / "gone.jsonl")


class TestRuns:
    def test_the_best_log_of_a_task_is_finished_then_long_then_late(self, tmp_path: Path) -> None:
        short = log_at(tmp_path / "a.jsonl", {"q1": "c"})
        long = log_at(tmp_path / "b.jsonl", {"q1": "c", "q2": "c"})
        longest = log_at(tmp_path / "c.jsonl", {f"q{n}": "c" for n in range(9)}, finished=False)
        assert best_of([short, longest, long]) is long
        assert best_of([short, longest]) is short

    def test_a_task_of_another_version_is_refused_in_its_row(self, tmp_path: Path) -> None:
        logs = [
            log_at(tmp_path / f"{role}-{task}.jsonl", {"q1": "c", "q2": "w"}, model=role,
                   task=task, version=version)
            for role, task, version in (
                ("base", "sums", 1), ("trained", "sums", 2),
                ("base", "words", 1), ("trained", "words", 1), ("trained", "alone", 1),
            )
        ]  # fmt: skip
        rows = {row.task: row for row in compare_runs(run_sides({tmp_path: logs})).tasks}
        assert list(rows) == ["alone", "sums", "words"]
        (sums,) = rows["sums"].others
        assert sums is not None
        assert sums.refusal is not None
        (words,) = rows["words"].others
        assert words is not None
        assert words.paired["exact"].difference.value == 0
        assert rows["alone"].others == [None]
        assert rows["alone"].scores[0] is None

    def test_models_of_one_name_have_their_folder_beside_it(self, tmp_path: Path) -> None:
        groups = {
            tmp_path / name: [log_at(tmp_path / name / "trained-sums.jsonl", {"q": "c"})]
            for name in ("one", "two")
        }
        assert [side.name for side in run_sides(groups)] == ["m (one)", "m (two)"]
        assert [side.letter for side in run_sides(groups)] == ["A", "B"]

    def test_every_scorer_has_its_row(self, tmp_path: Path) -> None:
        logs = [
            log_at(tmp_path / f"{role}-x.jsonl", {"q": "c"}, model=role, scorers=("box", "pattern"))
            for role in ("base", "trained")
        ]
        made = compare_runs(run_sides({tmp_path: logs}))
        assert [(row.task, row.scorer) for row in made.tasks] == [
            ("sums", "box"), ("sums", "pattern"),
        ]  # fmt: skip
        assert made.family == 2
