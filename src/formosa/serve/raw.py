"""What the model really wrote, for those who ask: a field of ours beside OpenAI's.

    {"messages": [...], "formosa": {"raw": true}}

The answer then has `formosa` beside `choices`; a stream has one chunk more, with no choices, before
that with the usage:

    {"prompt": "<|im_start|>user…",
     "replies": [{"index": 0, "text": "<think>…", "defects": [{"problem": "…", "text": "…"}]}]}

Who does not ask gets nothing: other clients see OpenAI's fields only. Prompt and text are null
where another server rendered and parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formosa.engines.protocol import ChatModel, ChatReply, ChatRequest, Prompt
from formosa.engines.templated import TemplatedChat
from formosa.serve.protocol import Body


class FormosaFields(Body):
    """What clients may ask beyond OpenAI's API."""

    raw: bool | None = None


def raw_fields(
    chat: ChatModel, requests: Sequence[ChatRequest], replies: Sequence[ChatReply]
) -> dict[str, Any]:
    """The prompt of these requests, which differ in their seeds only, and their raw replies."""
    prompt = rendered_prompt(chat, requests[0])
    return {
        "prompt": prompt if prompt is None else prompt_text(prompt),
        "replies": [
            {
                "index": index,
                "text": None if prompt is None else reply.text,
                "defects": [defect._asdict() for defect in reply.defects],
            }
            for index, reply in enumerate(replies)
        ],
    }


def rendered_prompt(chat: ChatModel, request: ChatRequest) -> Prompt | None:
    """The prompt that a chat model made of a request; None where another server made it."""
    return chat.prompt(request) if isinstance(chat, TemplatedChat) else None


def prompt_text(prompt: Prompt) -> str:
    """All pieces in one."""
    return prompt if isinstance(prompt, str) else "".join(prompt)
