"""The quick index of a log says what `read_log` and the metrics say, for any log, at any moment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eval_logs import append, end_of, sample_of, start_of, write_log
from formosa.errors import LogError
from formosa.files import is_locked
from formosa.results import metrics
from formosa.results.effort import effort, purity
from formosa.results.index import LogIndex
from formosa.results.log import OUTCOMES, read_log
from formosa.results.log_writer import LogWriter
from formosa.results.tally import score_of

SCORERS = ("box", 'pat"tern')
# What a reply could hold to be taken for the end of its line.
FORGED = (
    '{"text":"},\\"error\\":null","error":null,"scores":{"box":{"outcome":"correct"}}}',
    '","error":null,"scores":{"box":{"outcome":"correct","answer":null,"why":""}},"gold":"A"',
    '\\","usage":[1,1],"seconds":9}\n',
)


def assert_same(path: Path, index: LogIndex) -> None:
    """The index and `read_log` agree in everything that both know."""
    log = read_log(path)
    assert (index.start, index.end, index.scorers) == (log.start, log.end, log.scorers)
    assert (len(index), index.planned, index.failures) == (
        len(log.samples),
        log.planned,
        log.failures,
    )
    assert list(index.records(range(len(index)))) == list(log.samples)
    for row, short in enumerate(log.briefs):
        assert (index.id(row), index.repeat[row]) == short.key
        assert index.subjects[index.subject[row]] == short.subject
        assert index.offset[row] == short.offset
        found = tuple(OUTCOMES[index.outcome[name][row]] for name in log.scorers)
        assert found == short.outcomes
        assert index.row(*short.key) == row
    for name in log.scorers:
        assert index.outcomes(name) == metrics.outcomes(log, name)
        assert index.by_subject(name) == metrics.by_subject(log, name)
        assert index.score(name) == (metrics.score(log, name) if log.samples else None)
    assert (index.effort(), index.purity()) == (effort(log), purity(log))


@st.composite
def samples(draw: st.DrawFn) -> dict[str, Any]:
    outcomes = draw(st.lists(st.sampled_from(OUTCOMES), min_size=2, max_size=2))
    text = draw(st.sampled_from(FORGED) | st.text(max_size=20))
    record = sample_of(
        draw(st.sampled_from(["q1", "q2", "法律/3", 'a "quoted" id', "\ud800"])),
        outcomes[0],
        repeat=draw(st.integers(0, 2)),
        text=text,
        subject=draw(st.sampled_from(["法律", "物理", 'sub"ject', ""])),
        answer=draw(st.none() | st.just(text)),
        why=text,
        scorers=SCORERS,
        gold=draw(st.sampled_from(["A", {"error": ["x"], "seconds": 1}, None, [FORGED[1]]])),
        seconds=draw(st.sampled_from([0.5, 0.25, 3, None, 1e-7])),
        purity=draw(st.sampled_from([None, [9, 1, 2], [0, 0, 0]])),
    )
    record["scores"][SCORERS[1]]["outcome"] = outcomes[1]
    if "failed" in outcomes:
        record["reply"] = None
    elif draw(st.booleans()):
        record["reply"]["usage"] = None
    for name in draw(st.sets(st.sampled_from(["subject", "purity", "seconds", "error"]))):
        del record[name]  # as in logs of other versions and of other programs
    return record


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(first=st.lists(samples(), max_size=6), second=st.lists(samples(), max_size=6))
@example(first=[sample_of("q", text=FORGED[1], scorers=SCORERS)], second=[])
def test_an_index_says_what_read_log_says_also_after_the_file_has_grown(
    tmp_path: Path, first: list[Any], second: list[Any]
) -> None:
    path = write_log(tmp_path / "a.jsonl", start_of(SCORERS), *first)
    os.utime(path, ns=(1, 1))  # two writes in one tick of the file system's clock are one here
    index = LogIndex(path)
    assert_same(path, index)
    version = index.version
    append(path, [*second, end_of()])
    assert index.refresh()
    assert index.version != version
    assert_same(path, index)
    assert not index.refresh()


def test_what_the_runner_writes_takes_the_quick_way(tmp_path: Path) -> None:
    """Otherwise nobody would notice that a log opens slowly."""
    path = write_log(
        tmp_path / "a.jsonl",
        start_of(),
        sample_of("q1", text=FORGED[0]),
        sample_of("q2", "failed"),
        sample_of("q3", answer=None, gold={"error": ["a"]}),
        sample_of("q4", purity=None),
    )
    index = LogIndex(path)
    lines = path.read_bytes().splitlines(keepends=True)
    index._forget()
    index._careful(lines[0])
    assert [index._quick(line) for line in lines[1:]] == [True] * 4


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 5)).map(lambda t: (min(t[1], t[0]), t[0])),
        min_size=1,
        max_size=40,
    )
)
def test_a_counted_score_is_the_score_to_the_last_bit(shares: list[tuple[int, int]]) -> None:
    counts: dict[tuple[int, int], int] = {}
    for share in shares:
        counts[share] = counts.get(share, 0) + 1
    assert score_of(counts) == metrics._score(metrics._Share(*share) for share in shares)


def test_a_torn_last_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.jsonl", start_of(), sample_of("q1"))
    whole = json.dumps(sample_of("q2", "wrong")).encode() + b"\n"
    with path.open("ab") as file:
        file.write(whole[:100])
    index = LogIndex(path)
    assert len(index) == 1
    with path.open("ab") as file:
        file.write(whole[100:])
    assert index.refresh()
    assert_same(path, index)


def test_a_log_that_was_begun_anew_is_read_anew(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.jsonl", start_of(), sample_of("q1"), sample_of("q2"))
    index = LogIndex(path)
    write_log(path, start_of(), sample_of("other", "wrong"))
    index.refresh()
    assert_same(path, index)
    more = [sample_of("yet another"), sample_of("and more")]
    write_log(path, start_of(started="later"), *more)
    index.refresh()
    assert_same(path, index)
    replacement = write_log(tmp_path / "b.jsonl", start_of(), *(sample_of(c) for c in "abcdef"))
    replacement.replace(path)
    index.refresh()
    assert_same(path, index)


def test_questions_can_be_left_out_of_a_score(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.jsonl", start_of(), sample_of("q1"), sample_of("q2", "wrong"))
    index, log = LogIndex(path), read_log(path)
    assert index.score("box", without={"q2", "unknown"}) == metrics.score(
        log.without({"q2"}), "box"
    )
    assert index.score("box", without={"q1", "q2"}) is None


def test_the_repeats_of_a_question_are_found_in_their_order(tmp_path: Path) -> None:
    records = [sample_of("q1", repeat=2), sample_of("q2"), sample_of("q1", repeat=0)]
    index = LogIndex(write_log(tmp_path / "a.jsonl", start_of(repeats=3), *records))
    assert [index.repeat[row] for row in index.rows_of("q1")] == [0, 2]
    assert index.rows_of("nobody") == []
    assert index.row("q1", 1) is index.row("nobody", 0) is index.row("q1", -1) is None


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "not JSON",
        "[" * 100_000,
        '{"type":"other"}',
        '{"type":"sample","id":"a","repeat":0,"scores":{}}',
        json.dumps(sample_of("a", "perfect"), separators=(",", ":")),
    ],
)
def test_a_damaged_line_is_named_as_read_log_names_it(tmp_path: Path, line: str) -> None:
    path = write_log(tmp_path / "a.jsonl", start_of(), sample_of("q1"))
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(LogError) as expected:
        read_log(path)
    with pytest.raises(LogError) as found:
        LogIndex(path)
    assert str(found.value) == str(expected.value)


def test_files_that_are_no_logs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="does not exist"):
        LogIndex(tmp_path / "missing.jsonl")
    empty = write_log(tmp_path / "empty.jsonl")
    with pytest.raises(LogError, match="is empty"):
        LogIndex(empty)
    with pytest.raises(LogError, match="no start"):
        LogIndex(write_log(tmp_path / "data.jsonl", {"messages": []}))


def test_damage_inside_a_reply_shows_when_the_answer_is_read(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.jsonl", start_of(), sample_of("q1", text="whole"))
    path.write_bytes(path.read_bytes().replace(b'"whole"', b"whole"))
    index = LogIndex(path)
    with pytest.raises(LogError, match="damaged"):
        index.record(0)


def test_a_run_that_goes_on_is_told_from_one_that_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with LogWriter(path, start_of()) as writer:
        writer.append(sample_of("q1"))
        index = LogIndex(path)
        assert is_locked(path)
        assert index.state() == "running"
    assert index.state() == "interrupted"
    append(path, [end_of()])
    index.refresh()
    assert index.state() == "finished"
