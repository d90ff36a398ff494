"""Writing a log: what the system refuses is a sentence, and every place in the file is right."""

from __future__ import annotations

import errno
import fcntl
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals_arithmetic import scored, start
from formosa.errors import LogError, UserError
from formosa.results.log import EvalLog, read_log
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import summary
from formosa.results.same_run import differences

APPEND = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from(["correct", "wrong", "failed"]),
    st.one_of(st.text(max_size=5), st.just("\ud800"), st.just("two\nlines")),
)
STEPS = st.lists(st.one_of(APPEND, st.sampled_from(["finish", "again", "torn"])), max_size=12)


@settings(deadline=None)
@given(STEPS)
def test_what_the_writer_says_is_in_the_file_is_what_a_reader_finds(steps: list[Any]) -> None:
    """The writer never reads its own lines again; a place off by one byte would be nonsense."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        expected: dict[str, Any] = {}
        writer = LogWriter(path, start(samples=3))
        for step in steps:
            if isinstance(step, tuple):
                id, outcome, text = step
                expected[id] = scored(id, outcome, reply={"text": text})
                writer.append(expected[id])
            elif step == "finish":
                if expected:
                    assert writer.finish(summary).finished
            else:
                writer.close()
                if step == "torn":
                    with path.open("ab") as file:
                        file.write(b'{"type":"sample","id":"z","rep')
                writer = LogWriter(path, start(samples=3))
            assert writer.log_so_far() == read_log(path)
            assert {sample["id"]: sample for sample in writer.log_so_far().samples} == expected
        writer.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
@pytest.mark.parametrize("kind", ["folder", "file above", "other run", "damaged", "no locks"])
def test_a_log_that_cannot_be_written_is_a_sentence_and_nothing_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "log.jsonl"
    if kind == "folder":
        path.mkdir()
    elif kind == "file above":
        path.write_text("")
        path = path / "log.jsonl"
    elif kind == "other run":
        LogWriter(path, start(samples=9)).close()
    elif kind == "damaged":
        path.write_text("{broken}\n")
    else:
        # What NFS without a lock server says.
        def refuse(descriptor: int, how: int) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
    before = open_files()
    with pytest.raises(UserError) as error:
        LogWriter(path, start())
    assert str(path) in error.value.message
    assert open_files() == before
    if kind == "no locks":
        assert "No locks available" in error.value.message
        assert "local disk" in error.value.hint


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log.jsonl", start())
    writer.close()
    writer.close()
    LogWriter(tmp_path / "log.jsonl", start()).close()


def test_an_end_that_says_something_else_now_is_written_again(tmp_path: Path) -> None:
    """A newer version may count more than the one that finished the log."""
    path = tmp_path / "log.jsonl"
    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
        writer.finish(lambda log: {"counts": {"exact": {"correct": 1}}})
    with LogWriter(path, start()) as writer:
        log = writer.finish(summary)
    assert log == read_log(path)
    assert log.end is not None
    assert "scores" in log.end


def test_long_values_that_differ_are_short_enough_to_read() -> None:
    def model(digit: str) -> dict[str, Any]:
        return start(model={"name": "m", "sha256": digit * 64, "template_sha256": "t"})

    a, b = "a" * 15, "b" * 15
    assert differences(model("a"), model("b")) == [
        f'model.sha256: "{a}…" in the log, "{b}…" now',
    ]


def test_what_json_cannot_tell_apart_is_the_same_run() -> None:
    """A plan in memory has tuples where the log has lists."""
    assert differences(start(request={"stop": ["a"]}), start(request={"stop": ("a",)})) == []


# -- reading --------------------------------------------------------------------------------------


def test_empty_lines_between_records_are_passed_over_and_the_places_stay_right(
    tmp_path: Path,
) -> None:
    """Somebody opened the log in an editor, or put two parts together by hand."""
    path = tmp_path / "log.jsonl"
    with LogWriter(path, start()) as writer:
        writer.append(scored("a"))
        writer.append(scored("b", "wrong"))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    log = read_log(path)
    assert list(log.samples) == [scored("a"), scored("b", "wrong")]


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="is a folder, not a file"):
        read_log(tmp_path)


@pytest.mark.parametrize("line", [b"\xff\xfe{}\n", b"[" * 200_000 + b"\n"], ids=["utf-16", "deep"])
def test_bytes_that_are_no_json_are_a_sentence_with_the_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "log.jsonl"
    LogWriter(path, start()).close()
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(LogError, match=r"log\.jsonl:2 is not JSON"):
        read_log(path)


@pytest.mark.parametrize("stored", [True, False])
def test_a_log_without_some_questions_is_that_of_the_others(tmp_path: Path, stored: bool) -> None:
    path = tmp_path / "log.jsonl"
    records = [scored(id, "correct" if id == "c" else "wrong", n) for id in "abc" for n in (0, 1)]
    with LogWriter(path, start(samples=3, repeats=2)) as writer:
        for record in records:
            writer.append(record)
    log = read_log(path) if stored else EvalLog(path, start(samples=3, repeats=2), records)
    rest = log.without({"a", "elsewhere"})
    assert list(rest.samples) == records[2:]
    assert [short.id for short in rest.briefs] == ["b", "b", "c", "c"]
    assert summary(rest)["scores"]["exact"]["value"] == 0.5
    assert len(log.samples) == 6  # it is another log
