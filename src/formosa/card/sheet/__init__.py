"""The model sheet: one normalised view of a model, wherever it is.

values.py      what a sheet holds
local.py       a GGUF file, a checkpoint, a run folder, a card
repository.py  a model on the hub; headers.py: what its GGUF files say of themselves
measured.py    claimed results against logs of one's own
reading.py     front matter as typed values; which results lead to a log
prose.py       title, summary and tables of a card's text
memory.py      sizes of the network, and the memory that it needs
probe.py       what the chat template does, by trying it
registry.py    the sheet as JSON; units.py: its numbers for people
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from formosa.card.sheet.local import read_card_file, read_folder, read_gguf_file
from formosa.card.sheet.repository import hub_name, read_repository
from formosa.card.sheet.values import Base, Sheet
from formosa.errors import ModelError
from formosa.models import BUILTIN, is_cached, resolve
from formosa.wheels import Say

__all__ = ["Sheet", "read_sheet"]


def read_sheet(name: str, say: Say | None = None) -> Sheet:
    """The sheet of a run folder, a checkpoint, a GGUF file, a card, a hub id or a built-in name.

    A built-in model that is not in the cache is not fetched: its sheet says what is known of it.

    Raises:
        ModelError: nothing has this name, or it is damaged.
        CardError: a card that can't be read.
    """
    if name in BUILTIN:
        return _built_in(name, say)
    try:
        path = Path(name).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long for a path, ~nobody, a NUL
        path, is_folder, is_file = Path("?"), False, False
    if is_folder:
        return read_folder(path, say)
    if is_file:
        if path.suffix == ".gguf":
            return read_gguf_file(path, say)
        if path.suffix.lower() not in (".md", ".markdown", ""):
            raise ModelError(
                f"{name} is neither a model nor a card.", "name a .gguf file or a README.md"
            )
        return read_card_file(path)
    if name.lower().endswith(".md"):
        return read_card_file(path)  # which says that it is missing
    if wanted := hub_name(name):  # asked only where nothing here has the name
        return read_repository(wanted, say)
    raise ModelError(
        f"No model or card is called {name}, and no such file or folder exists.",
        "name a run folder, a .gguf file, a README.md, or a model of the hub as hf:org/name; "
        "`formosa models ls` lists the built-in ones",
    )


def _built_in(name: str, say: Say | None) -> Sheet:
    known = BUILTIN[name]
    if is_cached(name):
        sheet = read_gguf_file(resolve(name).path, say, "built-in")
    else:
        problem = f"It is not here yet: formosa models pull {name}"
        sheet = Sheet("built-in", name, known.hub_id, problems=(problem,))
    return replace(
        sheet,
        name=name,
        licence=known.licence,
        bases=sheet.bases or (Base(known.hub_id, "quantized"),),
    )
