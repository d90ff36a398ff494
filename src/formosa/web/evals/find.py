"""Which answers of a log are listed: by scorer, outcome, subject and text, fifty on a page.

A question is what an address says (`?outcome=wrong&subject=law&q=…&page=2`), so a list can be kept
and sent. What an address says wrongly counts as not said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from formosa.results.index import LogIndex
from formosa.results.log import OUTCOMES
from formosa.web.evals.library import Opened
from formosa.web.evals.search import holding, lowered
from formosa.web.page import address

PAGE = 50  # answers on a page
LONGEST = 200  # characters of a text that is looked for
MISSED = "not-correct"  # any outcome but correct

Order = Literal["log", "slow", "long"]
ORDERS: tuple[Order, ...] = ("log", "slow", "long")


@dataclass(frozen=True)
class Query:
    """What is to be listed.

    Attributes:
        scorer: whose outcomes; one of the log's.
        outcome: one of `OUTCOMES`, `MISSED`, or "" for all.
        subject: None for all; "" is that of questions without one.
        text: in question, reply or id; "" for all.
        order: as in the log, or the slowest or longest first.
        page: from 1.
    """

    scorer: str
    outcome: str = ""
    subject: str | None = None
    text: str = ""
    order: Order = "log"
    page: int = 1

    @classmethod
    def of(cls, said: Mapping[str, str], scorers: Sequence[str]) -> Query:
        """What an address says."""
        scorer, outcome = said.get("scorer", ""), said.get("outcome", "")
        page = said.get("page", "")
        return cls(
            scorer if scorer in scorers else scorers[0] if scorers else "",
            outcome if outcome in (*OUTCOMES, MISSED) else "",
            None if (subject := said.get("subject")) in (None, "*") else subject,
            said.get("q", "").strip()[:LONGEST],
            next((order for order in ORDERS if order == said.get("order")), "log"),
            max(1, int(page)) if page.isdecimal() and len(page) < 10 else 1,
        )

    @property
    def narrows(self) -> bool:
        """Whether something is left out."""
        return bool(self.outcome or self.text or self.subject is not None)

    def values(self, scorers: Sequence[str]) -> dict[str, str]:
        """As an address says it; what is so anyway is left out."""
        said = {
            "scorer": self.scorer if scorers and self.scorer != scorers[0] else "",
            "outcome": self.outcome,
            "q": self.text,
            "order": "" if self.order == "log" else self.order,
            "page": str(self.page) if self.page > 1 else "",
        }
        return {name: value for name, value in said.items() if value} | (
            {} if self.subject is None else {"subject": self.subject or " "}
        )


def list_address(path: Path, query: Query, scorers: Sequence[str], **changes: Any) -> str:
    """The log's page with this list; a change begins at its first page."""
    changed = replace(query, **{"page": 1, **changes}) if changes else query
    return address("/evals/log", path=path, **changed.values(scorers))


def answer_address(path: Path, query: Query, scorers: Sequence[str], id: str, repeat: int) -> str:
    """An answer's page, which knows the list it was chosen from."""
    said = {k: v for k, v in query.values(scorers).items() if k != "page"}
    return address("/evals/sample", path=path, id=id, repeat=repeat, **said)


def find(opened: Opened, query: Query) -> list[int]:
    """The rows that the query asks for, on all pages."""
    key = ("rows", replace(query, page=1), opened.questions.missing())
    rows: list[int] = opened.once(key, lambda: _find(opened, query))
    return rows


def _find(opened: Opened, query: Query) -> list[int]:
    index = opened.index
    rows: Sequence[int] = range(len(index))
    if query.outcome and query.scorer in index.outcome:
        column = index.outcome[query.scorer]
        if query.outcome == MISSED:
            right = OUTCOMES.index("correct")
            rows = [row for row in rows if column[row] != right]
        else:
            wanted = [str(name) for name in OUTCOMES].index(query.outcome)
            rows = [row for row in rows if column[row] == wanted]
    if query.subject is not None:
        name = query.subject.strip()
        places = {place for place, subject in enumerate(index.subjects) if subject == name}
        rows = [row for row in rows if index.subject[row] in places]
    if query.text:
        found = _holding(opened, query.text)
        rows = [row for row in rows if row in found]
    return _ordered(index, list(rows), query.order)


def _holding(opened: Opened, text: str) -> set[int]:
    """Rows with the text in the reply, the question, or the id; found once for all pages."""

    def make() -> set[int]:
        index, wanted = opened.index, lowered(text)
        asked = opened.questions.holding(text)
        questions = {
            number for number, id in enumerate(index.ids) if id in asked or wanted in lowered(id)
        }
        found = holding(index, text)
        if questions:
            found |= {row for row, asked in enumerate(index.question) if asked in questions}
        return found

    # Questions that are still being read will be found at the next look.
    rows: set[int] = opened.once(("holding", text, opened.questions.missing()), make)
    return rows


def _ordered(index: LogIndex, rows: list[int], order: Order) -> list[int]:
    if order == "slow":
        return sorted(rows, key=lambda row: -_known(index.seconds[row]))
    if order == "long":
        return sorted(rows, key=lambda row: -index.tokens[1][row])
    return rows


def _known(seconds: float) -> float:
    return seconds if seconds == seconds else -1.0  # not a number: the log does not say
