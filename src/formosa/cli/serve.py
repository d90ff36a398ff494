"""`formosa serve MODEL`: models behind the OpenAI API, and a page to chat with them. `serve check`:
what breaks in a server.

A group that works as a command: what is not the name of a subcommand is the model to serve.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from formosa.cli.default_group import DefaultCommand, DefaultGroup
from formosa.cli.default_model import named_or_default
from formosa.cli.engine_options import engine_options
from formosa.cli.output import Output, command_output
from formosa.cli.serve_check import check, parrot
from formosa.cli.tool_options import tool_options
from formosa.errors import UserError

if TYPE_CHECKING:
    from formosa.engines.protocol import ChatModel
    from formosa.serve.pages import Pages
    from formosa.tools.registry import Registry
    from formosa.tools.runner import Record


@click.group(cls=DefaultGroup)
def serve() -> None:
    """Serve models with the OpenAI API, and a page to chat with them, until Ctrl-C.

    \b
        formosa serve
        formosa serve runs/mini
        formosa serve runs/mini --tools examples/tools_weather.py
        formosa serve runs/mini runs/other
        formosa serve smollm2-135m --template chatml --slots 4
        FORMOSA_SERVE_API_KEY=… formosa serve runs/mini --host 0.0.0.0
        formosa serve hf:org/name --engine vllm --tensor-parallel 4
        formosa serve runs/mini --base-url http://gpu1:8000/v1 --base-url http://gpu2:8000/v1
        formosa serve check http://127.0.0.1:8000/v1

    MODEL is a folder, a run, a .gguf file, hf:org/name or a built-in name; several are served by
    their names; without one our own small model is. It listens on this machine only; another
    address needs a key.

    The chat page is at / on the same address. The tools of --tools and --mcp run for that page, in
    this process; clients of the API run their own.

    With --base-url nothing is loaded here: other servers (vLLM, llama.cpp) continue the text, and
    Formosa renders the prompts and reads the replies. MODEL is then where the template comes from.
    """


# The prefix by hand: the variables are FORMOSA_SERVE_API_KEY and so on, without the hidden name.
@serve.command(
    "model",
    cls=DefaultCommand,
    hidden=True,
    context_settings={"auto_envvar_prefix": "FORMOSA_SERVE"},
)
@click.argument("names", metavar="[MODEL]...", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535),
              help="Port; 0 takes any free one.")  # fmt: skip
@click.option("--api-key", show_envvar=True, help="Ask clients for this key.")
@click.option("--name", help="What clients call the model.  [default: the model's own name]")
@tool_options("the chat page")
@click.option(
    "--tool-log",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append every call that the page runs and its result, as JSON lines.",
)
@click.option("--no-pages", is_flag=True, help="Serve the API alone.")  # fmt: skip
@click.option("--queue", default=64, show_default=True, type=click.IntRange(min=0),
              help="Requests that may wait; more get 503 and the time to come again.")  # fmt: skip
@click.option("--grace", default=10.0, show_default=True, type=click.FloatRange(min=0),
              help="Seconds that running replies get when the server stops.")  # fmt: skip
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Append each request and reply with its raw text, as JSON lines.")  # fmt: skip
@click.option("--base-url", "base_urls", multiple=True, metavar="URL",
              help="Let this server continue the text. Several share the work.")  # fmt: skip
@click.option("--base-key", show_envvar=True, help="API key for --base-url.")
@engine_options
@command_output
def serve_model(
    out: Output,
    names: tuple[str, ...],
    host: str,
    port: int,
    api_key: str | None,
    name: str | None,
    tool_files: tuple[Path, ...],
    servers: tuple[str, ...],
    tool_log: Path | None,
    no_pages: bool,
    queue: int,
    grace: float,
    record: Path | None,
    base_urls: tuple[str, ...],
    base_key: str | None,
    engine: dict[str, Any],
) -> None:
    """Serve models with the OpenAI API, until Ctrl-C."""
    if not names and not base_urls:
        names = (named_or_default(None, say=out.say),)
        engine = {**engine, "held": engine["held"] is not False}
    alone = {"--name": name, "--base-url": base_urls, "--adapter": engine["adapters"]}
    if len(names) > 1 and (given := [option for option, value in alone.items() if value]):
        raise click.UsageError(f"{given[0]} is for one model, and {len(names)} are named.")
    if no_pages and (tool_files or servers or tool_log):
        raise click.UsageError("Tools run for the chat page, and --no-pages leaves it out.")
    from formosa.serve.queue import Limits
    from formosa.serve.run import check_host, run_server
    from formosa.tools.log import ToolLog
    from formosa.tools.registry import Registry, load_tools

    check_host(host, api_key)
    registry = Registry(item for path in tool_files for item in load_tools(path))
    elsewhere: dict[str, Any] = {}
    if base_urls:
        elsewhere = {"base_url": base_urls, "api_key": base_key, "raw": True}
    engine = {**engine, **elsewhere, "held": bool(engine["held"])}
    models = _opened(names or ("",), engine, name, out)
    served = list(models)

    def started(url: str) -> None:
        what = f"{', '.join(served)} {'is' if len(served) == 1 else 'are'} served at {url}"
        page = None if no_pages else f"{url.removesuffix('/v1')}/chat"
        about = f"{what}\nChat at {page}" if page else what
        value = {"url": url, "model": served[0], "models": served, "chat": page}
        out.data(value, f"{about}\n\n{_curl(url, api_key)}\n")
        out.say("Ctrl-C ends it.")

    with ExitStack() as stack:
        log = stack.enter_context(ToolLog(tool_log)) if tool_log is not None else None
        run_server(
            models,
            host=host,
            port=port,
            api_key=api_key,
            limits=Limits(waiting=queue),
            record=record,
            grace=grace,
            started=started,
            pages=None if no_pages else _pages(registry, servers, log, bool(api_key), out),
        )


def _opened(
    names: tuple[str, ...], options: dict[str, Any], name: str | None, out: Output
) -> dict[str, ChatModel]:
    """The models and their adapters, by the names that clients use."""
    from formosa.engines.open import open_chat, with_adapters

    models: dict[str, ChatModel] = {}
    for asked in names:
        chat = open_chat(asked, **options, say=out.say)
        for own, found in with_adapters(chat).items():
            called = name if name and found is chat else own
            if called in models:
                raise UserError(
                    f"Two models are called {called}.",
                    "serve them one by one, each with its own --port and --name",
                )
            models[called] = found
    return models


def _pages(
    registry: Registry, servers: tuple[str, ...], record: Record | None, keyed: bool, out: Output
) -> Pages:
    from formosa.web.chat.pages import chat_pages

    @asynccontextmanager
    async def connected() -> AsyncIterator[None]:
        """In the event loop of the server, where the tools run."""
        if not servers:
            yield
            return
        from formosa.tools.mcp import mcp_tools

        async with mcp_tools(*servers, say=out.say) as found:
            for item in found:
                registry.add(item)
            yield

    return chat_pages(registry, record=record, keyed=keyed, around=connected)


def _curl(url: str, api_key: str | None) -> str:
    key = " -H 'Authorization: Bearer '$FORMOSA_SERVE_API_KEY" if api_key else ""
    question = '[{"role": "user", "content": "你好，請介紹台北。"}]'
    body = f'{{"messages": {question}, "temperature": 0, "max_tokens": 100}}'
    return f"curl {url}/chat/completions -H 'Content-Type: application/json'{key} -d '{body}'"


serve.add_command(check)
serve.add_command(parrot)
