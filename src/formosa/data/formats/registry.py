"""The formats by name, in the order in which they are listed."""

from __future__ import annotations

from collections.abc import Mapping

from formosa.data.formats import messages
from formosa.data.formats.draft import Format

FORMATS: Mapping[str, Format] = {module.FORMAT.name: module.FORMAT for module in (messages,)}
