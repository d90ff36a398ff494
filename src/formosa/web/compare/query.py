"""What the address of a comparison asks for, so that a page can be sent to somebody.

Unknown values are passed over: an old address still leads to a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.datastructures import QueryParams

from formosa.results.log import OUTCOMES


class Query(NamedTuple):
    """What an address asks for, beside the logs.

    Attributes:
        ref: the reference's letter; `other`: of the one that is shown in detail.
        subject: only changed answers of this one; None means all.
        bad: `out` leaves questions out that nobody can get right.
        first: the place of the first changed answer on the page, from 0.
    """

    ref: str = "A"
    other: str = ""
    scorer: str = ""
    was: str = ""
    now: str = ""
    subject: str | None = None
    bad: str = ""
    first: int = 0

    @classmethod
    def read(cls, asked: QueryParams | Mapping[str, str]) -> Query:
        def one_of(name: str) -> str:
            value = asked.get(name, "")
            return value if value in (*OUTCOMES, "not-correct") else ""

        subject, first = asked.get("subject", ""), asked.get("first", "")
        return cls(
            asked.get("ref", "") or "A",
            asked.get("other", ""),
            asked.get("scorer", ""),
            one_of("was"),
            one_of("now"),
            subject[1:] if subject.startswith("=") else None,
            "out" if asked.get("bad") == "out" else "",
            int(first) if first.isascii() and first.isdigit() and len(first) < 10 else 0,
        )

    def pairs(self, **changes: Any) -> dict[str, Any]:
        """The address's parts; what is as by default is left out."""
        made = self._replace(**changes)
        return {
            "ref": made.ref if made.ref != "A" else None,
            "other": made.other,
            "scorer": made.scorer,
            "bad": made.bad,
            "was": made.was,
            "now": made.now,
            "subject": None if made.subject is None else f"={made.subject}",
            "first": made.first or None,
        }
