"""state.json: complete means the same inputs and the same bytes; nothing is ever lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from formosa.errors import UserError
from formosa.run.state import State, locked


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def finished(folder: Path, inputs: str = "a") -> State:
    state = State(folder)
    state.begin("train", inputs, ())
    state.finish("train", [write(folder, "train/x", "1"), write(folder, "train/y", "2")], 3.14)
    return state


def test_complete_means_finished_with_these_inputs(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert not state.complete("train", "a")
    state.begin("train", "a", ())
    assert not state.complete("train", "a")
    assert state.outputs("train") == {}
    state = finished(tmp_path)
    assert state.complete("train", "a")
    assert not state.complete("train", "b")
    assert not state.complete("data", "a")


def test_another_process_reads_the_same_state(tmp_path: Path) -> None:
    finished(tmp_path)
    state = State(tmp_path)
    assert state.complete("train", "a")
    assert list(state.outputs("train")) == ["train/x", "train/y"]
    assert state.seconds() == {"train": 3.1}


@pytest.mark.parametrize("harm", ["changed", "lost", "folder"])
def test_a_file_that_was_tampered_with_is_noticed(tmp_path: Path, harm: str) -> None:
    state = finished(tmp_path)
    path = tmp_path / "train" / "y"
    path.unlink()
    if harm == "changed":
        path.write_text("3")
    elif harm == "folder":
        path.mkdir()
    assert not state.complete("train", "a")


def test_an_interrupted_attempt_with_the_same_inputs_is_continued(tmp_path: Path) -> None:
    State(tmp_path).begin("train", "a", ("train",))
    write(tmp_path, "train/steps/1", "half")
    State(tmp_path).begin("train", "a", ("train",))
    assert (tmp_path / "train" / "steps" / "1").read_text() == "half"


def test_leftovers_of_other_inputs_are_set_aside(tmp_path: Path) -> None:
    """Continuing from them would mix two recipes; deleting them would lose hours."""
    State(tmp_path).begin("train", "a", ("train", "model.gguf"))
    write(tmp_path, "train/steps/1", "of a")
    write(tmp_path, "model.gguf", "of a")
    write(tmp_path, "data/rows", "of another stage")
    State(tmp_path).begin("train", "b", ("train", "model.gguf"))
    assert not (tmp_path / "train").exists()
    assert not (tmp_path / "model.gguf").exists()
    assert (tmp_path / ".previous" / "train" / "steps" / "1").read_text() == "of a"
    assert (tmp_path / ".previous" / "model.gguf").read_text() == "of a"
    assert (tmp_path / "data" / "rows").exists()


def test_one_generation_is_kept_aside(tmp_path: Path) -> None:
    for name in "abc":
        State(tmp_path).begin("train", name, ("train", "model.gguf"))
        write(tmp_path, "train/x", name)
        write(tmp_path, f"train/only-{name}", name)
        write(tmp_path, "model.gguf", name)
    assert (tmp_path / ".previous" / "train" / "x").read_text() == "b"
    assert not (tmp_path / ".previous" / "train" / "only-a").exists()
    assert (tmp_path / ".previous" / "model.gguf").read_text() == "b"


def test_files_of_nobody_knows_what_are_not_continued_from(tmp_path: Path) -> None:
    """A folder without a state, as after copying files by hand."""
    write(tmp_path, "train/x", "of whom?")
    State(tmp_path).begin("train", "a", ("train",))
    assert (tmp_path / ".previous" / "train" / "x").exists()


def test_files_changed_after_completion_are_not_continued_from(tmp_path: Path) -> None:
    """An edited evaluation log would otherwise be taken over, and count as the stage's own."""
    state = finished(tmp_path)
    write(tmp_path, "train/x", "edited")
    state.begin("train", "a", ("train",))
    assert (tmp_path / ".previous" / "train" / "x").read_text() == "edited"
    assert not (tmp_path / "train").exists()


def test_a_stage_that_sorts_its_files_keeps_those_of_other_inputs_as_they_were_left(
    tmp_path: Path,
) -> None:
    """An evaluation log says what it answers; asked the same again, it is not asked again."""
    state = finished(tmp_path)
    write(tmp_path, "train/x", "edited")
    write(tmp_path, "train/z", "of whom?")
    state.begin("train", "b", ("train",), sorts=True)
    assert {path.name for path in (tmp_path / "train").iterdir()} == {"y"}
    assert {path.name for path in (tmp_path / ".previous" / "train").iterdir()} == {"x", "z"}

    write(tmp_path, "train/w", "half")  # and then it was interrupted
    State(tmp_path).begin("train", "c", ("train",), sorts=True)
    assert {path.name for path in (tmp_path / "train").iterdir()} == {"w", "y"}


def test_a_stage_that_sorts_its_files_takes_over_none_without_a_state(tmp_path: Path) -> None:
    write(tmp_path, "train/x", "of whom?")
    State(tmp_path).begin("train", "a", ("train",), sorts=True)
    assert (tmp_path / ".previous" / "train" / "x").exists()
    assert not (tmp_path / "train").exists()


@pytest.mark.parametrize("text", ['{"schema": 2, "stages": {}}', "[1]", '"x"', '{"stages": {}}'])
def test_a_state_of_another_version_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, "state.json", text)
    with pytest.raises(UserError) as caught:
        State(tmp_path)
    assert "another version of Formosa" in caught.value.message
    assert f"move {tmp_path} away" in caught.value.hint


def test_a_damaged_state_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, "state.json", '{"schema": 1, "sta')
    with pytest.raises(UserError) as caught:
        State(tmp_path)
    assert caught.value.message.startswith(f"{tmp_path / 'state.json'} is not JSON")


def test_the_state_is_readable(tmp_path: Path) -> None:
    finished(tmp_path)
    value = json.loads((tmp_path / "state.json").read_text(encoding="utf-8"))
    assert value["schema"] == 1
    entry = value["stages"]["train"]
    assert (entry["status"], entry["inputs"], entry["seconds"]) == ("complete", "a", 3.1)
    assert entry["finished"].endswith("+00:00")
    assert all(len(digest) == 64 for digest in entry["outputs"].values())


# -- one process at a time ------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from formosa.run.state import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_only_one_process_works_in_a_run_folder(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "x"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "locked\n"
        with pytest.raises(UserError) as caught, locked(folder):
            raise AssertionError("two processes in one folder")
        assert caught.value.message == f"Another process is running in {folder}."
        child.kill()  # as with kill -9: nothing is tidied up
        child.wait()
    with locked(folder):
        pass


def test_an_error_lets_go_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError) as caught, locked(tmp_path / "file" / "x"):
        pass
    assert caught.value.message.startswith("Cannot write ")
