"""The evaluation log: what was answered stays, and nobody else's answers are mixed in."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from evals_arithmetic import scored, start
from formosa.errors import LogError, UserError
from formosa.results.log import EvalLog, read_log
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import summary
from formosa.results.same_run import differences


def write(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "m-sums.jsonl"


def test_a_log_is_begun_filled_and_finished(path: Path) -> None:
    with LogWriter(path, start()) as writer:
        assert writer.log.samples == []
        writer.append(scored("a"))
        writer.append(scored("b", "wrong"))
        log = writer.finish(summary)
    assert log == read_log(path)
    assert log.finished
    assert [sample["id"] for sample in log.samples] == ["a", "b"]
    assert log.end is not None
    assert log.end["counts"]["exact"]["correct"] == 1
    assert log.end["scores"]["exact"]["value"] == 0.5
    assert (log.planned, log.scorers) == (2, ["exact"])


def test_a_log_without_its_end_says_by_itself_that_it_was_interrupted(path: Path) -> None:
    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
    log = read_log(path)
    assert not log.finished
    assert len(log.samples) == 1


def test_opening_a_log_again_continues_it(path: Path) -> None:
    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
    with LogWriter(path, start(started="later")) as writer:
        assert [sample["id"] for sample in writer.log.samples] == ["a"]
        writer.append(scored("b"))
    log = read_log(path)
    assert log.start["started"] == "2026-01-01T00:00:00Z"  # the first start stays
    assert len(log.samples) == 2


def test_a_torn_last_line_is_passed_over_when_read_and_cut_when_continued(path: Path) -> None:
    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"type":"sample","id":"b","rep')
    assert len(read_log(path).samples) == 1
    with LogWriter(path, start()):
        assert path.read_bytes() == whole


def test_a_start_that_was_torn_is_begun_again(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"type":"start","sch')
    with pytest.raises(LogError, match="is empty"):
        read_log(path)
    with LogWriter(path, start()) as writer:
        assert writer.log.samples == []


def test_a_sample_asked_again_counts_once_with_its_last_record(path: Path) -> None:
    with LogWriter(path, start()) as writer:
        writer.append(scored("a", "failed"))
        writer.append(scored("b"))
        assert writer.finish(summary).failed() == [scored("a", "failed")]
        writer.append(scored("a", "correct"))
    log = read_log(path)
    assert [sample["scores"]["exact"]["outcome"] for sample in log.samples] == ["correct"] * 2
    assert not log.finished  # the end there was is out of date


def test_finishing_twice_writes_the_end_once(path: Path) -> None:
    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
        writer.finish(summary)
    size = path.stat().st_size
    with LogWriter(path, start()) as writer:
        writer.finish(summary)
    assert path.stat().st_size == size


def test_two_runs_cannot_write_one_log(path: Path) -> None:
    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
        with pytest.raises(LogError, match="Another run is writing") as error:
            LogWriter(path, start())
        assert "--out" in error.value.hint
        writer.append(scored("b"))
    with LogWriter(path, start()) as writer:  # the lock is gone with its holder
        assert len(writer.log.samples) == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"request": {"temperature": 0.0, "max_tokens": 128}}, "request.max_tokens: 64"),
        ({"task": {"name": "sums", "version": 2}}, "task.version: 1 in the log, 2 now"),
        ({"scorers": ["other"]}, 'scorers: ["exact"]'),
        ({"model": {"name": "m", "sha256": "bb", "template_sha256": "t"}}, "model.sha256"),
        ({"model": {"name": "m", "sha256": "aa", "template_sha256": "u"}}, "model.template_sha256"),
        ({"model": {"name": "n", "sha256": None, "template_sha256": "t"}}, "model.name"),
    ],
)
def test_a_log_of_another_run_is_not_continued_and_the_difference_named(
    path: Path, change: dict[str, Any], named: str
) -> None:
    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
    before = path.read_bytes()
    with pytest.raises(LogError) as error:
        LogWriter(path, start(**change))
    assert named in error.value.message
    assert "--out" in error.value.hint
    assert path.read_bytes() == before
    LogWriter(path, start()).close()  # and the refusal left no lock behind


def test_the_plans_hash_is_named_only_where_nothing_else_differs() -> None:
    old = start()
    other = start(plan={**old["plan"], "seed": 7, "sha256": "q"})
    assert differences(old, other) == ["plan.seed: 0 in the log, 7 now"]
    alike = start(plan={**old["plan"], "sha256": "q"})
    assert differences(old, alike) == ['plan.sha256: "p" in the log, "q" now']


def test_a_model_that_was_moved_is_the_same_and_newer_code_may_continue() -> None:
    moved = {"name": "n", "path": "/elsewhere", "sha256": "aa", "template_sha256": "t"}
    assert differences(start(), start(model=moved, code={"version": "9"})) == []


class HalfFull:
    """A file on a disk with room for a few bytes more: what POSIX does is a short write."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        written: int = self._file.write(data[: self._room])
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("room", [0, 1, 30])
def test_a_disk_that_fills_up_leaves_a_readable_log(
    path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
        with monkeypatch.context() as patched:
            patched.setattr(writer._lines, "_file", HalfFull(writer._lines._file, room))
            with pytest.raises(UserError, match="disk is full"):
                writer.append(scored("b"))
        assert [sample["id"] for sample in read_log(path).samples] == ["a"]
        writer.append(scored("b"))
        assert writer.finish(summary) == read_log(path)
    assert len(read_log(path).samples) == 2


def test_a_disk_that_refuses_to_keep_what_it_took_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems find out that they are full only when the bytes must really be written."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", full)
            with pytest.raises(UserError, match="disk is full"):
                writer.sync()


def test_a_log_keeps_briefs_and_reads_the_rest_when_it_is_wanted(path: Path) -> None:
    """100,000 replies must not lie in memory to be counted."""
    with LogWriter(path, start(samples=3)) as writer:
        for id in "abc":
            writer.append(scored(id, reply={"text": id * 5, "usage": [3, 4, 0]}, seconds=0.5))
        writer.append(scored("a", "wrong", reply={"text": "again"}, seconds=1))
    log = read_log(path)
    assert [short.id for short in log.briefs] == ["a", "b", "c"]
    assert log.briefs[0].outcomes == ("wrong",)
    assert log.briefs[1].tokens == (3, 4)
    assert log.briefs[1].outcomes is log.briefs[2].outcomes
    assert log.samples[0]["reply"] == {"text": "again"}
    assert log.samples[-1]["reply"]["text"] == "ccccc"
    assert [sample["id"] for sample in log.samples[1:]] == ["b", "c"]
    assert log.samples == list(log.samples)
    assert log.samples != []


def test_a_log_that_changes_under_its_reader_is_an_error_not_nonsense(path: Path) -> None:
    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
    log = read_log(path)
    path.write_text("x" * 2000)
    with pytest.raises(LogError, match="was changed while it was being read"):
        log.samples[0]


@pytest.mark.parametrize("odd", [{"reply": 7}, {"reply": {"usage": "many"}}, {"purity": ["a"]},
                                 {"seconds": "long"}, {"subject": ["x"]}])  # fmt: skip
def test_fields_of_another_shape_are_no_crash(tmp_path: Path, odd: dict[str, Any]) -> None:
    """A card's reader opens logs that anybody may have written."""
    log = read_log(write(tmp_path / "x.jsonl", start(), scored("a", **odd)))
    assert log.briefs[0].tokens is None
    assert summary(log)["counts"]["exact"]["correct"] == 1


def test_a_shard_plans_only_its_own_samples() -> None:
    plan = {**start()["plan"], "samples": 20, "repeats": 3, "shard": {"samples": 7}}
    assert EvalLog(Path("x"), start(plan=plan)).planned == 21


DAMAGED = [
    ([], "is empty"),
    ([{"type": "sample"}], "no start"),
    ([{"a": 1}], "is not an evaluation log"),
    ([[1, 2]], "is not an evaluation log"),
    ([start(schema=99)], "log schema 99"),
    ([{**start(), "plan": None}], "`plan` is missing"),
    ([start(), {"type": "surprise"}], ":2 is damaged"),
    ([start(), {"type": "sample"}], ":2 is damaged: a sample without an id"),
    ([start(), scored("a", "perfect")], "ends as none of"),
    ([start(), {**scored("a"), "scores": {}}], "not those of the start"),
    ([start(scorers=("other",)), scored("a")], "not those of the start"),
]


@pytest.mark.parametrize(("records", "sentence"), DAMAGED, ids=[row[1] for row in DAMAGED])
def test_a_file_that_is_no_log_is_refused_with_the_line(
    tmp_path: Path, records: list[Any], sentence: str
) -> None:
    with pytest.raises(LogError) as error:
        read_log(write(tmp_path / "x.jsonl", *records))
    assert sentence in error.value.message


def test_a_whole_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", start(), scored("a"))
    file.write_bytes(file.read_bytes() + b"{broken}\n")
    with pytest.raises(LogError, match=r"x\.jsonl:3 is not JSON"):
        read_log(file)


def test_a_missing_log_says_how_to_find_one(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="does not exist") as error:
        read_log(tmp_path / "none.jsonl")
    assert "formosa eval ls" in error.value.hint


def test_a_sample_that_failed_failed_and_a_cut_one_did_not() -> None:
    log = EvalLog(Path("x"), start(), [scored("a", "truncated"), scored("b", "failed")])
    assert [record["id"] for record in log.failed()] == ["b"]
