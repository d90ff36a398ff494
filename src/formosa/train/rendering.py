"""A sample as pieces of text, each encoded by itself: the ids of training are those of serving.

Text is cut in two kinds of places. Where a learnt turn begins and ends: there a server's prompt
ends and the generation begins, so no token may reach across. And inside words that only spell a
control token: a server cuts them so that a user's `<|im_end|>` stays words, and what a model
learns to read and to write must be the same (`chat/guard.py` does it for prompts). A turn that is
history only is not cut at its borders: a server tokenises it with the rest of the prompt.

Knows templates and text, no token ids.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from formosa.chat.guard import free_mark, holds, marked, spellings
from formosa.chat.message import Message, Tool
from formosa.chat.template import ChatTemplate, Rendered
from formosa.errors import DataError
from formosa.train.samples import Sample, assistant_turns


class Piece(NamedTuple):
    """Text that is encoded by itself, and whether the model learns to write it."""

    text: str
    learnt: bool


class Guard:
    """Renders samples so that no message makes a control token.

    Args:
        template: how conversations are written.
        control_tokens: those of the tokenizer's vocabulary, beside the template's own.
    """

    def __init__(self, template: ChatTemplate, control_tokens: Collection[str]) -> None:
        self.template = template
        self._tokens = template.control_tokens.union(control_tokens)
        self._spelled = spellings(self._tokens)

    def pieces(self, sample: Sample) -> list[Piece]:
        """The sample's text, cut; it ends with the last learnt turn.

        Raises:
            DataError: the template marks no turns, writes the beginning differently when asked to
                answer it, or rewrites words that spell a control token.
            MessageError: the template refused the conversation.
        """
        rendered, mark = self._render(sample.messages, sample.tools)
        turns = assistant_turns(sample.messages)
        if len(rendered.spans) != len(turns):
            raise DataError(
                f"the chat template marks {len(rendered.spans)} of {len(turns)} turns of the "
                "assistant as generated, so nobody knows what is to be learnt",
                "use one of Formosa's templates: they have {% generation %} around each turn",
            )
        learnt = set(sample.learnt)
        pieces: list[Piece] = []
        position = 0
        for turn, (start, end) in zip(turns, rendered.spans, strict=True):
            if turn not in learnt:
                continue
            self._check_prefix(sample, turn, rendered.text[:start], mark)
            for text, learn in ((rendered.text[position:start], False),
                                (rendered.text[start:end], True)):  # fmt: skip
                parts = text.split(mark) if mark else [text]
                pieces.extend(Piece(part, learn) for part in parts if part)
            position = end
        return pieces

    def texts(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[str]:
        """A conversation as a server reads it: cut only inside what spells a control token."""
        rendered, mark = self._render(messages, tools)
        return rendered.text.split(mark) if mark else [rendered.text]

    def _render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> tuple[Rendered, str]:
        """The text with its spans, and the mark that is to be cut out of it ("" for none)."""
        rendered = self.template.render(messages, tools)
        words = [_values(message) for message in messages]
        # The whole text spells every control token that the template writes: ask the words only.
        if not any(holds(value, self._spelled) for value in words) and not any(
            holds(tool.to_openai(), self._spelled) for tool in tools
        ):
            return rendered, ""
        mark = free_mark(rendered.text)
        if mark is not None:
            guarded = self.template.render(
                [_marked_message(message, self._tokens, mark) for message in messages],
                [_marked_tool(tool, self._tokens, mark) for tool in tools],
            )
            if guarded.text.replace(mark, "") == rendered.text:
                return guarded, mark
        raise DataError(
            "a message spells a control token, and the chat template rewrites it",
            "take it out of the text",
        )

    def _check_prefix(self, sample: Sample, turn: int, before: str, mark: str) -> None:
        """What a server would be asked must be what stands before the learnt turn."""
        if mark:
            before = before.replace(mark, "")
        prompt = self.template.prompt(sample.messages[:turn], sample.tools)
        if before != prompt:
            raise DataError(
                f"the template writes messages[:{turn}] differently when asked to "
                "answer them, so the model would be trained on another text than it is served",
                "choose a template that leaves earlier turns alone, or thinking: drop",
            )


def _values(message: Message) -> list[Any]:
    calls = [(call.name, call.arguments, call.id) for call in message.tool_calls]
    return [message.content, message.reasoning, message.name, message.tool_call_id, calls]


def _marked_message(message: Message, tokens: frozenset[str], mark: str) -> Message:
    """The message with a mark inside each control token that it spells."""

    def cut(text: str) -> str:
        return str(marked(text, tokens, mark))

    calls = tuple(
        replace(call, name=cut(call.name), arguments=cut(call.arguments), id=cut(call.id))
        for call in message.tool_calls
    )
    return replace(
        message,
        content=cut(message.content),
        reasoning=cut(message.reasoning),
        tool_calls=calls,
        tool_call_id=cut(message.tool_call_id),
        name=cut(message.name),
    )


def _marked_tool(tool: Tool, tokens: frozenset[str], mark: str) -> Tool:
    function = marked(tool.to_openai(), tokens, mark)["function"]
    return Tool.of(function["name"], function["description"], function["parameters"])


def text_of(pieces: Sequence[Piece]) -> str:
    """The pieces as one text."""
    return "".join(piece.text for piece in pieces)
