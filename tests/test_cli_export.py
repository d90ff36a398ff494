"""`formosa export`: write, then prove; what fails is shown before the sentence that says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from command_line import formosa

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def file(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "deep" / "tiny.gguf"
    done = formosa("export", "gguf", tiny_checkpoint, path, "--quantisation", "F16", "--json")
    assert (done.code, done.err) == (0, "")
    assert [check["name"] for check in done.json] == ["template", "tokens", "greedy"]
    assert all(check["passed"] for check in done.json)
    return path


def test_a_written_file_is_checked_at_once(file: Path) -> None:
    assert file.read_bytes()[:4] == b"GGUF"
    assert [path.name for path in file.parent.iterdir()] == ["tiny.gguf"]


def test_check_prints_a_row_for_each_check(tiny_checkpoint: Path, file: Path) -> None:
    done = formosa("export", "check", tiny_checkpoint, file, "--tokens", 2)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == [
        "name",
        "template",
        "tokens",
        "greedy",
    ]


def test_a_file_of_another_checkpoint_fails_with_the_whole_report(
    tiny_checkpoint: Path, file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_checkpoint, other)
    template = other / "chat_template.jinja"
    template.write_text(template.read_text(encoding="utf-8") + " ", encoding="utf-8")
    done = formosa("export", "check", other, file, "--tokens", 2, "--json")
    assert done.code == 1
    assert {check["name"]: check["passed"] for check in done.json} == {
        "template": False,
        "tokens": True,
        "greedy": True,
    }
    assert done.err == (
        "error: tiny.gguf differs from its checkpoint: template: the file carries another "
        "template\n"
    )


@pytest.mark.parametrize("lacks", ["config.json", "tokenizer.json", "chat_template.jinja"])
@pytest.mark.parametrize("command", ["gguf", "check"])
def test_a_folder_that_is_no_checkpoint_says_what_it_lacks(
    tiny_checkpoint: Path, file: Path, tmp_path: Path, lacks: str, command: str
) -> None:
    folder = tmp_path / "c"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / lacks).unlink()
    target = tmp_path / "new.gguf" if command == "gguf" else file
    done = formosa("export", command, folder, target)
    assert (done.code, done.out) == (1, "")
    assert f"error: {folder} is no whole checkpoint: it holds no {lacks}." in done.err
    assert "hint: name the folder `checkpoint` of a run" in done.err
    assert not (tmp_path / "new.gguf").exists()


def test_what_is_no_gguf_file_is_a_sentence(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"not a model")
    done = formosa("export", "check", tiny_checkpoint, path)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert "bad.gguf" in done.err


def test_wrong_arguments_are_a_usage_error(tiny_checkpoint: Path, tmp_path: Path) -> None:
    done = formosa("export", "gguf", tmp_path / "nowhere", tmp_path / "x.gguf")
    assert (done.code, "does not exist" in done.err) == (2, True)
    done = formosa("export", "gguf", tiny_checkpoint, tmp_path / "x.gguf", "--quantisation", "Q2")
    assert (done.code, "'Q8_0'" in done.err) == (2, True)


def test_a_check_of_no_words_is_no_check(tiny_checkpoint: Path, file: Path) -> None:
    done = formosa("export", "check", tiny_checkpoint, file, "--tokens", 0)
    assert (done.code, "--tokens" in done.err) == (2, True)
