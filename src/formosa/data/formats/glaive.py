"""`glaive`: glaive-function-calling, a dialogue written as one text with the tools in another.

    system   SYSTEM: You are a helpful assistant with access to the following functions. Use them if
             required - {…} {…}
    chat     USER: … ASSISTANT: … <functioncall> {"name": …, "arguments": '{…}'} <|endoftext|>
             FUNCTION RESPONSE: {…}

The arguments stand between single quotes, in which the JSON is kept as it is spelled. The sentence
that introduces the functions is the format's own and left out; any other system text is kept.
"""

from __future__ import annotations

import re
from typing import Any

from formosa.chat.message import Message, Tool, ToolCall
from formosa.data.formats import spelling
from formosa.data.formats.draft import Draft, Format, Row
from formosa.data.formats.fields import calls_in, id_of, read_tools, shown
from formosa.data.formats.problems import BAD_CALL, RowError
from formosa.errors import MessageError

CALL, END = "<functioncall>", "<|endoftext|>"
_SPEAKER = re.compile(r"(?:\A|\n)[ \t]*(USER|ASSISTANT|FUNCTION RESPONSE):[ \t]*")
_INTRODUCTION = re.compile(
    r"You are an? helpful assistant (?:with|who has) access to the following functions[^{\[\n]*",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"""\{\s*"name"\s*:\s*(?P<name>"(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*'(?P<arguments>.*)'\s*\}\Z""",
    re.DOTALL,
)


def read_system(text: str) -> tuple[str, tuple[Tool, ...]]:
    """A system text as (what is left of it, the functions that it lists).

    Raises:
        MessageError: what follows the introduction is no list of functions.
    """
    text = text.strip().removeprefix("SYSTEM:").strip()
    found = _INTRODUCTION.search(text)
    if not found:
        return text, ()
    tools = read_tools(text[found.end() :].strip(), "system")
    return text[: found.start()].strip(), tools


def read_call(text: str, path: str) -> list[ToolCall]:
    """The calls behind `<functioncall>`."""
    text = text.strip()
    found = _QUOTED.match(text)
    if not found:
        return calls_in(text, path)
    arguments = found["arguments"]
    for spelled in (arguments, arguments.replace("\\'", "'")):
        try:
            if isinstance(spelling.loads(spelled), dict):
                return [ToolCall(spelling.loads(found["name"]), spelled)]
        except ValueError:
            continue
    raise RowError(path, f"arguments that are no JSON object: {shown(arguments)}", BAD_CALL)


def _convert(value: Row, setting: Any) -> Draft:
    system, tools = read_system(value["system"])
    messages = [Message("system", system)] if system else []
    pieces = _SPEAKER.split(value["chat"])
    if pieces[0].strip():
        raise MessageError("chat", f"words of nobody: {shown(pieces[0].strip())}")
    for speaker, text in zip(pieces[1::2], pieces[2::2], strict=True):
        path = f"messages[{len(messages)}]"
        text = text.strip().removesuffix(END).strip()
        if END in text:
            raise MessageError(path, f"{END} within a turn")
        if speaker != "ASSISTANT":
            messages.append(Message("user" if speaker == "USER" else "tool", text))
            continue
        words, *calls = text.split(CALL)
        read = tuple(call for piece in calls for call in read_call(piece, path))
        messages.append(Message("assistant", words.strip(), tool_calls=read))
    return Draft(messages=tuple(messages), tools=tools, id=id_of(value.get("id")))


def _fits(value: Row) -> bool:
    chat = value.get("chat")
    return isinstance(value.get("system"), str) and isinstance(chat, str) and "USER:" in chat


FORMAT = Format(
    name="glaive",
    about="Glaive dialogues (system, chat with <functioncall>)",
    fields=frozenset({"system", "chat", "id"}),
    fits=_fits,
    convert=_convert,
)
