"""However the answers of one run are spread over logs, merging them gives the same log."""

from __future__ import annotations

import errno
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals_arithmetic import scored, start
from formosa.errors import LogError, UserError
from formosa.results.log import EvalLog, read_log
from formosa.results.log_writer import LogWriter
from formosa.results.merge import (
    canonical_lines,
    canonical_sample,
    merge,
    result_sha256,
)
from formosa.results.metrics import summary

KEYS = [(f"q{n}", repeat) for n in range(4) for repeat in range(2)]


def answered(key: tuple[str, int], failed: bool = False) -> dict[str, Any]:
    id, repeat = key
    outcome = "failed" if failed else "correct" if (int(id[1]) + repeat) % 2 else "wrong"
    reply = None if failed else {"text": f"{id}/{repeat}", "usage": [5, 2, 0]}
    return scored(id, outcome, repeat, reply=reply, seconds=0.1)


def write(path: Path, records: list[dict[str, Any]], **changes: Any) -> EvalLog:
    path.unlink(missing_ok=True)
    with LogWriter(path, start(samples=4, repeats=2, **changes)) as writer:
        for record in records:
            writer.append(record)
        return writer.finish(summary) if len(writer.log_so_far().samples) == 8 else read_log(path)


@pytest.fixture
def whole(tmp_path: Path) -> EvalLog:
    return write(tmp_path / "whole.jsonl", [answered(key) for key in KEYS])


SPREAD = st.lists(
    st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), max_size=8), min_size=1, max_size=4
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(SPREAD)
def test_any_spread_of_answers_and_failures_merges_to_what_is_known(
    tmp_path: Path, spread: list[list[tuple[tuple[str, int], bool]]]
) -> None:
    """A failure may come before or after the answer, in the same log or another one."""
    logs, last = [], []
    for n, part in enumerate(spread):
        records = [answered(key, failed) for key, failed in part]
        logs.append(write(tmp_path / f"{n}.jsonl", records))
        last.append(dict(part))
    known = {key for part in last for key in part}
    good = {key for part in last for key, failed in part.items() if not failed}
    path = tmp_path / "merged.jsonl"
    path.unlink(missing_ok=True)
    said: list[str] = []
    merged = merge(logs, path, said.append)
    assert {short.key for short in merged.briefs} == known
    assert {short.key for short in merged.briefs if not short.failed} == good
    assert len(merged.samples) == len(known)
    assert merged.finished == (len(known) == 8)
    assert bool(said) == (len(known) < 8)
    # Merging what was merged changes nothing.
    before = list(canonical_lines(merged))
    assert list(canonical_lines(merge([merged], path, lambda line: None))) == before
    assert list(canonical_lines(merge(logs[::-1], path, lambda line: None))) == before


def test_the_canonical_form_knows_no_times_and_no_order(tmp_path: Path, whole: EvalLog) -> None:
    records = [{**answered(key), "seconds": 9.9} for key in reversed(KEYS)]
    for record in records:
        record["reply"] = {**record["reply"], "usage": [5, 2, 4]}  # of a warm prompt cache
    other = write(tmp_path / "other.jsonl", records, started="2031-01-01T00:00:00Z")
    assert other.path.read_bytes() != whole.path.read_bytes()
    assert list(canonical_lines(other)) == list(canonical_lines(whole))
    assert result_sha256(other) == result_sha256(whole)


@pytest.mark.parametrize(
    "change",
    [{"reply": {"text": "other"}}, {"subject": "x"}, {"repeat": 1}, {"gold": 3}, {"error": "e"}],
)
def test_the_canonical_form_changes_with_all_that_was_answered(change: dict[str, Any]) -> None:
    record = answered(("q0", 0))
    assert canonical_sample({**record, **change}) != canonical_sample(record)
    assert canonical_sample({**record, "seconds": 77}) == canonical_sample(record)


def test_an_unfinished_log_has_another_hash_than_a_finished_one(
    tmp_path: Path, whole: EvalLog
) -> None:
    part = write(tmp_path / "part.jsonl", [answered(key) for key in KEYS[:7]])
    assert result_sha256(part) != result_sha256(whole)
    assert len(list(canonical_lines(part))) == 8
    assert len(list(canonical_lines(whole))) == 10


def test_words_that_are_no_text_have_a_hash(tmp_path: Path) -> None:
    record = {**answered(("q0", 0)), "reply": {"text": "\ud800"}}
    assert len(result_sha256(write(tmp_path / "x.jsonl", [record]))) == 64


def test_the_first_start_is_that_of_the_merged_log(tmp_path: Path) -> None:
    times = ["2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z"]
    logs = [
        write(tmp_path / f"{n}.jsonl", [answered(KEYS[n])], started=time)
        for n, time in enumerate(times)
    ]
    merged = merge(logs, tmp_path / "merged.jsonl", lambda line: None)
    assert merged.start["started"] == times[1]


def test_a_merge_that_fails_leaves_the_old_file(tmp_path: Path, whole: EvalLog) -> None:
    other = write(tmp_path / "other.jsonl", [{**answered(KEYS[0]), "reply": {"text": "no"}}])
    path = tmp_path / "merged.jsonl"
    merge([whole], path, lambda line: None)
    before = path.read_bytes()
    with pytest.raises(LogError, match="different answers to q0"):
        merge([other], path, lambda line: None)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "merged.jsonl", "other.jsonl", "whole.jsonl",
    ]  # fmt: skip


def test_merged_records_are_those_of_the_shards_to_the_byte(tmp_path: Path, whole: EvalLog) -> None:
    merged = merge([whole], tmp_path / "merged.jsonl", lambda line: None)
    lines = merged.path.read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines[1:-1]] == list(whole.samples)
    assert set(lines[1:-1]) <= set(whole.path.read_text("utf-8").splitlines())


# -- shards ---------------------------------------------------------------------------------------

SHARDS = {1: ["q0", "q3"], 2: ["q1"], 3: ["q2"]}
ORDERS = [order for size in (1, 2, 3) for order in itertools.permutations(SHARDS, size)]


@pytest.fixture
def shards(tmp_path: Path) -> dict[int, EvalLog]:
    made = {}
    for number, ids in SHARDS.items():
        plan = {
            **start(samples=4, repeats=2)["plan"],
            "shard": {"number": number, "of": 3, "samples": len(ids)},
        }
        records = [answered(key) for key in KEYS if key[0] in ids]
        made[number] = write(tmp_path / f"{number}of3.jsonl", records, plan=plan)
    return made


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_any_shards_in_any_order_are_merged_and_just_the_missing_ones_named(
    tmp_path: Path, whole: EvalLog, shards: dict[int, EvalLog], order: tuple[int, ...]
) -> None:
    path, said = tmp_path / "merged.jsonl", list[str]()
    merged = merge([shards[n] for n in order], path, said.append)
    absent = [n for n in SHARDS if n not in order]
    assert merged.finished == (not absent)
    if absent:
        word = "shard" if len(absent) == 1 else "shards"
        missing = sum(2 * len(SHARDS[n]) for n in absent)
        assert said == [
            f"{word} {', '.join(map(str, absent))} of 3 not given",
            f"{missing} of 8 answers are missing",
        ]
    for number in absent:  # one after another, as they come in
        said.clear()
        merged = merge([shards[number]], path, said.append)
    if absent:
        assert said == []  # the last one makes it whole: nothing is missing
    assert result_sha256(merged) == result_sha256(whole)


def test_shards_that_came_before_are_not_called_missing_for_certain(
    tmp_path: Path, shards: dict[int, EvalLog]
) -> None:
    """Which shards a merged log holds is not written in it."""
    path, said = tmp_path / "merged.jsonl", list[str]()
    merge([shards[1]], path, lambda line: None)
    merge([shards[2]], path, said.append)
    assert said == [
        f"shards 1, 3 of 3 not given (but {path} may hold answers of theirs)",
        "2 of 8 answers are missing",
    ]


def test_a_file_that_is_no_log_is_not_written_over(tmp_path: Path, whole: EvalLog) -> None:
    """`eval merge data.jsonl shard…`: a slip of the finger must not cost the data."""
    path = tmp_path / "data.jsonl"
    path.write_text('{"question": "mine"}\n')
    with pytest.raises(LogError, match="is not an evaluation log"):
        merge([whole], path, lambda line: None)
    assert path.read_text() == '{"question": "mine"}\n'


def test_a_merge_into_one_of_the_logs_keeps_its_answers(
    tmp_path: Path, whole: EvalLog, shards: dict[int, EvalLog]
) -> None:
    merged = merge([shards[1], shards[2], shards[3]], shards[1].path, lambda line: None)
    assert result_sha256(merged) == result_sha256(whole)
    assert "shard" not in merged.start["plan"]


def test_a_merge_onto_a_full_disk_leaves_the_shards_and_no_half_log(
    tmp_path: Path, whole: EvalLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="disk is full"):
        merge([whole], tmp_path / "merged.jsonl", lambda line: None)
    assert [p.name for p in tmp_path.iterdir()] == ["whole.jsonl"]
