"""A sheet as JSON.

The first keys are the sheet's own, typed and complete. `normalized` and `source_payload_excerpt`
say the same in the shape that model registries show for a repository, so that whoever reads theirs
can read ours. Two things differ on purpose:

- `card_data.frontmatter` is the front matter as it stands in the card, without its model-index. A
  registry that was seen makes it line by line, and takes entries of the model-index for data sets.
- `verified` is always false: only the hub may say true, of a run of its own. What was computed
  again here is in `results`, with its state.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from formosa.card.sheet.values import Sheet

SCHEMA = 1
_EXCERPT = (
    *("_id", "id", "modelId", "sha", "createdAt", "lastModified", "author", "downloads", "likes"),
    *("gated", "private", "pipeline_tag", "library_name", "siblings_count"),
)
_LISTS = ("language", "base_model", "datasets", "tags", "metrics")


def to_json(sheet: Sheet) -> dict[str, Any]:
    """The sheet as JSON values."""
    return {
        "schema": SCHEMA,
        "source": {"kind": sheet.source, "place": sheet.place, "revision": sheet.revision or None},
        "name": sheet.name,
        "licence": {
            "id": sheet.licence or None,
            "name": sheet.licence_name or None,
            "link": sheet.licence_link or None,
        },
        "languages": list(sheet.languages),
        "base_models": [{"id": b.id, "relation": b.relation or None} for b in sheet.bases],
        "datasets": list(sheet.datasets),
        "tags": list(sheet.tags),
        "results": [asdict(result) for result in sheet.results],
        "files": [_file(sheet, i) for i in range(len(sheet.files))],
        "architecture": {**asdict(sheet.architecture), "kv_heads": _kv_heads(sheet)},
        "template": asdict(sheet.template) if sheet.template else None,
        "memory": [
            {
                "quantisation": entry.quantisation,
                "file": entry.file or None,
                "weights_bytes": entry.weights,
                "estimated": entry.estimated,
                "contexts": [
                    {"tokens": tokens, "cache_bytes": size, "total_bytes": entry.weights + size}
                    for tokens, size in entry.cache.items()
                ],
            }
            for entry in sheet.memory
        ],
        "derivatives": [asdict(item) for item in sheet.derivatives],
        "card": {
            "title": sheet.prose.title,
            "sections": list(sheet.prose.sections),
            "tables": [dict(table) for table in sheet.prose.tables],
        },
        "problems": list(sheet.problems),
        "normalized": _normalized(sheet),
        "source_payload_excerpt": {k: sheet.hub[k] for k in _EXCERPT if k in sheet.hub},
    }


def _file(sheet: Sheet, i: int) -> dict[str, Any]:
    file = sheet.files[i]
    return {
        "name": file.name,
        "bytes": file.bytes,
        "sha256": file.sha256 or None,
        "sha256_from": ("hub" if file.from_hub else "computed") if file.sha256 else None,
        "quantisation": file.quantisation or None,
        "quantisation_from": ("name" if file.named else "header") if file.quantisation else None,
        "bits_per_weight": None if file.bits is None else round(file.bits, 3),
    }


def _kv_heads(sheet: Sheet) -> int | list[int] | None:
    heads = sheet.architecture.kv_heads
    return list(heads) if len(heads) > 1 else heads[0] if heads else None


def _normalized(sheet: Sheet) -> dict[str, Any]:
    hub = sheet.hub
    return {
        "metadata": dict(sheet.metadata),
        "card_data": _card_data(sheet),
        "tags": list(sheet.tags),
        "likes": hub.get("likes"),
        "downloads": hub.get("downloads"),
        "gated": hub.get("gated"),
        "private": hub.get("private"),
        "last_modified": hub.get("lastModified"),
        "created_at": hub.get("createdAt"),
        "pipeline_tag": sheet.pipeline or None,
        "library_name": sheet.library or None,
    }


def _card_data(sheet: Sheet) -> dict[str, Any]:
    fields = sheet.fields
    plain = {key: value for key, value in fields.items() if key != "model-index"}
    values = {key: _listed(value) if key in _LISTS else value for key, value in plain.items()}
    index = {"model-index": _unverified(fields["model-index"])} if "model-index" in fields else {}
    return {
        **values,
        **index,
        "frontmatter": plain,
        "hero_image_url": sheet.prose.image,
        "summary": sheet.prose.summary,
        "quick_links": [{"text": text, "url": url} for text, url in sheet.prose.links],
        "benchmark_table_html": _html(sheet),
        "related_quantizations": [d.id for d in sheet.derivatives if d.relation == "quantized"],
    }


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


def _unverified(index: Any) -> Any:
    """The model-index with `verified: false` at every metric that has a value."""
    if isinstance(index, list):
        return [_unverified(item) for item in index]
    if not isinstance(index, Mapping):
        return index
    made = {key: _unverified(value) for key, value in index.items()}
    return {**made, "verified": False} if "value" in made and "type" in made else made


def _html(sheet: Sheet) -> str:
    """The card's first table that was written in HTML, made anew of its texts: no attribute, no
    script and no other element of the card is in it."""
    table = next((table for table in sheet.prose.tables if table.get("html")), None)
    if table is None:
        return ""
    rows = [table["heads"], *table["rows"]]
    lines = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
