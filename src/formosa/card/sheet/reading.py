"""A card's front matter as typed values, and every result with what supports it.

`traced` is said of a result only where its claim names a log beside the card, the log has that
sha256, and its samples give that very figure again. A card from the hub comes without its logs:
its results are claimed. `verified: true` is the hub's own word and changes nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formosa.card.claims import MODEL_INDEX, Claim, read_claims
from formosa.card.figures import Sources
from formosa.card.markdown import read_document
from formosa.card.sheet.values import MOST, Base, Result, State, clean, cleaned
from formosa.card.values import Card
from formosa.errors import CardError, UserError

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_RELATIONS = ("finetune", "adapter", "merge", "quantized")


def card_values(card: Card, root: Path) -> dict[str, Any]:
    """The fields of a Sheet that a card fills.

    Args:
        card: of anybody.
        root: its folder, in which its claims and logs are looked for.
    """
    problems: list[str] = []
    try:
        found = card.results
    except CardError as error:
        found = ()
        problems.append(clean(error.message))
    claims, wrong = _claims(card, root)
    problems += wrong
    sources = Sources(root)
    relation = card.fields.get("base_model_relation")
    named = relation if isinstance(relation, str) and relation in _RELATIONS else ""
    return {
        "licence": clean(card.license),
        "licence_name": _text(card, "license_name"),
        "licence_link": _text(card, "license_link"),
        "languages": _texts(card.language),
        "bases": tuple(Base(name, named) for name in _texts(card.base_model)),
        "datasets": _texts(card.datasets),
        "tags": _texts(card.tags),
        "metrics": _texts(_listed(card.fields.get("metrics"))),
        "library": clean(card.library_name),
        "pipeline": clean(card.pipeline_tag),
        "results": tuple(_result(r, claims, sources) for r in found[:MOST]),
        "fields": cleaned(card.fields),
        "problems": tuple(problems),
    }


def _text(card: Card, key: str) -> str:
    value = card.fields.get(key)
    return clean(value) if isinstance(value, str) else ""


def _texts(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(clean(value) for value in values[:MOST])


def _listed(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(item for item in values if isinstance(item, str))


def _claims(
    card: Card, root: Path
) -> tuple[Mapping[tuple[str, ...], tuple[Claim, str]], list[str]]:
    """The claims of the model-index by (data set, metric), each with what its files should be.

    None where the file of claims is not the one that the card was written with.
    """
    read, wrong = read_claims(read_document(card.body).comments, root)
    problems = [clean(f"{where}: {message}") for _, where, message in wrong]
    if read is None or wrong:
        return {}, problems
    made = {}
    for claim in read.claims:
        if claim.table == MODEL_INDEX:
            made[claim.row] = claim, " ".join(read.files[name] for name in claim.files)
    return made, problems


def _result(
    result: EvalResult,
    claims: Mapping[tuple[str, ...], tuple[Claim, str]],
    sources: Sources,
) -> Result:
    state, because = _state(result, claims, sources)
    return Result(
        task=_shown(result.task_name or result.task_type),
        dataset=_shown(result.dataset_type),
        dataset_name=_shown(result.dataset_name),
        config=_shown(result.dataset_config),
        split=_shown(result.dataset_split),
        revision=_shown(result.dataset_revision),
        metric=_shown(result.metric_type),
        metric_name=_shown(result.metric_name),
        value=cleaned(result.metric_value),
        state=state,
        because=because,
        says_verified=result.verified is True,
    )


def _shown(value: Any) -> str:
    return "" if value is None else clean(str(value))


def _state(
    result: EvalResult,
    claims: Mapping[tuple[str, ...], tuple[Claim, str]],
    sources: Sources,
) -> tuple[State, str]:
    row = (str(result.dataset_name), str(result.metric_name or result.metric_type))
    if row not in claims:
        return "claimed", "the card names no log"
    claim, digests = claims[row]
    files = clean(", ".join(claim.files), 200)
    try:
        there = " ".join(sources.sha256(name) for name in claim.files)
        if there != digests:
            return "claimed", f"{files} is not the file that the card was written from"
        again = sources.printed(claim)
    except UserError as error:
        return "claimed", clean(error.message, 300)
    if again != claim.text or not _same(result.metric_value, again):
        return "claimed", f"{files} says {clean(again, 60)}"
    return "traced", f"{files}, sha256 {clean(digests, 12)}"


def _same(value: Any, text: str) -> bool:
    try:
        return abs(float(value) - float(text)) < 1e-9
    except (TypeError, ValueError):
        return False
