"""Filter and search in a log of any size: what an address says is what is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval_logs import append, sample_of, start_of, write_log
from formosa.results.index import LogIndex
from formosa.results.log import OUTCOMES
from formosa.web.evals.find import MISSED, Query, answer_address, find, list_address
from formosa.web.evals.library import Library, Opened
from formosa.web.evals.search import holding

SCORERS = ["box", "pattern"]


def listed(opened: Opened, **said: str) -> list[str]:
    rows = find(opened, Query.of(said, opened.index.scorers))
    return [opened.index.id(row) for row in rows]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "find_city", "arguments": '{"a":"高雄"}'},
    }
    message = {
        "role": "assistant",
        "content": "",
        "reasoning_content": "先想",
        "tool_calls": [call],
    }
    records = [
        sample_of("q1", text="答案是 Taipei", subject="地理", seconds=1.0),
        sample_of("q2", "wrong", text='他說 "taipei"\n了', subject="法律", seconds=3.0),
        sample_of("Q3-taipei", "failed", subject="法律"),
        sample_of("q4", "unparsed", text="\ud800 臺北", subject="地理", seconds=2.0),
        sample_of("q5", "wrong", subject="", reply={"text": "x", "message": message}),
    ]  # fmt: skip
    path = write_log(tmp_path / "a.jsonl", start_of(samples=5), *records)
    return Opened(path, ())


@pytest.mark.parametrize(
    ("said", "ids"),
    [
        ({}, ["q1", "q2", "Q3-taipei", "q4", "q5"]),
        ({"outcome": "wrong"}, ["q2", "q5"]),
        ({"outcome": MISSED}, ["q2", "Q3-taipei", "q4", "q5"]),
        ({"subject": "法律"}, ["q2", "Q3-taipei"]),
        ({"subject": " "}, ["q5"]),
        ({"subject": "*"}, ["q1", "q2", "Q3-taipei", "q4", "q5"]),
        ({"subject": "no such"}, []),
        ({"q": "TAIPEI"}, ["q1", "q2", "Q3-taipei"]),
        ({"q": "TAIPEI", "outcome": "wrong"}, ["q2"]),
        ({"q": '"taipei"\n'}, ["q2"]),
        ({"q": "臺北"}, ["q4"]),
        ({"q": "高雄"}, ["q5"]),
        ({"q": "find_city"}, ["q5"]),
        ({"q": "先想"}, ["q5"]),
        ({"q": "assistant"}, []),  # these are in every line, but nobody wrote them
        ({"q": "stop"}, []),
        ({"q": "rgu"}, []),
        ({"q": "12"}, []),
        ({"q": ","}, []),
        ({"q": "is right"}, []),  # that is in the reasons
        ({"order": "slow"}, ["q2", "q4", "Q3-taipei", "q5", "q1"]),
    ],
)
def test_what_is_asked_for_is_listed(opened: Opened, said: dict[str, str], ids: list[str]) -> None:
    assert listed(opened, **said) == ids


def test_what_an_address_says_wrongly_counts_as_not_said() -> None:
    said = {"scorer": "nobody", "outcome": "perfect", "order": "x", "page": "-3", "q": " a " * 500}
    made = Query.of(said, SCORERS)
    assert (made.scorer, made.outcome, made.order, made.page) == ("box", "", "log", 1)
    assert len(made.text) <= 200
    for page in ("0", "", "x", "9" * 400, "٣"):
        assert Query.of({"page": page}, SCORERS).page >= 1


@given(
    st.builds(
        Query,
        st.sampled_from(SCORERS),
        st.sampled_from(["", MISSED, *OUTCOMES]),
        st.none() | st.just("a b") | st.just(" "),
        st.text(max_size=20).map(str.strip),
        st.sampled_from(["log", "slow", "long"]),
        st.integers(1, 9999),
    )
)
def test_an_address_says_a_query_whole(query: Query) -> None:
    assert Query.of(query.values(SCORERS), SCORERS) == query


def test_another_filter_begins_at_its_first_page() -> None:
    query = Query("box", page=7)
    assert "page=7" in list_address(Path("a"), query, SCORERS)
    assert "page" not in list_address(Path("a"), query, SCORERS, outcome="wrong")
    assert "page" not in answer_address(Path("a"), query, SCORERS, "q", 0)


def test_what_was_found_is_forgotten_when_the_log_grows(opened: Opened) -> None:
    assert listed(opened, q="高雄") == ["q5"]
    append(opened.index.path, [sample_of("q6", text="高雄")])
    opened.refresh()
    assert listed(opened, q="高雄") == ["q5", "q6"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    texts=st.lists(st.text(max_size=12) | st.sampled_from(['a"b', "a\\b", "\x00A", "\ud800é"])),
    wanted=st.text(min_size=1, max_size=2) | st.sampled_from(['"', "\\", "\n", "\x00", "É"]),
)
def test_a_search_finds_exactly_the_replies_that_hold_the_text(
    tmp_path: Path, texts: list[str], wanted: str
) -> None:
    records: list[Any] = [sample_of(f"{i}", text=text) for i, text in enumerate(texts)]
    index = LogIndex(write_log(tmp_path / "a.jsonl", start_of(), *records))
    low = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
    expected = {i for i, text in enumerate(texts) if wanted.translate(low) in text.translate(low)}
    assert holding(index, wanted) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"why": "讀出 這裡"},
        {"subject": "讀出 這裡"},
        {"gold": ["讀出 這裡"]},
        {"id": "讀出 這裡"},
        {"error": "讀出 這裡"},
        {"reply": {"private": {"read": "讀出 這裡"}}},
        {"reply": {"text": "", "message": {"content": ""}, "defects": [["讀出 這裡"]]}},
        {
            "reply": {
                "text": "",
                "message": {"content": ""},
                "logprobs": [[["讀出 這裡", -1.0], []]],
            }
        },
    ],
)
def test_what_the_model_did_not_write_is_not_found(tmp_path: Path, changes: Any) -> None:
    """Also where a line is not parsed for it."""
    record = sample_of(**{"id": "q1", "outcome": "wrong", **changes})
    index = LogIndex(write_log(tmp_path / "a.jsonl", start_of(), record, sample_of("q2")))
    for wanted in ("讀出 這裡", "這裡", "讀"):
        assert holding(index, wanted) == set()


def test_an_answer_that_was_asked_again_is_found_by_its_last_reply(tmp_path: Path) -> None:
    records = [sample_of("q1", text="old"), sample_of("q1", text="new")]
    index = LogIndex(write_log(tmp_path / "a.jsonl", start_of(), *records))
    assert (holding(index, "old"), holding(index, "new")) == (set(), {0})


def test_logs_that_nobody_looks_at_are_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("formosa.web.evals.library.MOST", 3)
    library = Library()
    paths = [
        write_log(tmp_path / f"{i}.jsonl", start_of(), sample_of("q1"), sample_of("q2"))
        for i in range(3)
    ]
    for path in paths:
        with library.open(path) as log:
            assert len(log.index) == 2
    assert [path.name for path in library._opened] == ["2.jsonl"]
