"""`formosa chat MODEL`: talk in the terminal.

A group that works as a command: what is not the name of a subcommand is the model to talk to.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from formosa.chat.template import FAMILIES
from formosa.cli.chat_format import parse, render
from formosa.cli.output import Output, command_output
from formosa.cli.session import Session
from formosa.engines.protocol import Sampling
from formosa.tools.registry import Registry, load_tools


class ChatGroup(click.Group):
    """Subcommands by name; anything else goes to `talk`, whose options are shown as its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {*self.commands, *self.get_help_option_names(ctx)}
        if args and args[0] not in own:
            args = [talk.name or "", *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[OPTIONS] [MODEL]")
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...", prefix="   or: ")
        self.format_help_text(ctx, formatter)
        talk.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(cls=ChatGroup)
def chat() -> None:
    """Talk to a model in the terminal

    \b
        formosa chat smollm2-135m
        formosa chat runs/mini --tools examples/tools_weather.py
        formosa chat --base-url http://127.0.0.1:8000/v1
        echo 台北氣溫如何？ | formosa chat runs/mini --json

    MODEL is a folder, a run, a .gguf file, hf:org/name or a built-in name. With --base-url it is
    the name of the model on that server. Type /help in the chat.
    """


class Talk(click.Command):
    """Shows itself as `formosa chat`: nobody types its own name."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        path = ctx.parent.command_path if ctx.parent else ctx.command_path
        formatter.write_usage(path, " ".join(self.collect_usage_pieces(ctx)))


# The prefix by hand: the variables are FORMOSA_CHAT_BASE_URL and so on, without the hidden name.
@chat.command(
    "talk", cls=Talk, hidden=True, context_settings={"auto_envvar_prefix": "FORMOSA_CHAT"}
)
@click.argument("model", required=False)
@click.option(
    "--tools",
    "tool_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="Let the model call the @tool functions of this file. Runs the file. May be repeated.",
)
@click.option("--base-url", metavar="URL", help="Ask a server with the OpenAI API instead.")
@click.option("--api-key", metavar="KEY", help="For --base-url; better as FORMOSA_CHAT_API_KEY.")
@click.option("--system", metavar="TEXT", help="System prompt. None by default.")
@click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), default=1024, show_default=True)
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
    base_url: str | None,
    api_key: str | None,
    system: str | None,
    temperature: float,
    max_tokens: int,
    template: str | None,
) -> None:
    """Talk to a model in the terminal."""
    if not model and not base_url:
        raise click.UsageError("Name a model, or a server with --base-url.")
    registry = Registry(item for path in tool_files for item in load_tools(path))
    from formosa.engines.open import open_chat

    chat_model = open_chat(
        model or "", base_url=base_url, api_key=api_key, template=template, say=out.say
    )
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens)
    with contextlib.closing(Session(out, chat_model, registry, sampling, system or "")) as session:
        session.run()


chat.add_command(parse)
chat.add_command(render)
