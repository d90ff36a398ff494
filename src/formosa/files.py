"""Files that survive: atomic replacement, hashes, and JSON lines that tolerate a torn end.

Knows bytes and JSON. Knows nothing of what is in them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

from formosa.errors import UserError

CHUNK = 1 << 20
LOCK_TRIES, LOCK_PAUSE = 5, 0.05  # seconds between them
PRIVATE = 0o600


def canonical_json(value: Any) -> str:
    """One text for equal values: sorted keys, no spaces, no escapes. For hashing only."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_json(value: Any) -> str:
    return sha256_text(canonical_json(value))


def sha256_file(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Hex digest of a file, read in chunks; `progress` gets the bytes of each chunk."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            if progress:
                progress(len(chunk))
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file whole or not at all.

    The bytes go to a temporary file in the same folder; leaving the block without an error
    flushes them to the disk and renames it over `path`. After an exception, a full disk or a
    power cut there is the old file or the new one, never half of one.

    Raises:
        UserError: the disk is full or the folder cannot be written; the old file is intact.
    """
    owner = f"{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f".{path.name}.{owner}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        with suppress(OSError):  # such as a folder that can't be reached: said above already
            temporary.unlink(missing_ok=True)


@contextmanager
def alone(lock: Path, busy: UserError) -> Iterator[None]:
    """Only one process at a time may be in this block; a killed one lets go.

    Args:
        lock: a file that is made, with its folder, where it is missing.
        busy: what is raised when another process is there.

    Raises:
        UserError: `busy`, or the folder can't be written.
    """
    descriptor = hold(lock, busy)
    try:
        yield
    finally:
        os.close(descriptor)


def hold(path: Path, busy: UserError) -> int:
    """A descriptor that holds the only lock on a file; closing it, or the end of the process, lets
    go.

    Somebody who only looks (`is_locked`) holds a lock for an instant, so it is tried some times.

    Args:
        path: the file; it is made, with its folder, where it is missing.
        busy: what is raised when another process holds it.

    Raises:
        UserError: `busy`; the file can't be written; or, of the class of `busy`, its file system
            knows no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        _take(descriptor)
    except BlockingIOError as error:
        os.close(descriptor)
        raise busy from error
    except OSError as error:
        os.close(descriptor)
        raise type(busy)(
            f"Cannot lock {path}: {error.strerror or error}.", "choose a folder on a local disk"
        ) from error
    return descriptor


def _take(descriptor: int) -> None:
    for again in reversed(range(LOCK_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not again:
                raise
            time.sleep(LOCK_PAUSE)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file just now (see `hold`). It need not exist."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go at once
    except BlockingIOError:
        return True
    except OSError:  # no such file, or one that nobody may read: nobody works by our rules
        return False
    return False


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` with `data`, whole or not at all (see `replacing`)."""
    with replacing(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Replace `path` with readable JSON, ending in a newline."""
    write_bytes(path, _utf8(value, indent=2) + b"\n")


def json_line(value: Any) -> bytes:
    """One line of a JSON-lines file, with its end."""
    return _utf8(value, separators=(",", ":")) + b"\n"


def _utf8(value: Any, **options: Any) -> bytes:
    """JSON as UTF-8. Text from a model may hold a lone surrogate, which only an escape can hold."""
    try:
        return json.dumps(value, ensure_ascii=False, **options).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, **options).encode("ascii")


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        UserError: the file can't be read or is not JSON; the sentence names the line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain_read_error(error, path) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}.") from error


def explain_read_error(error: OSError, path: Path) -> UserError:
    """A sentence for what the operating system refused while reading `path`."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} does not exist.")
    if isinstance(error, IsADirectoryError):
        return UserError(f"{path} is a folder, not a file.")
    return UserError(f"Cannot read {path}: {error.strerror or error}.")


def explain_os_error(error: OSError, path: Path) -> UserError:
    """A sentence for what the operating system refused while writing `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"The disk is full while writing {path}; the old file is untouched.",
            f"free some space (df -h {path.parent}) and run the same command again",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"No permission to write {path}.", f"check who owns {path.parent}")
    return UserError(f"Cannot write {path}: {error.strerror or error}.")


class Closing:
    """What is closed at the end of its `with` block."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class JsonLines(Closing):
    """An append-only JSON-lines file with one writer. Every record is on the disk before `append`
    returns.

    A process killed in the middle of `append` leaves a torn last line, and the next one to open
    the file cuts it off: what had been acknowledged is kept, what had not is not half there.

    Args:
        path: the file; its folder is made.
        sync: whether each record is forced to the disk, which takes milliseconds.
        private: whether only its owner may read and write it, also where it was there before.

    Raises:
        UserError: the file can't be written, or is to be private and belongs to somebody else.
    """

    def __init__(self, path: Path, *, sync: bool = True, private: bool = False) -> None:
        self.path = path
        self._sync = sync
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            cut_torn_line(path)
            opener = _open_privately if private else None
            self._file = open(path, "ab", buffering=0, opener=opener)  # noqa: SIM115  # see close
        except OSError as error:
            raise explain_os_error(error, path) from error

    def append(self, record: Any) -> int:
        """Write one record; the length of its line in bytes.

        Raises:
            UserError: the disk is full; the file ends with the record before this one.
        """
        line = json_line(record)
        end = self._file.tell()
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, "short write")
            if self._sync:
                os.fdatasync(self._file.fileno())
        except OSError as error:
            os.ftruncate(self._file.fileno(), end)  # do not leave half a record behind
            raise explain_os_error(error, self.path) from error
        return len(line)

    def close(self) -> None:
        self._file.close()


def _open_privately(path: str, flags: int) -> int:
    """Before a word is in it: a mode that is set afterwards leaves time to look."""
    descriptor = os.open(path, flags, PRIVATE)
    try:
        os.fchmod(descriptor, PRIVATE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def cut_torn_line(path: Path) -> int:
    """Cut what follows the last newline of `path`; return how many bytes that was."""
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        size = position = file.seek(0, os.SEEK_END)
        while position > 0:
            step = min(CHUNK, position)
            file.seek(position - step)
            newline = file.read(step).rfind(b"\n")
            if newline >= 0:
                position = position - step + newline + 1
                break
            position -= step
        if position < size:
            file.truncate(position)
        return size - position


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) of every whole line. A torn last line is not yielded.

    Raises:
        UserError: the file can't be read, or a whole line is not JSON; the sentence names it.
    """
    try:
        opened = path.open("rb")
    except OSError as error:
        raise explain_read_error(error, path) from error
    with opened as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return  # the writer was killed here
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}:{number} is not JSON: {error}.") from error
