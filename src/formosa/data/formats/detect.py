"""Which one format the first rows of a source are written in. What is not sure is asked for.

A format is found when every one of the first rows has its shape, one of them shows its mark, and
no other format is left. Of two that fit, a special case wins over the general one (`hermes` is
`sharegpt` or `messages` with tags in its texts); otherwise the recipe has to say which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from formosa.chat.tags import END_THINK, THINK
from formosa.data.formats.draft import Format, Reader, Setting, adapted
from formosa.data.formats.registry import FORMATS
from formosa.data.sources.record import OpenSource, Record
from formosa.errors import DataError, MessageError
from formosa.wheels import Say

LOOKED_AT = 50  # rows at the beginning of a source


class Detected(NamedTuple):
    """A format, and one sentence that says why it is taken and what it leaves out."""

    format: Format
    why: str


def detect(
    values: Sequence[Mapping[str, Any]],
    setting: Setting | None = None,
    name: str = "auto",
) -> Detected:
    """The one format that all the values fit.

    Args:
        values: the first rows.
        setting: fields to ignore are not looked at.
        name: the format that the recipe names; then only its fields are checked.

    Raises:
        DataError: none or several fit, or fields would be dropped; names the candidates or the
            fields, and the recipe's key.
    """
    setting = setting or Setting()
    try:
        rows = [adapted(value, setting) for value in values]
    except MessageError as error:
        raise DataError(f"{error.message}.", "leave it out with ignore: [text]") from error
    if not rows:
        raise DataError("There is no row to see the format of.", "give the recipe's key format")
    format = FORMATS[name] if name != "auto" else _only(rows)
    _refuse_dropped(format, rows, setting)
    why = "named in the recipe" if name != "auto" else f"the first {len(rows)} rows fit it alone"
    left = sorted({key for row in rows for key in row if key in format.leaves and row[key]})
    if left:
        why += f"; {', '.join(left)} left out"
    if any(END_THINK in repr(row) for row in rows):
        why += f"; what {THINK} holds is {'reasoning' if setting.reasoning else 'left out'}"
    return Detected(format, why)


def open_reader(source: OpenSource, say: Say | None = None) -> Reader:
    """A reader for the source, whose format is named by its recipe or detected, and told.

    Raises:
        DataError: as `detect`; or something that the format needs beside the data is missing.
    """
    config = source.config
    setting = Setting(
        ignore=frozenset(config.ignore),
        scores=config.scores,
        text_field=config.text_field,
        folder=source.folder,
        reasoning=config.reasoning == "keep",
    )
    records = list(islice(source.records(), LOOKED_AT))
    values = [record.value for record in records if not isinstance(record.value, DataError)]
    if not values and records:
        raise _first_error(records)
    try:
        found = detect(values, setting, config.format)
    except DataError as error:
        raise DataError(f"{config.source}: {error.message}", error.hint) from error
    if say:
        say(f"{config.source}: {found.format.about} ({found.format.name}: {found.why})")
    return Reader(found.format, setting)


def _first_error(records: Iterable[Record]) -> DataError:
    return next(item.value for item in records if isinstance(item.value, DataError))


def _only(rows: Sequence[Mapping[str, Any]]) -> Format:
    shaped = [format for format in FORMATS.values() if all(map(format.fits, rows))]
    fitting = [format for format in shaped if any(map(format.marks, rows))]
    beaten = {name for format in fitting for name in format.beats}
    fitting = [format for format in fitting if format.name not in beaten]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(format.name for format in fitting)
        raise DataError(
            f"The rows could be read in several formats: {names}.",
            "choose with the recipe's key format, or leave fields out with ignore",
        )
    raise DataError(*_nothing_fits(rows))


def _nothing_fits(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    keys = ", ".join(list(dict.fromkeys(str(key) for row in rows for key in row))[:12])
    counts = {format.name: sum(map(format.fits, rows)) for format in FORMATS.values()}
    some = [f"{name} ({count} of {len(rows)})" for name, count in counts.items() if count]
    if some:
        return (
            f"No format fits all of the first {len(rows)} rows: {', '.join(some)}.",
            "name one with the recipe's key format; rows that it can't read are rejected",
        )
    return (
        f"The rows are in no format that is known; their fields are {keys or 'none'}.",
        f"there are {', '.join(FORMATS)}; a document in another field needs text_field",
    )


def _refuse_dropped(format: Format, rows: Sequence[Mapping[str, Any]], setting: Setting) -> None:
    """Tell all fields that would be dropped at once, not row by row."""
    unknown = dict.fromkeys(str(name) for row in rows for name in format.unknown(row, setting))
    if unknown:
        listed = ", ".join(unknown)
        raise DataError(
            f"The format {format.name} does not read {listed}: that would be dropped.",
            f"leave it out on purpose with ignore: [{listed}]",
        )
