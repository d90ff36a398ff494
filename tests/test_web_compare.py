"""The comparison of logs: what is compared with what, what is refused, and how sure it is."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare_logs import HOSTILE, invented, log_at
from formosa.results.log import OUTCOMES, EvalLog, read_log
from formosa.results.metrics import paired_difference, permutation_test
from formosa.results.several import holm
from formosa.web.compare.charts import MOST_BARS, Bar, Dot, bars, scatter
from formosa.web.compare.figures import number, p_text, percent, points, signed
from formosa.web.compare.pair import (
    became,
    both,
    by_subject,
    changed,
    question_points,
    subject_points,
)
from formosa.web.compare.sides import Side, compare, refused, sides_of, states


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return invented(tmp_path_factory.mktemp("three"), questions=80, subjects=4, repeats=2)


def pair_of(logs: list[EvalLog]) -> tuple[Side, Side]:
    a, b = sides_of(logs)
    return a, b


class TestSides:
    def test_a_difference_is_the_paired_one_of_the_command_line(self, tmp_path: Path) -> None:
        a = log_at(tmp_path / "a.jsonl", {"q1": "c", "q2": "w", "q3": "w", "q4": "w"}, model="a")
        b = log_at(tmp_path / "b.jsonl", {"q1": "w", "q2": "c", "q3": "c", "q4": "u"}, model="b")
        made = compare([a, b])
        (other,) = made.others
        assert other.paired["exact"].difference == paired_difference(a, b, "exact")
        assert other.paired["exact"].verdict == "noise"
        assert other.paired["exact"].p == other.paired["exact"].difference.p

    def test_any_of_them_can_be_the_reference(self, three: list[Path]) -> None:
        logs = [read_log(path) for path in three]
        made = compare(logs, "B")
        assert made.reference.name == "trained"
        assert [one.side.letter for one in made.others] == ["A", "C"]
        assert made.others[0].paired["exact"].difference.value < 0
        assert compare(logs, "Z").reference.letter == "A"

    def test_with_three_models_the_p_values_are_holms(self, three: list[Path]) -> None:
        made = compare([read_log(path) for path in three])
        found = [one.paired["exact"] for one in made.others]
        assert [one.family for one in found] == [2, 2]
        assert [one.p for one in found] == holm([one.difference.p for one in found])

    def test_holm_can_turn_a_difference_into_noise(self, tmp_path: Path) -> None:
        """6 better of 6 is p = 0.031 alone, and no more than 0.05 among three."""
        base = {f"q{n}": "w" for n in range(12)}
        better = {id: "c" if n < 6 else "w" for n, id in enumerate(base)}
        a = log_at(tmp_path / "a.jsonl", base, model="a")
        b = log_at(tmp_path / "b.jsonl", better, model="b")
        c = log_at(tmp_path / "c.jsonl", base, model="c")
        assert compare([a, b]).others[0].paired["exact"].verdict == "better"
        among_three = compare([a, b, c]).others[0].paired["exact"]
        assert among_three.verdict == "noise"
        assert among_three.p == pytest.approx(0.0625)

    def test_models_of_one_name_are_told_apart_by_their_places(self, tmp_path: Path) -> None:
        logs = [log_at(tmp_path / run / "logs" / "x.jsonl", {"q": "c"}) for run in ("old", "new")]
        assert [side.name for side in sides_of(logs)] == ["m (old/x)", "m (new/x)"]

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"task": "other"}, "different tasks"),
            ({"version": 2}, "version is 1 in one and 2"),
            ({"revision": "r2"}, "different revisions"),
            ({"scorers": ("loose",)}, "no scorer in common"),
        ],
    )
    def test_what_is_not_the_same_is_refused_with_its_reason(
        self, tmp_path: Path, changes: dict[str, object], why: str
    ) -> None:
        a = log_at(tmp_path / "a.jsonl", {"q1": "c"}, model="a")
        b = log_at(tmp_path / "b.jsonl", {"q1": "c"}, model="b", **changes)  # type: ignore[arg-type]
        (other,) = compare([a, b]).others
        assert other.paired == {}
        assert other.refusal is not None
        assert why in other.refusal.text.format(**other.refusal.values)

    def test_other_questions_are_refused_and_fewer_are_said(self, tmp_path: Path) -> None:
        a = log_at(tmp_path / "a.jsonl", {"q1": "c", "q2": "c"}, model="a")
        b = log_at(tmp_path / "b.jsonl", {"q7": "c"}, model="b")
        c = log_at(tmp_path / "c.jsonl", {"q2": "w", "q3": "c", "q4": "c"}, model="c")
        first, second = compare([a, b, c]).others
        assert first.refusal is not None
        assert "no question in common" in first.refusal.text
        (why,) = second.cautions
        assert why.values["n"] == 1
        assert (why.values["more_a"], why.values["more_b"]) == (1, 2)

    def test_an_empty_log_is_refused(self, tmp_path: Path) -> None:
        a = log_at(tmp_path / "a.jsonl", {"q1": "c"}, model="a")
        b = log_at(tmp_path / "b.jsonl", {}, model="b", finished=False)
        assert refused(*pair_of([a, b])) is not None

    def test_other_settings_are_compared_and_said(self, tmp_path: Path) -> None:
        a = log_at(tmp_path / "a.jsonl", {"q1": "c"}, sha256="same")
        b = log_at(tmp_path / "b.jsonl", {"q1": "w"}, sha256="same", request={"max_tokens": 8})
        (other,) = compare([a, b]).others
        said = [one.text.format(**one.values) for one in other.cautions]
        assert "exact" in other.paired
        assert any("max_tokens: 64 / 8" in text for text in said)
        assert "Both logs are of the same model file." in said

    def test_what_lowers_trust_in_one_log_is_said(self, tmp_path: Path) -> None:
        log = log_at(tmp_path / "a.jsonl", {"q1": "u", "q2": "f"}, original=9, finished=False)
        said = " ".join(one.text.format(**one.values) for one in states(sides_of([log])[0]))
        for part in ("Interrupted: 2 of 2", "2 of 9 questions", "1 requests failed", "50 %"):
            assert part in said


class TestPair:
    def test_every_answer_is_counted_by_what_became_of_it(self, tmp_path: Path) -> None:
        a = log_at(tmp_path / "a.jsonl", {"q1": "cw", "q2": "ut", "q3": "f"}, model="a")
        b = log_at(tmp_path / "b.jsonl", {"q1": "wc", "q2": "ut", "q4": "c"}, model="b")
        counts = became(*pair_of([a, b]), "exact")
        assert counts["correct"]["wrong"] == counts["wrong"]["correct"] == 1
        assert counts["unparsed"]["unparsed"] == counts["truncated"]["truncated"] == 1
        assert sum(sum(row.values()) for row in counts.values()) == 4
        assert tuple(counts) == OUTCOMES

    def test_changed_answers_are_filtered_by_group_and_subject(self, tmp_path: Path) -> None:
        subjects = {"q1": "law", "q2": "law", "q3": "art", "q4": "art"}
        a = log_at(tmp_path / "a.jsonl", {"q1": "c", "q2": "w", "q3": "u", "q4": "c"},
                   model="a", subjects=subjects)  # fmt: skip
        b = log_at(tmp_path / "b.jsonl", {"q1": "w", "q2": "c", "q3": "c", "q4": "c"},
                   model="b", subjects=subjects)  # fmt: skip
        pair = pair_of([a, b])

        def ids(**wanted: str) -> list[str]:
            return [row.id for row in changed(*pair, "exact", **wanted)]  # type: ignore[arg-type]

        assert ids() == ["q1", "q2", "q3"]
        assert ids(was="correct") == ids(now="wrong") == ["q1"]
        assert ids(was="not-correct", now="correct") == ["q2", "q3"]
        assert ids(subject="art") == ["q3"]
        (row,) = both(*pair, "exact", changed(*pair, "exact", was="correct"))
        assert (row.a.outcome, row.b.outcome, row.gold) == ("correct", "wrong", "B")
        assert row.a.reply == "The answer to q1 is correct."

    def test_long_replies_are_cut_and_say_so(self, tmp_path: Path) -> None:
        a = log_at(tmp_path / "a.jsonl", {"q1": "c"}, model="a", replies={"q1": "x" * 5000})
        b = log_at(tmp_path / "b.jsonl", {"q1": "w"}, model="b")
        pair = pair_of([a, b])
        (row,) = both(*pair, "exact", changed(*pair, "exact"))
        assert (len(row.a.reply), row.a.cut, row.b.cut) == (1501, 3500, 0)

    def test_subjects_have_holms_p_over_all_of_them(self, three: list[Path]) -> None:
        pair = pair_of([read_log(path) for path in three[:2]])
        found = by_subject(*pair, "exact")
        assert [one.what for one in found] == [f"subject {n}" for n in range(4)]
        assert [one.p for one in found] == holm([one.difference.p for one in found])
        assert sum(one.difference.questions for one in found) == 80
        whole = sum(one.difference.value * one.difference.questions for one in found) / 80
        a, b = (read_log(path) for path in three[:2])
        assert whole == pytest.approx(paired_difference(a, b, "exact").value)
        dots = subject_points(*pair, "exact")
        assert [dot.b - dot.a for dot in dots] == pytest.approx(
            [one.difference.value for one in found]
        )

    def test_questions_are_points_where_there_are_repeats(self, three: list[Path]) -> None:
        pair = pair_of([read_log(path) for path in three[:2]])
        dots = question_points(*pair, "exact")
        assert sum(dot.questions for dot in dots) == 80
        assert {dot.a for dot in dots} == {0.0, 0.5, 1.0}

    def test_without_repeats_a_scatter_of_questions_would_say_nothing(self, tmp_path: Path) -> None:
        logs = [log_at(tmp_path / f"{n}.jsonl", {"q1": "c", "q2": "w"}) for n in "ab"]
        assert question_points(*pair_of(logs), "exact") == []


class TestCharts:
    @given(
        st.lists(
            st.tuples(st.text(max_size=50), st.lists(st.floats(-100, 100), min_size=3, max_size=3)),
            max_size=5,
        )
    )
    def test_bars_stay_inside_the_picture_and_any_label_is_text(
        self, items: list[tuple[str, list[float]]]
    ) -> None:
        made = bars("x", "t", "a", [
            Bar(label, sorted(ends)[1], min(ends), max(ends), "noise", "0") for label, ends in items
        ])  # fmt: skip
        root = ElementTree.fromstring(made)
        for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
            x, wide = float(rect.get("x") or 0), float(rect.get("width") or 0)
            assert 0 <= x <= x + wide <= 400

    def test_bars_of_shares_run_from_0_to_100(self) -> None:
        made = bars("x", "t", "a", [Bar("m", 50, 40, 60, "c0", "50")], share=True)
        assert re.findall(r">(\d+)</text>", made) == ["0", "25", "50", "75", "100", "50"]

    def test_no_more_bars_than_can_be_read(self) -> None:
        items = [Bar(str(n), 1, 0, 2, "noise", "") for n in range(MOST_BARS + 9)]
        assert made_bars(bars("x", "t", "a", items)) == MOST_BARS

    def test_above_the_line_the_other_is_better(self) -> None:
        made = scatter("s", "t", "a", [Dot(20, 80, 3, "law")], "A", "B")
        root = ElementTree.fromstring(made)
        (dot,) = root.iter("{http://www.w3.org/2000/svg}circle")
        # The line of equals is at y = 342 where x is at its left end.
        assert float(dot.get("cy") or 0) < float(dot.get("cx") or 0)

    def test_hostile_text_stays_text(self) -> None:
        for made in (
            bars("x", HOSTILE, HOSTILE, [Bar(HOSTILE, 1, 0, 2, "noise", HOSTILE)]),
            scatter("s", HOSTILE, HOSTILE, [Dot(1, 2, 3, HOSTILE)], HOSTILE, HOSTILE),
        ):
            ElementTree.fromstring(made)
            assert "<script" not in made
            assert "<img" not in made
            assert "\u202e" not in made


def made_bars(svg: str) -> int:
    return svg.count('class="bar"')


class TestFigures:
    def test_signs_are_true_and_nothing_is_minus_nothing(self) -> None:
        assert (signed(0.031), signed(-0.0044), signed(-0.0001)) == ("+3.1", "−0.4", "0.0")
        assert percent(-0.00001) == "0.0"

    def test_p_is_not_printed_more_exactly_than_it_is_worth(self) -> None:
        assert (p_text(0.0004), p_text(0.03125), p_text(1.0)) == ("< 0.001", "0.031", "1")

    def test_numbers(self) -> None:
        assert [number(value) for value in (None, 7, 1851.0, 51.6875, 12345.6)] == [
            "–", "7", "1,851", "51.7", "12,346",
        ]  # fmt: skip

    def test_a_difference_has_its_interval(self, tmp_path: Path) -> None:
        a = log_at(tmp_path / "a.jsonl", {"q1": "w", "q2": "w"})
        b = log_at(tmp_path / "b.jsonl", {"q1": "c", "q2": "w"})
        assert points(paired_difference(a, b, "exact")).startswith("+50.0 (−")
        assert permutation_test([]) == 1.0
