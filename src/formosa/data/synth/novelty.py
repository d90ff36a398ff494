"""Whether a generated row may be kept: a new question, none that is reserved, no call twice."""

from __future__ import annotations

from collections.abc import Collection

from formosa.data.rows import Row

# Questions that some test or demonstration asks, and what gives away a rewording of them. A model
# must not learn them by heart.
RESERVED = frozenset(
    {"台北氣溫如何？另外，告訴我最新的關稅政策", "台北氣溫如何？另外，告訴我川普最新關稅政策"}
)
RESERVED_WORDS = ("關稅", "川普", "tariff", "trump")


def is_new(row: Row, seen: Collection[str]) -> bool:
    """Whether the row may be kept: a new question, no reserved one, and no call twice."""
    question = row.question
    return question not in seen and not is_reserved(question) and _calls_differ(row)


def is_reserved(question: str) -> bool:
    """Whether a test or demonstration asks this, or the same in other words."""
    lowered = question.lower()
    return question.replace(" ", "") in RESERVED or any(word in lowered for word in RESERVED_WORDS)


def _calls_differ(row: Row) -> bool:
    return all(
        len({(call.name, call.arguments) for call in message.tool_calls}) == len(message.tool_calls)
        for message in row.messages
    )
