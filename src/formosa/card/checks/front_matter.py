"""The front matter against what the hub reads: keys, ids, licences, languages, relations.

Source of the keys: https://huggingface.co/docs/hub/model-cards and hub-docs/modelcard.md, read
2026-11. The hub keeps keys that it does not know and does nothing with them, so a misspelled one
is lost in silence; that is why an unknown key is a warning where a known one is near, and no
finding where none is: people may keep keys of their own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from formosa.card.checks.finding import Finding, found
from formosa.card.checks.subject import Subject
from formosa.card.hub import (
    KEYS,
    LIBRARIES,
    LICENSES,
    PIPELINES,
    RELATIONS,
    is_hub_id,
    is_language,
)

_LISTS = ("language", "base_model", "tags", "datasets", "metrics")
_TEXTS = ("license", "license_name", "license_link", "library_name", "pipeline_tag")
_CONVERTED = ("gguf", "awq", "gptq", "mlx", "exl2")


def front_matter(card: Subject) -> Iterator[Finding]:
    """Everything but the model-index."""
    if not card.card.fields:
        return
    yield from _keys(card)
    yield from _license(card)
    yield from _languages(card)
    yield from _base(card)
    yield from _ids(card)


def _keys(card: Subject) -> Iterator[Finding]:
    for key in map(str, card.card.fields):
        if key not in KEYS and (near := _near(key)):
            message = f"The hub knows no key {key!r} and ignores it; did you mean {near}?"
            yield found("key-unknown", card.line_of(key), key, message)
    for key in (*_LISTS, *_TEXTS):
        value = card.card.fields.get(key)
        if value is None:
            continue
        items = value if isinstance(value, list) and key in _LISTS else [value]
        wrong = [item for item in items if not isinstance(item, str)]
        if wrong:
            wanted = "texts" if key in _LISTS else "one text"
            kind = type(wrong[0]).__name__
            hint = " (YAML reads no as false: write 'no')" if wrong[0] is False else ""
            message = f"It must be {wanted}, and holds a {kind}{hint}."
            yield found("key-type", card.line_of(key), key, message)


def _near(key: str) -> str:
    plain = key.lower().replace("-", "_").replace(" ", "_")
    alike = {known.replace("-", "_"): known for known in KEYS}
    if plain in alike:
        return alike[plain]
    spellings = {"licence": "license", "dataset": "datasets", "languages": "language"}
    if plain in spellings:
        return spellings[plain]
    close = difflib.get_close_matches(plain[:60], list(alike), n=1, cutoff=0.84)
    return alike[close[0]] if close else ""


def _license(card: Subject) -> Iterator[Finding]:
    value, line = card.card.fields.get("license"), card.line_of("license")
    if not value:
        message = "No licence: nobody may use the model."
        yield found("license-missing", line, "license", message)
    elif card.card.license not in LICENSES:
        near = difflib.get_close_matches(str(value)[:60].lower(), LICENSES, n=1, cutoff=0.75)
        advice = f"; did you mean {near[0]}?" if near else "; `other` with license_name fits any."
        message = f"{value!r} is no licence id of the hub{advice}"
        yield found("license-unknown", line, "license", message)
    elif card.card.license == "other" and not (
        card.card.fields.get("license_name") or card.card.fields.get("license_link")
    ):
        message = "The licence is `other`, and neither license_name nor license_link says which."
        yield found("license-name-missing", line, "license", message)


def _languages(card: Subject) -> Iterator[Finding]:
    line = card.line_of("language")
    if not card.card.language:
        message = "No language: the hub can't list the model under one."
        yield found("language", line, "language", message)
    for number, code in enumerate(card.card.language):
        if not is_language(code):
            message = f"{code!r} is no ISO 639 code, such as zh."
            yield found("language", card.line_of("language", number), "language", message)


def _base(card: Subject) -> Iterator[Finding]:
    names, line = card.card.base_model, card.line_of("base_model")
    for number, name in enumerate(names):
        if not is_hub_id(name):
            message = f"{name!r} is no hub id (organisation/name)."
            yield found("base-model", card.line_of("base_model", number), "base_model", message)
        elif card.own_id and name.lower() == card.own_id.lower():
            message = f"The model is named as its own base model: {name}."
            yield found("base-model", card.line_of("base_model", number), "base_model", message)
    relation = card.card.fields.get("base_model_relation")
    if relation is not None and relation not in RELATIONS:
        where = "base_model_relation"
        message = f"{relation!r} is no relation of the hub: one of {', '.join(RELATIONS)}."
        yield found("base-model-relation", card.line_of(where), where, message)
    elif relation is None and names and (sign := _converted(card)):
        message = (
            f"{sign} says that this is a converted copy, and base_model_relation is missing: "
            "`quantized` lists it under its base model."
        )
        yield found("base-model-relation", line, "base_model", message)
    elif relation is None and len(names) > 1:
        message = (
            f"{len(names)} base models without base_model_relation: the hub shows such a model as "
            "a merge of them. Where one was trained from the other, name the nearest alone."
        )
        yield found("base-model-several", line, "base_model", message)


def _converted(card: Subject) -> str:
    """What says that the files are a converted copy; "" where nothing does."""
    if card.ours:
        return ""  # a run folder holds the checkpoint and its copies
    name = card.own_name.lower()
    for kind in _CONVERTED:
        if name.endswith((f"-{kind}", f".{kind}", f"_{kind}")):
            return f"The name {card.own_name}"
        if card.card.library_name.lower() == kind:
            return f"library_name {kind}"
    return ""


def _ids(card: Subject) -> Iterator[Finding]:
    for number, name in enumerate(card.card.datasets):
        if not is_hub_id(name) and not _old_data_set(name):
            message = f"{name!r} is no hub id (organisation/name)."
            yield found("dataset-id", card.line_of("datasets", number), "datasets", message)
    library = card.card.library_name
    if library and library not in LIBRARIES:
        near = difflib.get_close_matches(library[:60].lower(), LIBRARIES, n=1, cutoff=0.75)
        advice = f"; did you mean {near[0]}?" if near else "."
        message = f"The hub lists no library {library!r}{advice}"
        yield found("library-unknown", card.line_of("library_name"), "library_name", message)
    pipeline = card.card.pipeline_tag
    if not pipeline:
        message = "No pipeline_tag: the hub guesses the task from the files (text-generation?)."
        yield found("pipeline-missing", 0, "pipeline_tag", message)
    elif pipeline not in PIPELINES:
        near = difflib.get_close_matches(pipeline[:60].lower(), PIPELINES, n=1, cutoff=0.6)
        advice = f"; did you mean {near[0]}?" if near else "."
        message = f"{pipeline!r} is no pipeline tag of the hub{advice}"
        yield found("pipeline-unknown", card.line_of("pipeline_tag"), "pipeline_tag", message)


def _old_data_set(name: str) -> bool:
    """The first data sets of the hub have no organisation: `squad`, `c4`."""
    return name.isascii() and name.replace("_", "").replace("-", "").isalnum() and name.islower()
