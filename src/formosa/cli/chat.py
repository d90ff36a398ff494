"""`formosa chat MODEL`: talk. `chat render`, `chat parse`: the format, both ways.

A group that works as a command: what is not the name of a subcommand is the model to talk to.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import click

from formosa.chat.message import Message, Tool
from formosa.chat.parser import parse_reply
from formosa.chat.template import FAMILIES, ChatTemplate, Rendered
from formosa.cli.output import Output, command_output
from formosa.cli.session import Session, visible
from formosa.engines.protocol import Sampling
from formosa.errors import DataError, UserError
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


@chat.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--template",
    default="chatml",
    show_default=True,
    metavar="NAME|FILE",
    help=f"A family ({', '.join(FAMILIES)}), or a file with a Jinja template.",
)
@click.option("--prompt", is_flag=True, help="End where the model would begin its reply.")
@command_output
def render(out: Output, file: Path, template: str, prompt: bool) -> None:
    """Show the text that messages and tools become, and what of it is trained on

    \b
        formosa chat render row.json
        formosa chat render row.json --template llama3 --json
        formosa chat render row.json --template models/my/chat_template.jinja

    FILE holds {"messages": [...], "tools": [...]} or a list of messages, in the OpenAI shape;
    - is standard input. The text goes to standard output, byte for byte.
    """
    messages, tools = _conversation(_read_text(file), file)
    chosen = _template(template)
    rendered = chosen.render(messages, tools, add_generation_prompt=prompt)
    value = {
        "text": rendered.text,
        "spans": [list(span) for span in rendered.spans],
        "template": template,
        "template_sha256": chosen.sha256,
    }
    out.data(value) if out.json_mode else _show_rendered(out, rendered)


def _show_rendered(out: Output, rendered: Rendered) -> None:
    text = rendered.text
    if sys.stdout.isatty():
        position = 0
        for start, end in rendered.spans:
            out.text(visible(text[position:start]))
            out.text(click.style(visible(text[start:end]), fg="green"))
            position = end
        out.text(visible(text[position:]) + ("" if text.endswith("\n") else "\n"))
    else:
        out.text(text)
    trained = sum(end - start for start, end in rendered.spans)
    spans = ", ".join(f"{start}–{end}" for start, end in rendered.spans) or "none"
    out.say(f"trained: {trained} of {len(text)} characters; spans: {spans}")


@chat.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--reasoning-open", is_flag=True, help="The prompt itself ended with <think>.")
@command_output
def parse(out: Output, file: Path, reasoning_open: bool) -> None:
    """Read what a model wrote as a message: reasoning, content, tool calls

    \b
        formosa chat parse reply.txt
        echo '<tool_call>{"name": "f", "arguments": {}}</tool_call>' | formosa chat parse -

    Prints the message in the OpenAI shape, and the defects: calls that could not be read and so
    came back as content. - is standard input.
    """
    reply = parse_reply(_read_text(file), reasoning_open=reasoning_open)
    defects = [defect._asdict() for defect in reply.defects]
    out.data({"message": reply.message.to_openai(), "defects": defects})
    for defect in reply.defects:
        out.say(f"defect: {defect.problem}")


def _conversation(text: str, file: Path) -> tuple[list[Message], list[Tool]]:
    try:
        value: Any = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}.") from error
    if isinstance(value, list):
        value = {"messages": value}
    messages = value.get("messages") if isinstance(value, dict) else None
    tools = value.get("tools") or [] if isinstance(value, dict) else []
    if not isinstance(messages, list) or not isinstance(tools, list):
        raise DataError(
            f"{file} holds no conversation.", 'write {"messages": [...], "tools": [...]}'
        )
    return (
        [Message.from_openai(item, f"messages[{i}]") for i, item in enumerate(messages)],
        [Tool.from_openai(item, f"tools[{i}]") for i, item in enumerate(tools)],
    )


def _template(name: str) -> ChatTemplate:
    if name in FAMILIES:
        return ChatTemplate.formosa(name)
    path = Path(name)
    if not path.is_file():
        raise UserError(
            f"{name!r} is neither a family nor a file.", f"families: {', '.join(FAMILIES)}"
        )
    return ChatTemplate.from_source(_read_text(path))


def _read_text(path: Path) -> str:
    """The text of a file or of standard input, with its own line ends."""
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}.") from error
