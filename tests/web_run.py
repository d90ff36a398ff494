"""Run folders for the tests of pages, written by hand as a training would write them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from formosa.web.app import create_pages
from formosa.web.places import Places
from formosa.web.site import Link

VOID = {"meta", "path", "br", "link", "input", "img", "hr"}


class Reader(HTMLParser):
    """Checks that what is opened is closed, and keeps what a reader would meet."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.tags if found == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def step(number: int, **values: Any) -> dict[str, Any]:
    figures = {"loss": 2 / number, "learning_rate": 1e-3, "grad_norm": 1.5}
    figures |= {"seconds": 61.0 * number, "tokens_per_second": 400.0, "peak_memory_gb": 4.2}
    return {"type": "step", "step": number, **figures, **values}


def measured(number: int, right: int) -> dict[str, Any]:
    exact = {"correct": right, "of": 8}
    begun = {"missed": 8 - right, "calls": 8, "needless": 2, "others": 8}
    counts = {"exact_call": exact, "relevance": begun}
    return {"type": "measured", "step": number, "loss": 0.5, **counts}


def reply(number: int, right: bool, **values: Any) -> dict[str, Any]:
    texts = {"asked": "台北天氣？", "wanted": "weather(台北)", "said": "weather(台北)"}
    state = {"row": 1, "right": right, "ended": True}
    return {"type": "reply", "step": number, **texts, **state, **values}


def row(number: int, **values: Any) -> dict[str, Any]:
    calls = [
        {
            "id": "call_0",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "台北"}'},
        }
    ]
    made = {
        "id": f"row-{number}",
        "source": "synth" if number % 2 else "files",
        "kind": "single" if number % 3 else "chat",
        "language": "zh-TW",
        "messages": [
            {"role": "user", "content": f"第 {number} 題：台北天氣如何？"},
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_0", "content": '{"degrees": 31}'},
            {"role": "assistant", "content": f"三十一度（{number}）。"},
        ],
        "tools": [],
    }
    return {**made, **values}


def write_lines(path: Path, records: Iterable[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def run(
    folder: Path,
    records: Iterable[dict[str, Any]],
    *,
    summary: dict[str, Any] | None = None,
    rows: Iterable[Any] = (),
    train: dict[str, Any] | None = None,
) -> Path:
    """A run folder with a log; with a summary, rows and a recipe where they are given."""
    write_lines(folder / "train" / "log.jsonl", records)
    if summary is not None:
        (folder / "train" / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    if rows := list(rows):
        write_lines(folder / "data" / "train.jsonl", rows)
    if train is not None:
        recipe = json.dumps({"name": folder.name, "base": "smollm2-135m", "train": train})
        (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    return folder


def pages_app(root: Path, routes: Sequence[BaseRoute]) -> Starlette:
    """Pages that may look at what lies below `root`."""
    return create_pages(Places([root]), routes, [Link("Overview", "/")])


def get(app: Starlette, path: str, /, **params: Any) -> httpx2.Response:
    """What an app answers, in this process."""

    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(path, params=params or None)

    return asyncio.run(ask())
