"""`formosa chat MODEL`: talk in the terminal.

A group that works as a command: what is not the name of a subcommand is the model to talk to.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from formosa.chat.template import FAMILIES
from formosa.cli.chat_format import parse, render
from formosa.cli.default_group import DefaultCommand, DefaultGroup
from formosa.cli.default_model import named_or_default
from formosa.cli.history import new_history
from formosa.cli.output import Output, command_output
from formosa.cli.session import Session
from formosa.cli.tool_options import tool_options
from formosa.engines.protocol import Sampling
from formosa.tools.demonstration import QUESTION
from formosa.tools.demonstration import REGISTRY as DEMONSTRATION
from formosa.tools.log import ToolLog
from formosa.tools.registry import Registry, load_tools


@click.group(cls=DefaultGroup)
def chat() -> None:
    """Talk to a model in the terminal

    \b
        formosa chat
        formosa chat smollm2-135m
        formosa chat runs/mini --tools examples/tools_weather.py
        formosa chat runs/mini --mcp "npx -y some-mcp-server" --log calls.jsonl
        formosa chat --base-url http://127.0.0.1:8000/v1
        echo 台北氣溫如何？ | formosa chat runs/mini --json

    MODEL is a folder, a run, a .gguf file, hf:org/name or a built-in name. With --base-url it is
    the name of the model on that server. Without it our own small model answers, and has two tools
    with invented results to try it with. Type /help in the chat.

    A tool that may change things asks before it runs. What is said at the keyboard is kept under
    your state folder (~/.local/state/formosa/chats); --history names another file, also to go on
    with one.
    """


# The prefix by hand: the variables are FORMOSA_CHAT_BASE_URL and so on, without the hidden name.
@chat.command(
    "talk", cls=DefaultCommand, hidden=True, context_settings={"auto_envvar_prefix": "FORMOSA_CHAT"}
)
@click.argument("model", required=False)
@tool_options("the model")
@click.option(
    "--yes",
    is_flag=True,
    allow_from_autoenv=False,  # consent is given where it is needed, not once for ever
    help="Run tools that ask for consent without asking.",
)
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append every call and its result, as JSON lines.",
)
@click.option(
    "--history",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.json",
    help="Keep the conversation here, and go on with the one that is there.",
)
@click.option("--no-history", is_flag=True, help="Keep nothing.")
@click.option("--base-url", metavar="URL", help="Ask a server with the OpenAI API instead.")
@click.option("--api-key", metavar="KEY", help="For --base-url; better as FORMOSA_CHAT_API_KEY.")
@click.option("--system", metavar="TEXT", help="System prompt. None by default.")
@click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), default=1024, show_default=True)
@click.option("--context", type=click.IntRange(min=1), help="Tokens of the context.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads. All cores by default.")
@click.option(
    "--hold-calls/--free-calls",
    "held",
    default=None,
    help="Hold calls to the schemas of their tools, by a grammar. Where no model is named: held.",
)
@click.option(
    "--template",
    type=click.Choice(sorted(FAMILIES)),
    help="Use Formosa's format with this family's control tokens, not the model's own template.",
)
@command_output
def talk(
    out: Output,
    model: str | None,
    tool_files: tuple[Path, ...],
    servers: tuple[str, ...],
    yes: bool,
    log: Path | None,
    history: Path | None,
    no_history: bool,
    system: str | None,
    temperature: float,
    max_tokens: int,
    **engine: Any,
) -> None:
    """Talk to a model in the terminal."""
    chosen = {name: value for name, value in engine.items() if value is not None}
    unnamed = not model and "base_url" not in chosen
    if unnamed:
        model = named_or_default(model, say=out.say)
        chosen.setdefault("held", True)  # as it was measured: a small model's types need it
    if "base_url" in chosen and (local := {"context", "threads"} & chosen.keys()):
        raise click.UsageError(f"--{min(local)} is for a model loaded here, not for --base-url.")
    if history is not None and (no_history or history.suffix == ".jsonl"):
        problem = "and --no-history exclude each other" if no_history else "is one .json file"
        raise click.UsageError(f"--history {problem}.")
    if history is None and not no_history and sys.stdin.isatty():
        history = new_history()
    registry = Registry(item for path in tool_files for item in load_tools(path))
    if unnamed and not tool_files and not servers:
        registry = Registry(DEMONSTRATION)
        names = " and ".join(item.tool.name for item in registry)
        out.say(f"tools to try: {names}, with invented results; your own: --tools FILE.py")
        out.say(f"ask, for example: {QUESTION}")

    def say(text: str) -> None:
        out.say(text)

    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        try:
            record = opened.enter_context(ToolLog(log)) if log is not None else None
            if servers:
                from formosa.tools.mcp import mcp_tools

                found = opened.enter_async_context(mcp_tools(*servers, say=say))
                for item in runner.run(found):
                    registry.add(item)
            from formosa.engines.open import open_chat

            chat_model = open_chat(model or "", tools=len(registry) > 0, say=say, **chosen)
            opened.push_async_callback(chat_model.aclose)
            Session(
                out,
                chat_model,
                registry,
                Sampling(temperature=temperature, max_tokens=max_tokens),
                system or "",
                runner=runner,
                history=history,
                record=record,
                yes=yes,
            ).run()
        finally:
            runner.run(opened.aclose())


chat.add_command(parse)
chat.add_command(render)
