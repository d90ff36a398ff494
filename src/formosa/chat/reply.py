"""What a parser says about a reply: pieces of text, whole calls, and those it could not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from formosa.chat.message import Message, ToolCall


class Delta(NamedTuple):
    """A piece of reasoning or content. `broken`: the text of a call that could not be read."""

    kind: Literal["reasoning", "content"]
    text: str
    broken: bool = False


class Defect(NamedTuple):
    """What was wrong with a call that came back as text, and that text."""

    problem: str
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a whole reply says."""

    message: Message
    defects: tuple[Defect, ...] = ()


Event = Delta | ToolCall
