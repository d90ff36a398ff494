"""Who is asked by `formosa eval`: the options that say so, and how it is opened.

A model that is here answers in this process, without HTTP. Servers are asked over HTTP; several
must have the same model, and share the questions.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from formosa.chat.template import FAMILIES
from formosa.cli.output import Output
from formosa.engines.protocol import ChatModel
from formosa.engines.templated import HELD
from formosa.errors import EngineError, UserError
from formosa.results.log import EvalLog

if TYPE_CHECKING:
    from formosa.engines.asking import AskingChat

SLOTS = 4  # requests at a time in an engine of our own, where no number is given


@dataclass(frozen=True)
class Who:
    """Who is asked, and how many requests at a time."""

    model: str | None
    base_url: tuple[str, ...]
    api_key: str | None
    template: str | None
    context: int
    concurrency: int | None
    timeout: float
    hold_calls: bool = False

    @property
    def at_a_time(self) -> int | None:
        """Requests at a time to each server; None: as many as it takes."""
        return self.concurrency or (None if self.base_url else SLOTS)

    def models(self, out: Output) -> list[ChatModel]:
        """Who answers, not asked anything yet."""
        if self.base_url:
            return [*self._servers()]
        from formosa.engines.open import open_chat

        return [
            open_chat(
                self.model or "",
                context=self.context,
                slots=self.concurrency or SLOTS,
                template=self.template,
                held=self.hold_calls,
                say=out.say,
            )
        ]

    @asynccontextmanager
    async def opened(self, out: Output) -> AsyncGenerator[list[ChatModel], None]:
        """Who answers, ready; closed at the end.

        Raises:
            EngineError: none of the servers answers.
        """
        if not self.base_url:
            (model,) = self.models(out)
            try:
                yield [model]
            finally:
                await model.aclose()
            return
        servers = self._servers()
        try:
            yield [*await _ready(servers, out)]
        finally:
            for server in servers:
                await server.aclose()

    def _servers(self) -> list[AskingChat]:
        from formosa.engines.asking import AskingChat

        if self.hold_calls:
            raise UserError(
                "A remote server writes calls as it will.", "leave out --hold-calls or --base-url"
            )
        if self.template is not None:
            raise UserError(
                "A remote server renders its own template.", "leave out --template or --base-url"
            )
        return [
            AskingChat(url, model=self.model, api_key=self.api_key, timeout=self.timeout)
            for url in dict.fromkeys(self.base_url)
        ]

    def as_logged(self, log: EvalLog) -> Who:
        """The model of the log, where the options name no other place of it."""
        if self.model or self.base_url:
            return self
        logged = log.start["model"]
        details = logged.get("details") or {}
        if base_url := details.get("base_url"):
            urls = tuple(details.get("base_urls") or [base_url])
            # A server that was asked for its only model may be logged under its address.
            unnamed = logged["name"] == urlsplit(base_url).netloc
            return replace(self, base_url=urls, model=None if unnamed else logged["name"])
        held = self.hold_calls or details.get("calls") == HELD
        return replace(self, model=logged["path"] or logged["name"], hold_calls=held)


async def _ready(servers: Sequence[AskingChat], out: Output) -> list[AskingChat]:
    """Those that answer."""
    ready, last = [], None
    for server in servers:
        try:
            await server.prepare()
            ready.append(server)
        except EngineError as error:
            last = error
            if len(servers) > 1:
                out.say(f"{error.message} It is left out.")
    if last is not None and not ready:
        raise last
    return ready


_OPTIONS = (
    click.option("--model", metavar="NAME", help="A folder, run, .gguf, hf:org/name or built-in."),
    click.option(
        "--base-url",
        metavar="URL",
        multiple=True,
        help="Ask a server with the OpenAI API instead; several share the questions.",
    ),
    click.option(
        "--api-key",
        metavar="KEY",
        envvar="FORMOSA_EVAL_RUN_API_KEY",  # of `retry`, too: it is the same key
        help="For --base-url; better as FORMOSA_EVAL_RUN_API_KEY.",
    ),
    click.option(
        "--template",
        type=click.Choice(sorted(FAMILIES)),
        help="Use Formosa's format for this family, not the model's own template.",
    ),
    click.option(
        "--hold-calls",
        is_flag=True,
        help="Hold calls to the schemas of their tools, by a grammar. The log says so.",
    ),
    click.option(
        "--context",
        type=click.IntRange(min=1),
        default=4096,
        show_default=True,
        help="Tokens of prompt and reply, for each request.",
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(min=1),
        help="Requests at the same time, to each server; by default as many as it takes.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=600.0,
        show_default=True,
        help="Seconds for one request.",
    ),
)


def model_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options that say who is asked, and hand them over as `who`."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> int:
        who = Who(**{field.name: kwargs.pop(field.name) for field in fields(Who)})
        return function(*args, who=who, **kwargs)

    command: Callable[..., int] = wrapped
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
