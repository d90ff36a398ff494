"""Refuse a message that the format can't hold, before a model is trained on it.

The rule is the promise itself: `parse(render(message)) == message`. And no text of a conversation
may hold the control tokens of the model's family: they would end a turn from inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from formosa.chat.message import Message, Tool, with_call_ids
from formosa.chat.parser import parse_reply
from formosa.chat.tags import CALL, END_THINK, THINK
from formosa.chat.template import ChatTemplate, Family
from formosa.errors import MessageError


def write_reply(message: Message, template: ChatTemplate | None = None) -> str:
    """The assistant's own words as text: what the model generates, without the stop token.

    Raises:
        MessageError: the template does not say what the assistant writes.
    """
    template = template or ChatTemplate.formosa()
    rendered = template.render([message])
    if len(rendered.spans) != 1:
        raise MessageError(
            "message", "the template marks no words of the assistant in it ({% generation %})"
        )
    (start, end) = rendered.spans[0]
    return rendered.text[start:end].removesuffix(template.stop)


def check_reply(message: Message, path: str = "message") -> None:
    """Raise unless reading back what is written gives the same message (ids of calls aside).

    Raises:
        MessageError: with what does not survive.
    """
    if _plainly_survives(message):
        return
    reply = parse_reply(write_reply(message))
    wanted = replace(
        message,
        tool_calls=with_call_ids([replace(call, id="") for call in message.tool_calls]),
    )
    for field in ("reasoning", "content", "tool_calls"):
        if getattr(reply.message, field) != getattr(wanted, field):
            raise MessageError(f"{path}.{field}", _reason(message, field))


def _plainly_survives(message: Message) -> bool:
    """Words in which no tag can begin, and no white space that is a tag's. Most replies of a data
    set are such, and they are known to survive without writing and reading them."""
    return not message.tool_calls and all(
        "<" not in text and text == text.strip() for text in (message.reasoning, message.content)
    )


def _reason(message: Message, field: str) -> str:
    """Why reading back what was written gives something else."""
    text = "" if field == "tool_calls" else str(getattr(message, field))
    if field == "content" and text.isspace() and message.tool_calls:
        return "white space alone beside calls is left out when it is read back"
    for tag in (THINK, END_THINK, CALL):
        if tag in text:
            return f"holds {tag!r} where it would be read as a tag"
    return "cannot be written: reading it back gives something else"


def check_conversation(messages: Sequence[Message], tools: Sequence[Tool], family: Family) -> None:
    """Raise unless every message can be written for `family` and read back.

    Raises:
        MessageError: with the path of the field that can't.
    """
    tokens = (family.bos, family.open, family.head, family.close)
    control = [token for token in tokens if token.strip()]
    for i, message in enumerate(messages):
        message.check(f"messages[{i}]")
        texts = {"content": message.content, "reasoning": message.reasoning, "name": message.name}
        for j, call in enumerate(message.tool_calls):
            texts[f"tool_calls[{j}].name"] = call.name
            texts[f"tool_calls[{j}].arguments"] = call.arguments
        for field, text in texts.items():
            _refuse_control(text, control, f"messages[{i}].{field}")
        if message.role == "assistant":
            check_reply(message, f"messages[{i}]")
    for i, tool in enumerate(tools):
        for field in ("name", "description", "parameters"):
            _refuse_control(getattr(tool, field), control, f"tools[{i}].{field}")


def _refuse_control(text: str, control: Sequence[str], path: str) -> None:
    for token in control:
        if token.strip() in text:
            raise MessageError(path, f"holds the control token {token.strip()!r}")
