"""Token ids of millions of rows on the disk, mapped into memory.

    FOLDER/ids.npy       uint32, all rows one after the other
    FOLDER/learnt.npy    bool, which of them have a label
    FOLDER/offsets.npy   int64, where each row begins, and the end
    FOLDER/meta.json     what it was made of, and the report; written last

Rows are appended as they are encoded, so memory stays bounded whatever their number. A folder
whose key is the same is opened as it is. The key is made of what decides the bytes: the rows, the
tokenizer, the template and the settings.

Several processes of one machine share the folder: the first one writes, the others call the same
function when it is done, and find it. Waiting for each other is their business.
"""

from __future__ import annotations

import array
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from formosa.chat.template import ChatTemplate
from formosa.errors import DataError
from formosa.files import (
    explain_os_error,
    read_json,
    sha256_file,
    sha256_json,
    sha256_text,
    write_json,
)
from formosa.train.config import TrainConfig
from formosa.train.report import RowsReport
from formosa.train.rows import IGNORED, EncodedRow, RowEncoder, RowSettings, read_rows
from formosa.wheels import Say

FORMAT = 1  # raise it when the same rows would become other bytes
META = "meta.json"


class TokenStore(Sequence[EncodedRow]):
    """The encoded rows of a folder. Reading one touches only its own bytes.

    Attributes:
        folder: where the arrays are.
        lengths: tokens of each row, an int64 array.
        report: what became of the rows of the file.
    """

    def __init__(self, folder: Path) -> None:
        import numpy

        self.folder = folder
        self.report = RowsReport.from_json(read_json(folder / META)["report"])
        self._ids, self._learnt = (
            numpy.load(folder / name, mmap_mode="r", allow_pickle=False)
            if self.report.tokens
            else numpy.zeros(0, kind)
            for name, kind in (("ids.npy", "u4"), ("learnt.npy", "?"))
        )
        self._offsets = numpy.load(folder / "offsets.npy", allow_pickle=False)
        self.lengths: Any = numpy.diff(self._offsets)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        start, end = (int(self._offsets[i % len(self) + side]) for side in (0, 1))
        ids = self._ids[start:end].tolist()
        flags = self._learnt[start:end].tolist()
        labels = [token if flag else IGNORED for token, flag in zip(ids, flags, strict=True)]
        return EncodedRow(ids, labels)

    def __iter__(self) -> Iterator[EncodedRow]:
        return (self[i] for i in range(len(self)))

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return self.report.tokens

    @property
    def trained(self) -> int:
        """Tokens that are learnt."""
        return self.report.trained

    @property
    def dropped(self) -> Counter[str]:
        """Rows of the file that are not trained at all, by reason."""
        return self.report.dropped


def encode_file(
    path: Path,
    tokenizer: Any,
    template: ChatTemplate,
    config: TrainConfig | RowSettings,
    folder: Path,
    say: Say = lambda line: None,
) -> TokenStore:
    """The rows of a JSONL file as token ids, encoded now or found in `folder`.

    Args:
        path: prepared rows.
        tokenizer: transformers', with the template's control tokens.
        template: how conversations are written.
        config: the recipe's `train:` part, or what of it decides the ids.
        folder: where the arrays are, or will be. Replaced whole when the key differs.
        say: gets the report in lines.

    Raises:
        DataError: a row can't be trained on, or none is left.
        UserError: the disk is full, or the folder can't be written; what was there is intact.
    """
    settings = config if isinstance(config, RowSettings) else RowSettings.of(config)
    key = store_key(path, tokenizer, template, settings)
    store = open_store(folder, key)
    if store is None:
        encoder = RowEncoder(tokenizer, template, settings)
        making = folder.with_name(f".{folder.name}.{os.getpid()}.writing")
        try:
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            report = _write(path, encoder, making)
            write_json(making / META, {"key": key, "report": report.to_json()})
            shutil.rmtree(folder, ignore_errors=True)
            making.rename(folder)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        finally:
            shutil.rmtree(making, ignore_errors=True)
        store = TokenStore(folder)
    for line in (*store.report.lines(), *store.report.excerpt()):
        say(line)
    if not len(store):
        raise DataError("No row is left to train on.", f"look at them: formosa data inspect {path}")
    return store


def open_store(folder: Path, key: str) -> TokenStore | None:
    """The store of a folder, if it is whole and was made of the same."""
    meta = folder / META
    if not meta.exists() or read_json(meta).get("key") != key:
        return None
    return TokenStore(folder)


def store_key(path: Path, tokenizer: Any, template: ChatTemplate, settings: RowSettings) -> str:
    """A digest of all that decides the ids.

    Raises:
        DataError: there is no such file.
    """
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        fast.no_truncation()  # calls leave these switched, and they don't decide our ids
        fast.no_padding()
    words = fast.to_str() if fast is not None else sha256_json(tokenizer.get_vocab())
    try:
        rows = sha256_file(path)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    return sha256_json(
        [FORMAT, rows, sha256_text(words), tokenizer.bos_token, template.sha256, list(settings)]
    )


def _write(path: Path, encoder: RowEncoder, folder: Path) -> RowsReport:
    report = RowsReport()
    offsets = array.array("q", [0])
    with (folder / "ids.npy").open("wb") as ids, (folder / "learnt.npy").open("wb") as learnt:
        for file in (ids, learnt):
            file.write(bytes(_HEADER))
        for outcome in encoder.encode(read_rows(path)):
            report.add(outcome, encoder.settings.max_tokens)
            report.show(outcome, encoder.tokenizer)
            for row in outcome.rows:
                ids.write(array.array("I", row.ids).tobytes())
                learnt.write(bytes(label != IGNORED for label in row.labels))
                offsets.append(offsets[-1] + len(row.ids))
        _write_header(ids, "<u4", offsets[-1])
        _write_header(learnt, "|b1", offsets[-1])
    with (folder / "offsets.npy").open("wb") as file:
        file.write(bytes(_HEADER))
        file.write(offsets.tobytes())
        _write_header(file, "<i8", len(offsets))
    return report


_HEADER = 128  # bytes; numpy wants a multiple of 64


def _write_header(file: IO[bytes], kind: str, length: int) -> None:
    """The first bytes of a .npy file of version 1, now that its length is known."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({length},), }}"
    start = b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little")
    file.seek(0)
    file.write(start + text.encode().ljust(_HEADER - 11) + b"\n")
