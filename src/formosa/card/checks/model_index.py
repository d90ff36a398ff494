"""The model-index by itself: shape, values, revisions, and who may call a value verified.

Whether its values agree with the tables is for `agreement.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from formosa.card.checks.finding import Finding, found
from formosa.card.checks.subject import Subject
from formosa.card.claims import MODEL_INDEX
from formosa.card.values import finite
from formosa.errors import CardError

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_COMMIT = re.compile(r"[0-9a-f]{40}")


def entry_name(result: EvalResult) -> str:
    """An entry for people, as `model-index: tmmlu+ · single choice`."""
    return f"{MODEL_INDEX}: {result.dataset_name} · {result.metric_name or result.metric_type}"


def model_index(card: Subject) -> Iterator[Finding]:
    """Shape, values, `verified`, revisions."""
    try:
        results = card.card.results
    except CardError as error:
        yield found("model-index-shape", card.line_of("model-index"), MODEL_INDEX, error.message)
        return
    for i, result in enumerate(results):
        yield from _entry(card, i, result)


def _entry(card: Subject, i: int, result: EvalResult) -> Iterator[Finding]:
    line, where = card.result_line(i), entry_name(result)
    if not finite(result.metric_value):
        message = f"{result.metric_value!r} is no finite number; most readers will drop it."
        yield found("model-index-value", line, where, message)
    if result.verified is True:
        if card.ours:
            message = "`verified: true` is for the hub's own evaluation service to say."
            yield found("verified", line, where, message)
        else:
            message = (
                "It says `verified: true`. Only the hub's evaluation service may say so, with a "
                "token that can be checked on the hub alone: here it counts as unverified."
            )
            yield found("verified-unsupported", line, where, message)
    revision: object = result.dataset_revision  # YAML reads 1234567 as a number
    if card.ours:
        return  # what the log says, which a data set without a hub may name in another way
    if not revision:
        message = "It says no revision of the data set: nobody can know which questions it is of."
        yield found("revision-missing", line, where, message)
    elif not _COMMIT.fullmatch(str(revision)):
        kind = "a shortened hash" if re.fullmatch(r"[0-9a-f]{6,39}", str(revision)) else "no hash"
        message = (
            f"The revision {revision!s:.60} is {kind}; only all 40 characters name one commit "
            "for ever."
        )
        yield found("revision-short", card.result_line(i, "dataset", "revision"), where, message)
