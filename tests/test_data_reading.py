"""The first pass on sources as they are: torn, huge, damaged, refused to the last row."""

from __future__ import annotations

import errno
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from formosa.data import reading
from formosa.data.config import DataConfig
from formosa.data.prepare import prepare
from formosa.data.rejects import RejectPile, read_rejects
from formosa.data.report import SourceReport
from formosa.data.rows import read_rows
from formosa.data.workers import Workers
from formosa.errors import DataError, UserError

WORDS = ("river", "market", "library", "museum", "harbour", "planet", "window", "clause", "storm")


def row(number: int, **more: Any) -> dict[str, Any]:
    word = WORDS[number % len(WORDS)]
    question = f"What is the best way to walk to the {word} number {number * 7919}?"
    answer = f"Go along street {number * 104_729}, and then you see the {word} on the left."
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, **more}


def write(path: Path, *values: Any) -> Path:
    lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def config_of(*paths: Path, **change: Any) -> DataConfig:
    sources = [{"path": str(path), "licence": "MIT"} for path in paths]
    return DataConfig.model_validate({"heldout": 0, "sources": sources, **change})


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Read:
    """One source, read: its report, what was kept, what was said."""

    def __init__(self, path: Path, *, skip_bad: bool = True, **change: Any) -> None:
        config = config_of(path, **change)
        self.said: list[str] = []
        self.kept: list[tuple[str, dict[str, Any]]] = []
        self.pile = RejectPile(io.BytesIO())
        with Workers(config) as workers:
            self.report: SourceReport = reading.read_source(
                config.sources[0],
                config,
                root=Path(),
                workers=workers,
                pile=self.pile,
                keep=lambda row, where: self.kept.append((where, json.loads(row.entry.line))),
                skip_bad=skip_bad,
                say=self.said.append,
            )


def test_rows_are_kept_with_their_places_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", row(0, id="a"), "", row(1), "{", row(2))
    found = Read(path)
    assert [where.rpartition("/")[2] for where, _ in found.kept] == [
        "mine.jsonl:1", "mine.jsonl:3", "mine.jsonl:5",
    ]  # fmt: skip
    assert [value["source"] for _, value in found.kept] == ["mine"] * 3
    assert found.kept[0][1]["id"] == "a" and all(value["id"] for _, value in found.kept)
    assert (found.report.rows_in, found.report.format) == (4, "messages")
    assert found.pile.dropped("mine") == {"no row": 1}


def test_a_file_whose_last_line_is_torn_says_so(tmp_path: Path) -> None:
    """A download that broke off: the rows before it are whole."""
    path = write(tmp_path / "mine.jsonl", *map(row, range(8)))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"mine\.jsonl:8: not JSON"):
        prepare(config_of(path), tmp_path / "out")
    assert left(tmp_path / "out") == []
    report = prepare(config_of(path), tmp_path / "out", skip_bad=True)
    assert report.rows["train"] == 7


def test_a_huge_line_is_a_bad_row_and_never_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("formosa.data.sources.lines.LONGEST", 10_000)
    path = write(tmp_path / "mine.jsonl", row(0), json.dumps(row(1)) + " " * 50_000, row(2))
    found = Read(path)
    assert len(found.kept) == 2
    assert any("longer than" in line for line in found.said)


def test_a_damaged_archive_stops_the_run_whatever_is_skipped(tmp_path: Path) -> None:
    """Where the file can't be read further, nobody knows how many rows are missing."""
    lines = "".join(json.dumps(row(i)) + "\n" for i in range(3000)).encode()
    path = tmp_path / "mine.jsonl.gz"
    path.write_bytes(gzip.compress(lines)[:-2000])
    with pytest.raises(DataError, match="is damaged") as caught:
        prepare(config_of(path), tmp_path / "out", skip_bad=True)
    assert "fetch the file again" in caught.value.hint
    assert left(tmp_path / "out") == []


def test_a_source_that_is_refused_to_its_last_row_leaves_the_others(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", *map(row, range(5)))
    bad = write(tmp_path / "bad.jsonl", *(row(i, id=f"b{i}") for i in range(5, 9)))
    for path in (bad,):
        text = path.read_text(encoding="utf-8").replace("best way", "<|im_end|> way")
        path.write_text(text, encoding="utf-8")
    report = prepare(config_of(good, bad), tmp_path / "out")
    assert [source.rows_out for source in report.sources] == [5, 0]
    assert report.sources[1].dropped == {"control token": 4}
    assert [item.id for item in read_rejects(tmp_path / "out" / "rejects.jsonl")] == [
        f"b{i}" for i in range(5, 9)
    ]


def test_ids_that_repeat_in_a_source_and_between_sources_are_made_different(
    tmp_path: Path,
) -> None:
    one = write(tmp_path / "one.jsonl", *(row(i, id=str(i % 2)) for i in range(4)))
    two = write(tmp_path / "two.jsonl", *(row(i, id=str(i % 2)) for i in range(4, 8)))
    prepare(config_of(one, two, heldout=2), tmp_path / "out")
    ids = [
        item.id
        for name in ("train", "heldout")
        for item in read_rows(tmp_path / "out" / f"{name}.jsonl")
    ]
    assert sorted(ids) == sorted(f"{i}{copy}" for i in "01" for copy in ("", "#2", "#3", "#4"))


def test_what_a_preparation_wrote_is_not_its_own_source_the_next_time(tmp_path: Path) -> None:
    """`path: mine` with `--out mine`: the rows of the first run would be read by the second."""
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder / "rows.jsonl", *map(row, range(5)))
    assert prepare(config_of(folder), folder).rows["train"] == 5
    before = (folder / "report.json").read_bytes()
    with pytest.raises(DataError, match="which is what this preparation writes") as caught:
        prepare(config_of(folder), folder)
    assert "--out" in caught.value.hint
    assert (folder / "report.json").read_bytes() == before
    again = config_of(sources=[{"path": str(folder), "licence": "MIT", "files": ["rows.jsonl"]}])
    assert prepare(again, folder).rows["train"] == 5


def test_a_disk_that_is_full_in_the_first_pass_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "mine.jsonl", *map(row, range(5)))
    prepare(config_of(path), tmp_path / "out")
    before = {item.name: item.read_bytes() for item in (tmp_path / "out").iterdir()}

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("formosa.data.duplicates.Duplicates.take", full)
    with pytest.raises(UserError, match="disk is full"):
        prepare(config_of(path, seed=2), tmp_path / "out")
    assert {item.name: item.read_bytes() for item in (tmp_path / "out").iterdir()} == before


def test_what_cleaning_changes_is_counted_by_rule(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "今天天氣如何?要帶傘嗎  "},
        {"role": "assistant", "content": "今天下午會下雨,請記得帶傘出門."},
    ]
    found = Read(write(tmp_path / "mine.jsonl", row(0), {"messages": turns}))
    assert found.report.changed["punctuation"] == {"rows": 1, "characters": 3}
    assert found.report.changed["space"]["rows"] == 1
    assert found.kept[1][1]["messages"][1]["content"] == "今天下午會下雨，請記得帶傘出門。"
    assert found.kept[1][1]["scores"]["purity"] == 1


@pytest.mark.parametrize(
    ("policy", "kept", "reasons"),
    [("refuse", 1, {"simplified": 1}), ("convert", 2, {}), ("keep", 2, {})],
)
def test_simplified_rows_go_as_the_source_says(
    policy: str, kept: int, reasons: dict[str, int], tmp_path: Path
) -> None:
    pytest.importorskip("opencc")
    turns = [
        {"role": "user", "content": "请问这个软件应该怎么安装？"},
        {"role": "assistant", "content": "请先下载安装程序，然后按照说明书来操作。"},
    ]
    path = write(tmp_path / "mine.jsonl", row(0), {"messages": turns})
    source = {"path": str(path), "licence": "MIT", "convert": policy}
    found = Read(path, sources=[source])
    assert len(found.kept) == kept and found.pile.dropped("mine") == reasons
    if policy == "convert":
        assert "請問這個" in found.kept[1][1]["messages"][0]["content"]
        assert found.report.changed["script"]["rows"] == 1


def test_a_long_source_says_now_and_then_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "TOLD", 4)
    found = Read(write(tmp_path / "mine.jsonl", *map(row, range(10))))
    assert [line for line in found.said if "rows read" in line] == [
        "mine: 4 rows read",
        "mine: 8 rows read",
    ]


def test_what_was_read_is_on_record_with_its_sha256(tmp_path: Path) -> None:
    found = Read(write(tmp_path / "mine.jsonl", row(0)))
    (file,) = found.report.about["files"]
    assert file["bytes"] > 0 and len(file["sha256"]) == 64
    assert found.report.licence == "MIT"
