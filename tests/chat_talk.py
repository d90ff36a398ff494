"""A chat page to talk to: scripted models behind a real server, and what tests do on the page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Locator, Page

from formosa.chat.template import ChatTemplate
from formosa.engines.protocol import Piece, Prompt, Sampling
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.serve.run import serving
from formosa.tools.registry import Registry, RunnableTool
from formosa.web.chat.pages import chat_pages

THOUGHT = "兩個城市可以一起查。"


class GatedEngine(ScriptedEngine):
    """Writes the first pieces of a reply and then no more, until it is stopped."""

    def __init__(self, text: str, pieces: int = 2) -> None:
        super().__init__(lambda _: text)
        self._pieces = pieces
        self.stopped = 0

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        left = self._pieces
        async for piece in super().generate(prompt, sampling):
            if not left:
                try:
                    await asyncio.Event().wait()
                finally:
                    self.stopped += 1
            left -= 1
            yield piece


def scripted(script: Callable[[str], str] | str, **options: Any) -> TemplatedChat:
    """A model that says what a function of the prompt's last turn returns, or always the same."""
    template: ChatTemplate | None = options.pop("template", None)

    def said(prompt: str) -> str:
        return script if isinstance(script, str) else script(last_turn(prompt))

    return TemplatedChat(ScriptedEngine(said, **options), template)


def last_turn(prompt: str) -> str:
    """The prompt from the last words of the person on; results of tools are in it."""
    turns = prompt.split("<|im_start|>user")
    place = max(i for i, turn in enumerate(turns) if "<tool_response>" not in turn)
    return "<|im_start|>user".join(turns[place:])


def call(name: str, **arguments: Any) -> str:
    """A call as models write it."""
    value = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{value}\n</tool_call>"


@contextmanager
def chat_at(*tools: RunnableTool, record: Any = None, **models: Any) -> Iterator[str]:
    """Serve models and their page; gives the page's address."""
    pages = chat_pages(Registry(tools), record=record)
    with serving({name.replace("_", "-"): model for name, model in models.items()}, pages=pages,
                 grace=0.1) as url:  # fmt: skip
        yield url.removesuffix("/v1") + "/chat"


def visit(page: Page, url: str) -> None:
    """Open the page and wait until it has asked the server all that it wants to know."""
    page.goto(url)
    page.locator("#message:enabled").wait_for()


def say(page: Page, text: str) -> None:
    """Type a message and send it with Enter."""
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def replies(page: Page) -> Locator:
    return page.locator("article.assistant")


def ended(page: Page) -> None:
    """Wait until no model writes any more."""
    page.locator("#send").wait_for(state="visible")
    page.locator("article[aria-busy=true]").wait_for(state="detached")


def card(page: Page, argument: str) -> Locator:
    """The call in whose arguments a text stands."""
    return page.locator("section.call").filter(has=page.locator("pre", has_text=argument)).first
