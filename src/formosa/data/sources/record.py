"""A value as it came from a file, before any format was read into it; and an opened source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from formosa.data.sources.config import SourceConfig
from formosa.errors import DataError


class Record(NamedTuple):
    """`where` names the place for people (`rows.jsonl:7`, `rows.parquet#7`); `value` is the
    object there, or what is wrong with it."""

    where: str
    value: Mapping[str, Any] | DataError


class OpenSource(Protocol):
    """Rows that can be read again and again, always in the same order.

    Attributes:
        config: the source as the recipe gives it, with what is known of a named set filled in.
        folder: where its files lie; a format looks here for what belongs to them.
        licence: of the recipe, else of the data set's card.
    """

    config: SourceConfig
    folder: Any
    licence: str

    def records(self) -> Iterator[Record]:
        """Every record, streamed.

        Raises:
            DataError: a file can't be read at all, or not further.
        """
        ...

    def about(self) -> dict[str, Any]:
        """What the report keeps: names, bytes and sha256 of the files, revision, licence."""
        ...
