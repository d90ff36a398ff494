"""Rows between the passes: on disk, found by number, and gone afterwards."""

from __future__ import annotations

import errno
import io
import random
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message
from formosa.data import spool as module
from formosa.data.rows import Row
from formosa.data.spool import FOLDER, Spool, hash64, question_hash, repeated, working_folder
from formosa.data.writing import Ids, write_split
from formosa.errors import UserError
from formosa.files import sha256_file


def chat(question: str, reply: str = "!", *, id: str = "", source: str = "") -> Row:
    messages = (Message("user", question), Message("assistant", reply))
    return Row.of(messages, id=id, source=source)


def filled(folder: Path, *rows: Row) -> Spool:
    spool = Spool(folder)
    for i, row in enumerate(rows):
        assert spool.add(row, 0, f"rows.jsonl:{i + 1}") == i
    return spool


def test_rows_come_back_by_number_while_others_are_added(tmp_path: Path) -> None:
    rows = [chat(f"問題 {i} \x00\x01\n", id=str(i), source="s") for i in range(50)]
    with Spool(tmp_path) as spool:
        for i, row in enumerate(rows):
            spool.add(row, i % 3, f"a\nb.jsonl:{i}")
            back = random.Random(i).randrange(i + 1)
            assert spool.row(back) == rows[back]
            assert spool.where(back) == f"a\nb.jsonl:{back}"
        assert len(spool) == 50 and list(spool.source[:4]) == [0, 1, 2, 0]


@given(order=st.lists(st.integers(0, 19), max_size=60), piece=st.integers(1, 900))
def test_lines_come_in_any_order_whatever_the_piece(
    order: list[int], piece: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece)
        rows = [chat("x" * i, id=str(i)) for i in range(20)]
        with filled(tmp_path_factory.mktemp("spool"), *rows) as spool:
            found = list(spool.lines(array("I", order)))
            assert found == [(number, spool.line(number)) for number in order]


def test_columns_say_what_the_second_pass_needs(tmp_path: Path) -> None:
    document = Row.of(text="一二三", scores={"purity": 0.5}, id="d")
    with filled(tmp_path, chat("hello"), document) as spool:
        assert [spool.kinds.names[i] for i in spool.kind] == ["other", "text"]
        assert [spool.languages.names[i] for i in spool.language] == ["en", "zh-TW"]
        assert list(spool.characters) == [6, 3]
        assert spool.purity[0] != spool.purity[0] and spool.purity[1] == 0.5


def test_questions_are_equal_however_they_are_spaced_and_capitalised() -> None:
    assert question_hash(chat("What  is\nthis? ")) == question_hash(chat("what is this?", "other"))
    assert question_hash(chat("What is this?")) != question_hash(chat("What is that?"))


def test_rows_that_ask_nothing_are_not_all_alike() -> None:
    """Else all conversations that the assistant begins would be one question."""
    one, two = (Row.of((Message("assistant", text),)) for text in ("Hello!", "Good day!"))
    assert question_hash(one) != question_hash(two)


@given(st.lists(st.integers(0, 30), max_size=60))
def test_values_that_come_twice_are_found_with_and_without_numpy(values: list[int]) -> None:
    wanted = {value for value in values if values.count(value) > 1}
    assert repeated(array("Q", values)) == wanted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MANY", 0)
        assert repeated(array("Q", values)) == wanted


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, *_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    spool = Spool(tmp_path)
    spool.close()
    monkeypatch.setattr(spool, "_file", Full())
    with pytest.raises(UserError, match="disk is full"):
        spool.add(chat("?"), 0, "x:1")


def test_the_working_folder_is_empty_and_gone_afterwards(tmp_path: Path) -> None:
    left = tmp_path / FOLDER / "work" / "rows"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a process that was killed")
    with pytest.raises(KeyboardInterrupt), working_folder(tmp_path) as work:
        assert list(work.iterdir()) == []
        (work / "rows").write_bytes(b"new")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_two_preparations_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    with working_folder(tmp_path) as work:
        (work / "rows").write_bytes(b"mine")
        with pytest.raises(UserError, match="Another process"), working_folder(tmp_path):
            pass
        assert (work / "rows").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"), working_folder(tmp_path / "file"):
        pass


def test_rows_with_the_same_id_get_ids_of_their_own(tmp_path: Path) -> None:
    """Three sources that number their rows 1, 2, … : a reader of train.jsonl looks rows up."""
    rows = [chat("a", id="1"), chat("b", id="2"), chat("c", id="1"), chat("d", id="1")]
    with filled(tmp_path, *rows) as spool:
        ids = Ids(spool, range(4))
        written = write_split(tmp_path / "train.jsonl", spool, array("I", [3, 1, 0, 1, 2, 1]), ids)
        assert written == (6, sha256_file(tmp_path / "train.jsonl"))
        again = Ids(spool, [0, 1])  # the others are not written
        write_split(tmp_path / "other.jsonl", spool, [0, 1], again)
    assert read_ids(tmp_path / "train.jsonl") == ["1#3", "2", "1", "2#2", "1#2", "2#3"]
    assert read_ids(tmp_path / "other.jsonl") == ["1", "2"]


def read_ids(path: Path) -> list[str]:
    from formosa.data.rows import read_rows

    return [row.id for row in read_rows(path)]


@given(names=st.lists(st.sampled_from("abc"), min_size=1, max_size=9), data=st.data())
def test_no_two_written_rows_have_the_same_id(
    names: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ids")
    numbers = data.draw(st.lists(st.integers(0, len(names) - 1), max_size=20))
    with filled(folder, *(chat(str(i), id=name) for i, name in enumerate(names))) as spool:
        ids = Ids(spool, sorted(set(numbers)))
        write_split(folder / "train.jsonl", spool, numbers, ids)
    found = read_ids(folder / "train.jsonl")
    assert len(set(found)) == len(found) == len(numbers)


def test_hashes_are_the_same_in_every_process() -> None:
    """Python's own hash() is not: the held-out split would change from run to run."""
    assert hash64("臺灣") == hash64("臺灣") != hash64("台灣")
    assert 0 <= hash64("") < 1 << 64
