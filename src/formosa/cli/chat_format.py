"""`formosa chat render` and `chat parse`: the format, both ways."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from formosa.chat.message import Message, Tool
from formosa.chat.parser import parse_reply
from formosa.chat.template import FAMILIES, ChatTemplate, Rendered
from formosa.cli.output import Output, command_output
from formosa.cli.session import visible
from formosa.errors import DataError, UserError


@click.command()
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


@click.command()
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
