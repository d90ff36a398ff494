"""The word lists: files that are put together, names in two languages, and what belongs to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from formosa.data.synth import words
from formosa.data.synth.words import Word, read_folder, word_list
from formosa.zh.purity import measure

FILES: dict[str, dict[str, Any]] = {
    "common": {"attributes": {"town": ["unit"]}, "town": ["Hsinchu | 新竹 | celsius"]},
    "more": {"attributes": {"lake": ["depth"]}, "lake": ["Sun Moon Lake | 日月潭 | 27"],
             "code": ["A1", "B2"]},
}  # fmt: skip


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict[str, Any]]]:
    """Word files of our own; what was read before is forgotten, and what is read here, too."""
    own = {name: dict(entries) for name, entries in FILES.items()}
    monkeypatch.setattr(words, "read_folder", lambda name: iter(own.items()))
    for cached in (words._lists, word_list):
        cached.cache_clear()
    yield own
    for cached in (words._lists, word_list):
        cached.cache_clear()


@pytest.mark.usefixtures("files")
def test_lists_come_from_all_files_with_their_attributes() -> None:
    (town,), (lake,) = word_list("town"), word_list("lake")
    assert (town, town.attributes) == (Word("Hsinchu", "新竹"), {"unit": "celsius"})
    assert lake.attribute("depth", zh=True) == "27"
    assert [word.zh for word in word_list("code")] == ["A1", "B2"]


def test_two_files_with_the_same_list_are_refused(files: dict[str, dict[str, Any]]) -> None:
    files["zoo"] = {"town": ["Tainan | 台南 | celsius"]}
    with pytest.raises(ValueError, match=r"words/zoo.yaml has other files' lists \['town'\]"):
        word_list("town")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("name", ["village", "attributes"])
def test_a_list_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"no slot or word list '{name}'"):
        word_list(name)


def test_every_word_is_written_as_in_taiwan_and_said_once() -> None:
    for _, entries in read_folder("words"):
        for name, lines in entries.items():
            if name == "attributes" or name.startswith("made_"):
                continue
            found = word_list(name)
            assert len({word.en for word in found}) == len(found), name
            for word in found:
                assert word.en and word.zh, (name, word)
                assert not any("\u3000" <= mark <= "\u9fff" for mark in word.en), (name, word)
                purity = measure(word.zh)
                assert not purity.simplified_only and not purity.mainland_terms, (name, word)
            assert len(found) >= len(lines)
