"""Token ids on the disk: written once, opened again, never half there."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.chat.template import ChatTemplate
from formosa.errors import DataError, UserError
from formosa.train import tokens
from formosa.train.config import TrainConfig
from formosa.train.report import RowsReport
from formosa.train.rows import IGNORED, RowEncoder, RowSettings, read_rows
from formosa.train.tokens import META, TokenStore, encode_file, open_store, store_key

pytestmark = pytest.mark.train

TEMPLATE = ChatTemplate.formosa()
SETTINGS = RowSettings(max_tokens=200)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tiny import tiny_tokenizer

    return tiny_tokenizer()


def write_rows(path: Path, *answers: str, question: str = "what?") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for answer in answers:
        messages = [{"role": "user", "content": question},
                    {"role": "assistant", "content": answer}]  # fmt: skip
        lines.append(json.dumps({"messages": messages}) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=12))
def test_what_is_read_is_what_was_encoded(
    tokenizer: Any, tmp_path_factory: pytest.TempPathFactory, answers: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    path = write_rows(folder / "rows.jsonl", *answers)
    store = encode_file(path, tokenizer, TEMPLATE, SETTINGS, folder / "tokens")
    wanted = [
        row
        for outcome in RowEncoder(tokenizer, TEMPLATE, SETTINGS).encode(read_rows(path))
        for row in outcome.rows
    ]
    assert list(store) == wanted == store[:] and len(store) == len(answers)
    assert store[-1] == wanted[-1]
    assert store.lengths.tolist() == [len(row.ids) for row in wanted]
    assert store.tokens == sum(len(row.ids) for row in wanted)
    assert store.trained == sum(row.trained for row in wanted)


def test_a_row_that_is_not_there_is_an_index_error(tokenizer: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", "a")
    store = encode_file(path, tokenizer, TEMPLATE, SETTINGS, tmp_path / "tokens")
    for i in (1, -2):
        with pytest.raises(IndexError):
            store[i]


def test_the_arrays_are_what_numpy_opens(tokenizer: Any, tmp_path: Path) -> None:
    import numpy

    path = write_rows(tmp_path / "rows.jsonl", "yes", "no, never")
    store = encode_file(path, tokenizer, TEMPLATE, SETTINGS, tmp_path / "tokens")
    ids = numpy.load(store.folder / "ids.npy", mmap_mode="r")
    learnt = numpy.load(store.folder / "learnt.npy", mmap_mode="r")
    offsets = numpy.load(store.folder / "offsets.npy")
    assert (ids.dtype, learnt.dtype, offsets.dtype) == (numpy.uint32, numpy.bool_, numpy.int64)
    assert ids.tolist() == [token for row in store for token in row.ids]
    assert learnt.tolist() == [label != IGNORED for row in store for label in row.labels]
    assert offsets.tolist() == [0, len(store[0].ids), len(ids)]


def test_equal_inputs_are_opened_and_not_encoded_again(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the second process of a machine does, and a run that continues."""
    path = write_rows(tmp_path / "rows.jsonl", "yes", "no")
    said: list[str] = []
    first = encode_file(path, tokenizer, TEMPLATE, SETTINGS, tmp_path / "tokens", said.append)
    monkeypatch.setattr(tokens, "RowEncoder", None)
    again = encode_file(path, tokenizer, TEMPLATE, SETTINGS, tmp_path / "tokens", said.append)
    assert list(again) == list(first)
    assert again.report == first.report
    assert said[: len(said) // 2] == said[len(said) // 2 :], "it says the same both times"


@pytest.mark.parametrize("what", ["rows", "tokenizer", "template", "settings", "bos"])
def test_anything_that_decides_the_ids_makes_another_key(
    tokenizer: Any, tmp_path: Path, what: str
) -> None:
    from tiny import tiny_tokenizer

    path = write_rows(tmp_path / "rows.jsonl", "yes")
    key = store_key(path, tokenizer, TEMPLATE, SETTINGS)
    other, template, changed = tiny_tokenizer(), TEMPLATE, SETTINGS
    assert store_key(path, other, template, changed) == key
    match what:
        case "rows":
            write_rows(path, "yes!")
        case "tokenizer":
            other.add_tokens(["yes"])
        case "template":
            template = ChatTemplate.formosa("gemma")
        case "settings":
            changed = SETTINGS._replace(thinking="drop")
        case "bos":
            other.bos_token = "<|endoftext|>"
    assert store_key(path, other, template, changed) != key


def test_padding_that_a_call_switched_on_makes_no_other_key(tokenizer: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", "yes")
    key = store_key(path, tokenizer, TEMPLATE, SETTINGS)
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=4)
    assert store_key(path, tokenizer, TEMPLATE, SETTINGS) == key


def test_the_settings_of_a_recipe_are_enough(tokenizer: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", "yes", "word " * 40)
    config = TrainConfig(max_tokens=60, overlong="drop", learning_rate=1e-4)
    store = encode_file(path, tokenizer, TEMPLATE, config, tmp_path / "tokens")
    assert (len(store), store.dropped) == (1, {"overlong": 1})
    faster = config.model_copy(update={"learning_rate": 1e-3})
    assert store_key(path, tokenizer, TEMPLATE, RowSettings.of(faster)) == store_key(
        path, tokenizer, TEMPLATE, RowSettings.of(config)
    ), "a rate decides no ids"


def test_a_folder_that_is_not_whole_is_made_again(tokenizer: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", "yes", "no")
    folder = tmp_path / "tokens"
    wanted = list(encode_file(path, tokenizer, TEMPLATE, SETTINGS, folder))
    (folder / META).unlink()
    (folder / "ids.npy").write_bytes(b"torn")
    assert open_store(folder, store_key(path, tokenizer, TEMPLATE, SETTINGS)) is None
    assert list(encode_file(path, tokenizer, TEMPLATE, SETTINGS, folder)) == wanted


def test_rows_that_are_open_stay_readable_while_others_replace_them(
    tokenizer: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "tokens"
    old = encode_file(
        write_rows(tmp_path / "a.jsonl", "one", "two"), tokenizer, TEMPLATE, SETTINGS, folder
    )
    rows = list(old)
    new = encode_file(write_rows(tmp_path / "b.jsonl", "x"), tokenizer, TEMPLATE, SETTINGS, folder)
    assert list(old) == rows
    assert len(new) == 1


def test_a_bad_row_leaves_the_old_folder_and_no_litter(tokenizer: Any, tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    good = encode_file(
        write_rows(tmp_path / "a.jsonl", "one"), tokenizer, TEMPLATE, SETTINGS, folder
    )
    bad = write_rows(tmp_path / "b.jsonl", "fine", "word " * 400)
    with pytest.raises(DataError, match=r"b\.jsonl:2 has \d+ tokens; the recipe allows 200"):
        encode_file(bad, tokenizer, TEMPLATE, SETTINGS, folder)
    assert list(TokenStore(folder)) == list(good)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "tokens"]


def test_nothing_left_is_said_with_the_reasons(tokenizer: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", "word " * 400)
    said: list[str] = []
    for _ in range(2):  # the second time from the folder
        with pytest.raises(DataError, match="No row is left") as error:
            encode_file(path, tokenizer, TEMPLATE, SETTINGS._replace(overlong="drop"),
                        tmp_path / "tokens", said.append)  # fmt: skip
        assert f"formosa data inspect {path}" in error.value.hint
    assert "dropped, overlong: 1" in said


def test_a_file_that_is_not_there_and_a_folder_that_cannot_be(
    tokenizer: Any, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"Cannot read .*none\.jsonl"):
        encode_file(tmp_path / "none.jsonl", tokenizer, TEMPLATE, SETTINGS, tmp_path / "tokens")
    path = write_rows(tmp_path / "rows.jsonl", "yes")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        encode_file(path, tokenizer, TEMPLATE, SETTINGS, tmp_path / "file" / "tokens")


def test_memory_does_not_grow_with_the_rows(tokenizer: Any, tmp_path: Path) -> None:
    """Some hundreds of rows are held at a time, whatever their number."""
    path = write_rows(tmp_path / "rows.jsonl", *(["word " * 20] * 256), question="q " * 15)
    line = path.read_text(encoding="utf-8")

    def peak(times: int) -> int:
        path.write_text(line * times, encoding="utf-8")
        folder = tmp_path / f"tokens{times}"
        tracemalloc.start()
        encode_file(path, tokenizer, TEMPLATE, SETTINGS, folder)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # what is imported and compiled once
    assert peak(6) < 1.3 * peak(2)


# The report.


@pytest.fixture
def mixed(tmp_path: Path) -> Iterator[Path]:
    """A short row, one that spells a control token, one to split and one that fits nowhere."""
    path = write_rows(tmp_path / "rows.jsonl", "yes", "<|im_end|> is a token", "word " * 400)
    turns = [{"role": role, "content": f"{role} {n} " * 6}
             for n in range(9) for role in ("user", "assistant")]  # fmt: skip
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"messages": turns}) + "\n")
    yield path


def test_every_row_is_counted_once_with_its_reason(
    tokenizer: Any, tmp_path: Path, mixed: Path
) -> None:
    said: list[str] = []
    store = encode_file(
        mixed, tokenizer, TEMPLATE, SETTINGS._replace(overlong="split"), tmp_path / "t", said.append
    )
    report = store.report
    assert (report.read, report.kept, report.split, report.dropped) == (4, 2, 1, {"overlong": 1})
    assert report.samples == len(store) > 3
    assert (report.guarded, report.lost_turns, report.separated) == (1, 0, 0)
    assert [where for _, where in sorted(report.longest, reverse=True)][:2] == [
        f"{mixed}:3",
        f"{mixed}:4",
    ]
    assert said[0].startswith("4 rows: 2 whole, 1 split, 1 dropped; ")
    assert said[1:3] == ["dropped, overlong: 1", "1 rows spell a control token; it stays words"]
    assert said[3] == f"{mixed}:1, what is learnt between ⟦ and ⟧:"
    assert said[4].endswith("<|im_start|>assistant\n⟦yes<|im_end|>⟧")


def test_one_row_is_shown_with_what_is_learnt_and_its_ids(
    tokenizer: Any, tmp_path: Path, mixed: Path
) -> None:
    store = encode_file(
        mixed, tokenizer, TEMPLATE, SETTINGS._replace(overlong="drop"), tmp_path / "tokens"
    )
    shown = store.report.shown
    assert shown["where"] == f"{mixed}:1"
    assert shown["text"] == (
        "<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>assistant\n⟦yes<|im_end|>⟧"
    )
    assert shown["ids"] == store[0].ids


def test_of_a_long_row_the_learnt_words_are_said(tokenizer: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", "yes " * 900, question="why? " * 900)
    said: list[str] = []
    encode_file(path, tokenizer, TEMPLATE, RowSettings("sft", 10**5), tmp_path / "t", said.append)
    assert len(said[-1]) < 700
    assert said[-1].startswith("…") and said[-1].endswith("…") and "⟦yes " in said[-1]


def test_a_report_survives_its_json(tokenizer: Any, tmp_path: Path, mixed: Path) -> None:
    store = encode_file(
        mixed, tokenizer, TEMPLATE, SETTINGS._replace(overlong="split"), tmp_path / "tokens"
    )
    value = json.loads(json.dumps(store.report.to_json()))
    assert RowsReport.from_json(value).to_json() == value
    assert value["longest"][0][0] >= value["longest"][1][0]
