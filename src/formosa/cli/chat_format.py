"""`formosa chat render` and `chat parse`: the format, both ways."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from formosa.chat.message import Message, Tool
from formosa.chat.parser import parse_reply
from formosa.chat.template import FAMILIES, ChatTemplate, Rendered
from formosa.cli.format_model import FormatModel, open_format_model, render_elsewhere
from formosa.cli.output import Output, command_output, visible
from formosa.errors import DataError, UserError

AROUND = 30  # characters shown on each side of a difference

_model_option = click.option(
    "--model",
    metavar="MODEL",
    help="Show the token ids of this model: a .gguf file, a folder, hf:org/name, a built-in name.",
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--template",
    metavar="NAME|FILE",
    help=f"A family ({', '.join(FAMILIES)}), or a file with a Jinja template. Without it, the "
    "template of --model, or chatml.",
)
@_model_option
@click.option("--prompt", is_flag=True, help="End where the model would begin its reply.")
@click.option("--check", is_flag=True, help="Compare the prompt with a second renderer's.")
@command_output
def render(
    out: Output, file: Path, template: str | None, model: str | None, prompt: bool, check: bool
) -> None:
    """Show the text that messages and tools become, and what of it is trained on

    \b
        formosa chat render row.json
        formosa chat render row.json --template llama3 --json
        formosa chat render row.json --model smollm2-135m --check
        formosa chat render row.json --template models/my/chat_template.jinja --check

    FILE holds {"messages": [...], "tools": [...]} or a list of messages, in the OpenAI shape;
    - is standard input. The text goes to standard output, byte for byte. The second renderer is
    llama.cpp for the template of a GGUF file, and transformers for any other.
    """
    messages, tools = _conversation(_read_text(file), file)
    with _opened(out, model) as opened:
        chosen = _template(template, opened)
        rendered = chosen.render(messages, tools, add_generation_prompt=prompt)
        value: dict[str, Any] = {
            "text": rendered.text,
            "spans": [list(span) for span in rendered.spans],
            "template": template or model or "chatml",
            "template_sha256": chosen.sha256,
        }
        if opened:
            value["tokens"] = _tokens(rendered, opened)
        if check:
            value["check"] = _compared(chosen, opened, messages, tools)
    out.data(value) if out.json_mode else _show_rendered(out, rendered, value)
    if check and not value["check"]["same"]:
        raise UserError("The second renderer writes another prompt.")


def _show_rendered(out: Output, rendered: Rendered, value: dict[str, Any]) -> None:
    text, colours = rendered.text, sys.stdout.isatty()
    if colours:
        for part, learned in _parts(rendered):
            shown = visible(part)
            out.text(click.style(shown, fg="green") if learned else shown)
        out.text("" if text.endswith("\n") else "\n")
    else:
        out.text(text)
    trained = sum(end - start for start, end in rendered.spans)
    spans = ", ".join(f"{start}–{end}" for start, end in rendered.spans) or "none"
    out.say(f"trained: {trained} of {len(text)} characters; spans: {spans}")
    if tokens := value.get("tokens"):
        _show_tokens(out, tokens)
        count = sum(1 for token in tokens if token["trained"])
        out.say(f"tokens: {len(tokens)}, trained: {count}")
    if found := value.get("check"):
        if found["same"]:
            out.say(f"{found['renderer']} renders the same {found['characters']} characters")
        else:
            out.say(f"first difference at character {found['position']}:")
            out.say(f"  formosa: {found['ours']!r}")
            out.say(f"  {found['renderer']}: {found['theirs']!r}")


def _show_tokens(out: Output, tokens: Sequence[dict[str, Any]]) -> None:
    """Ids with their texts, on standard error: the text itself is the result."""
    words = []
    for token in tokens:
        word = f"{token['id']}:{json.dumps(visible(token['text']), ensure_ascii=False)}"
        green = token.get("trained") and sys.stderr.isatty()
        words.append(click.style(word, fg="green") if green else word)
    click.echo(" ".join(words), err=True, color=None)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--reasoning-open", is_flag=True, help="The prompt itself ended with <think>.")
@_model_option
@command_output
def parse(out: Output, file: Path, reasoning_open: bool, model: str | None) -> None:
    """Read what a model wrote as a message: reasoning, content, tool calls

    \b
        formosa chat parse reply.txt
        formosa chat parse reply.txt --model smollm2-135m
        echo '<tool_call>{"name": "f", "arguments": {}}</tool_call>' | formosa chat parse -

    Prints the message in the OpenAI shape, how the reply finishes, and the defects: calls that
    could not be read and so came back as content. FILE holds the text, or JSON with the keys
    "text" and "reasoning_open"; - is standard input.
    """
    text = _read_text(file)
    text, opened_there = _recorded(text) or (text, False)
    reply = parse_reply(text, reasoning_open=reasoning_open or opened_there)
    value: dict[str, Any] = {
        "message": reply.message.to_openai(),
        "finish": "tool_calls" if reply.message.tool_calls else "stop",
        "defects": [defect._asdict() for defect in reply.defects],
    }
    if model:
        with _opened(out, model) as opened:
            assert opened is not None
            value["tokens"] = [token._asdict() for token in opened.tokens(text)]
    out.data(value)
    for defect in reply.defects:
        out.say(f"defect: {defect.problem}")


def _recorded(text: str) -> tuple[str, bool] | None:
    """Text and opening of a reply that was kept as JSON. Both keys are asked for: a reply may be
    JSON itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not {"text", "reasoning_open"} <= value.keys():
        return None
    if not isinstance(value["text"], str) or not isinstance(value["reasoning_open"], bool):
        return None
    return value["text"], value["reasoning_open"]


# -- with a model ---------------------------------------------------------------------------------


@contextmanager
def _opened(out: Output, name: str | None) -> Iterator[FormatModel | None]:
    if name is None:
        yield None
        return
    model = open_format_model(name, say=out.say)
    try:
        yield model
    finally:
        model.close()


def _parts(rendered: Rendered) -> Iterator[tuple[str, bool]]:
    """The text, cut where what is trained begins and ends."""
    position = 0
    for start, end in rendered.spans:
        yield rendered.text[position:start], False
        yield rendered.text[start:end], True
        position = end
    yield rendered.text[position:], False


def _tokens(rendered: Rendered, model: FormatModel) -> list[dict[str, Any]]:
    """Token ids as in training: each part is tokenised by itself."""
    return [
        {**token._asdict(), "trained": trained}
        for part, trained in _parts(rendered)
        if part
        for token in model.tokens(part)
    ]


def _compared(
    template: ChatTemplate,
    model: FormatModel | None,
    messages: Sequence[Message],
    tools: Sequence[Tool],
) -> dict[str, Any]:
    """Our prompt beside a second renderer's, and where they first differ."""
    own = model and model.template and model.template.source == template.source
    renderer = model.renderer if model and own else "transformers"
    if renderer == "llama.cpp":  # it goes on with a last message of the assistant
        while messages and messages[-1].role == "assistant":
            messages = messages[:-1]
    ours = template.prompt(messages, tools)
    if model and own:
        theirs = model.prompt(messages, tools)
    else:
        theirs = render_elsewhere(template, messages, tools)
    if ours == theirs:
        return {"renderer": renderer, "same": True, "characters": len(ours)}
    pairs = enumerate(zip(ours, theirs, strict=False))
    shorter = min(len(ours), len(theirs))
    position = next((i for i, (a, b) in pairs if a != b), shorter)
    around = slice(max(0, position - AROUND), position + AROUND)
    return {
        "renderer": renderer,
        "same": False,
        "position": position,
        "ours": ours[around],
        "theirs": theirs[around],
    }


# -- files ----------------------------------------------------------------------------------------


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


def _template(name: str | None, model: FormatModel | None) -> ChatTemplate:
    if name is None and model:
        if model.template is None:
            raise UserError(
                "The model has no chat template.", f"name one: {', '.join(FAMILIES)}, or a file"
            )
        return model.template
    name = name or "chatml"
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
