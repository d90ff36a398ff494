"""Files survive: the old or the new, whole records, and a sentence when the disk is full."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa import files
from formosa.errors import DataError, UserError
from formosa.files import (
    JsonLines,
    alone,
    canonical_json,
    cut_torn_line,
    explain_os_error,
    hold,
    is_locked,
    read_json,
    read_jsonl,
    replacing,
    sha256_file,
    sha256_json,
    sha256_text,
    write_bytes,
    write_json,
    write_text,
)


class FullDisk:
    """A file on a disk that takes only so many bytes more."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self._file = file
        self._room = room

    def write(self, data: bytes) -> int:
        part = data[: self._room]
        self._file.write(part)
        self._room -= len(part)
        if len(part) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


# -- replacing -----------------------------------------------------------------------------------


def test_a_file_is_replaced_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_text(path, "臺\n")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["c.txt"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt(), SystemExit(1)])
def test_the_old_file_stays_when_writing_is_interrupted(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "f"
    write_text(path, "old")
    with pytest.raises(type(error)), replacing(path) as file:
        file.write(b"half")
        file.flush()
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_when_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_text(path, "old")
    untouched = pytest.raises(UserError, match="disk is full.*old file is untouched")
    with untouched as caught, replacing(path) as file:
        FullDisk(file, 3).write(b"new text")
    assert f"df -h {tmp_path}" in caught.value.hint
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_only_when_synced_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network file systems take the bytes first and refuse them later."""
    path = tmp_path / "f"
    write_text(path, "old")

    def refuse(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, "quota")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match="disk is full"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_the_bytes_are_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave the new name with nothing behind it."""
    path = tmp_path / "f"
    seen: list[bool] = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        seen.append(path.exists())
        assert os.fstat(descriptor).st_size == 3
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    write_text(path, "new")
    assert seen == [False]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        write_text(blocker / "inside", "x")
    with pytest.raises(UserError, match="Cannot write"):
        write_text(tmp_path, "x")


def test_two_threads_may_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    both = threading.Barrier(2, timeout=60)

    def write(text: bytes) -> None:
        with replacing(path) as file:
            both.wait()
            file.write(text)
            both.wait()

    threads = [threading.Thread(target=write, args=(text,)) for text in (b"a" * 99, b"b" * 99)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in (b"a" * 99, b"b" * 99)
    assert list(tmp_path.iterdir()) == [path]


# -- JSON ----------------------------------------------------------------------------------------


def test_json_is_readable_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    write_json(path, {"b": 1, "a": "臺"})
    assert path.read_text("utf-8") == '{\n  "b": 1,\n  "a": "臺"\n}\n'
    assert read_json(path) == {"b": 1, "a": "臺"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{\n"a": 1,\n}', "is not JSON.*line 3"),
        (b"\xff", "is not JSON.*utf-8"),
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"1" * 5000, "is not JSON"),
    ],
)
def test_what_is_not_json_is_said_with_the_file(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"f\.json {problem}"):
        read_json(path)


def test_what_cannot_be_read_is_said_with_the_file(tmp_path: Path) -> None:
    for read in (read_json, lambda path: list(read_jsonl(path))):
        with pytest.raises(UserError, match=r"nothing\.json does not exist"):
            read(tmp_path / "nothing.json")
        with pytest.raises(UserError, match="is a folder"):
            read(tmp_path)


def test_a_lone_surrogate_is_kept_as_an_escape(tmp_path: Path) -> None:
    """Models write `\\ud800`, JSON can hold it and UTF-8 can't."""
    write_json(tmp_path / "f.json", ["\ud800臺"])
    assert read_json(tmp_path / "f.json") == ["\ud800臺"]
    with JsonLines(tmp_path / "f.jsonl") as lines:
        lines.append("\ud800臺")
    assert list(read_jsonl(tmp_path / "f.jsonl")) == [(1, "\ud800臺")]


def test_equal_values_have_equal_hashes() -> None:
    assert canonical_json({"b": [1, None], "a": "臺"}) == '{"a":"臺","b":[1,null]}'
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": "1"})
    assert sha256_text("臺") == hashlib.sha256("臺".encode()).hexdigest()


def test_a_file_is_hashed_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK", 4)
    (tmp_path / "f").write_bytes(b"0123456789")
    steps: list[int] = []
    assert sha256_file(tmp_path / "f", steps.append) == hashlib.sha256(b"0123456789").hexdigest()
    assert steps == [4, 4, 2]


# -- JSON lines ----------------------------------------------------------------------------------

RECORDS: list[Any] = [{"id": 1, "text": "臺\n北"}, [], None, "x" * 5000]


def test_records_are_read_back_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "f.jsonl"
    with JsonLines(path) as lines:
        for record in RECORDS:
            lines.append(record)
    assert list(read_jsonl(path)) == list(enumerate(RECORDS, start=1))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 7, 1 << 20]))
def test_a_file_torn_anywhere_continues_after_its_last_whole_record(
    tmp_path_factory: pytest.TempPathFactory, cut: int, chunk: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "f.jsonl"
    whole = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)
    cut %= len(whole) + 1
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    assert [value for _, value in read_jsonl(path)] == RECORDS[:kept]  # reading changes nothing
    assert path.stat().st_size == cut
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "CHUNK", chunk)
        with JsonLines(path, sync=False) as lines:
            lines.append("next")
    assert [value for _, value in read_jsonl(path)] == [*RECORDS[:kept], "next"]


def test_cutting_says_how_much_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert cut_torn_line(path) == 0
    path.write_bytes(b'{"a":1}\n{"b')
    assert cut_torn_line(path) == 3
    assert cut_torn_line(path) == 0
    path.write_bytes(b"no newline at all")
    assert cut_torn_line(path) == 17
    assert path.read_bytes() == b""


def test_a_whole_line_that_is_not_json_is_an_error_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    for damage in (b"{\n", b"\xff\n", b"1" * 5000 + b"\n"):
        path.write_bytes(b"1\n\n" + damage + b"4\n")
        with pytest.raises(UserError, match=r"f\.jsonl:3 is not JSON"):
            list(read_jsonl(path))


def test_an_append_to_a_full_disk_leaves_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.jsonl"
    lines = JsonLines(path)
    lines.append(1)
    real = lines._file
    monkeypatch.setattr(lines, "_file", FullDisk(real, 4))
    with pytest.raises(UserError, match="disk is full"):
        lines.append("a long record")
    assert path.read_bytes() == b"1\n"
    monkeypatch.setattr(lines, "_file", real)
    lines.append(2)  # space was freed
    lines.close()
    assert path.read_bytes() == b"1\n2\n"


def test_a_short_write_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel may take a part and say so, without an error."""
    lines = JsonLines(tmp_path / "f.jsonl")
    lines.append(1)
    real = lines._file

    class Short(FullDisk):
        def write(self, data: bytes) -> int:
            return real.write(data[:2])

    monkeypatch.setattr(lines, "_file", Short(real, 0))
    with pytest.raises(UserError, match="disk is full"):
        lines.append("a long record")
    real.close()
    assert (tmp_path / "f.jsonl").read_bytes() == b"1\n"


def test_a_record_that_is_no_json_writes_nothing(tmp_path: Path) -> None:
    with JsonLines(tmp_path / "f.jsonl") as lines:
        with pytest.raises(TypeError):
            lines.append({"x": object()})
        lines.append({"x": math.pi})
    assert list(read_jsonl(tmp_path / "f.jsonl")) == [(1, {"x": math.pi})]


def test_records_go_to_the_disk_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    with JsonLines(tmp_path / "a") as lines:
        lines.append(1)
    with JsonLines(tmp_path / "b", sync=False) as lines:
        lines.append(1)
    assert len(synced) == 1


@pytest.mark.parametrize("before", [None, 0o644, 0o666, 0o600])
def test_a_private_file_is_its_owner_s_from_its_first_byte_on(
    tmp_path: Path, before: int | None
) -> None:
    """It holds people's words: a mode that is set after the file was opened comes too late."""
    path = tmp_path / "new" / "f.jsonl"
    if before is not None:
        path.parent.mkdir()
        path.write_bytes(b"1\n")
        path.chmod(before)
    old = os.umask(0)
    try:
        with JsonLines(path, private=True) as lines:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            lines.append(2)
    finally:
        os.umask(old)
    assert [value for _, value in read_jsonl(path)] == ([2] if before is None else [1, 2])


def test_a_file_that_can_t_be_made_private_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that belongs to somebody else, in a folder that several share."""

    def refuse(descriptor: int, mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(UserError, match="No permission to write"):
        JsonLines(tmp_path / "f.jsonl", private=True)
    assert (tmp_path / "f.jsonl").read_bytes() == b""


def test_a_log_where_no_file_can_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        JsonLines(tmp_path / "file" / "f.jsonl")
    with pytest.raises(UserError, match="Cannot write"):
        JsonLines(tmp_path)


WRITER = """
import sys
from pathlib import Path
from formosa.files import JsonLines, write_json

log, state = Path(sys.argv[1]), Path(sys.argv[2])
start = int(sys.argv[3])
with JsonLines(log) as lines:
    for i in range(start, start + 100_000):
        lines.append({"i": i, "text": "臺" * (i % 50)})
        print(i, flush=True)
        write_json(state, {"i": i, "text": "臺" * 200})
"""


def test_a_killed_writer_leaves_only_whole_records(tmp_path: Path) -> None:
    """kill -9 at twenty places: what was acknowledged is there, and the next one continues."""
    log, state = tmp_path / "log.jsonl", tmp_path / "state.json"
    following = 0
    for round_number in range(20):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(log), str(state), str(following)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        acknowledged = following - 1
        for _ in range(3 + round_number):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().splitlines()
        writer.wait()
        writer.stdout.close()
        acknowledged = max([acknowledged, *(int(line) for line in rest if line)])
        written = [value["i"] for _, value in read_jsonl(log)]
        assert written == list(range(len(written)))
        assert len(written) >= acknowledged + 1
        assert read_json(state)["i"] >= acknowledged - 1
        following = len(written)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EDQUOT, "The disk is full"),
        (errno.EACCES, "No permission"),
        (errno.EROFS, "No permission"),
        (errno.EIO, "Cannot write"),
    ],
)
def test_what_the_system_refused_is_one_sentence(number: int, sentence: str) -> None:
    error = explain_os_error(OSError(number, os.strerror(number)), Path("x/y"))
    assert error.message.startswith(sentence)
    assert "x/y" in error.message


# -- locks ----------------------------------------------------------------------------------------


def test_a_lock_is_one_process_s_and_goes_with_its_descriptor(tmp_path: Path) -> None:
    path, busy = tmp_path / "new" / "lock", UserError("Somebody is here.")
    assert not is_locked(path)
    descriptor = hold(path, busy)
    assert is_locked(path) and is_locked(path)
    with pytest.raises(UserError, match="Somebody is here"):
        hold(path, busy)
    os.close(descriptor)
    assert not is_locked(path)
    with alone(path, busy):
        assert is_locked(path)
    assert not is_locked(path)


def test_one_who_only_looks_turns_nobody_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page asks whether a run is going on, and a run begins in that very moment."""
    path = tmp_path / "lock"
    path.touch()
    looking = path.open("rb")
    fcntl.flock(looking, fcntl.LOCK_SH)
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        looking.close()

    monkeypatch.setattr("formosa.files.time.sleep", sleep)
    os.close(hold(path, UserError("busy")))
    assert waited == [files.LOCK_PAUSE]


def test_a_file_system_without_locks_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DataError, match="No locks available") as caught:
        hold(tmp_path / "lock", DataError("busy"))
    assert caught.value.hint == "choose a folder on a local disk"
