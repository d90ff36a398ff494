"""A reply in the words of `/v1/responses`: items in the order in which the model wrote them.

The object and the events come from the same steps, so a streamed response adds up to the whole.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from formosa.chat.message import ToolCall
from formosa.chat.reply import Delta
from formosa.engines.protocol import ChatEvent, ChatReply, Finished
from formosa.serve.protocol import json_bytes
from formosa.serve.responses import ResponseBody

Ended = Callable[[], Awaitable[tuple[list[ChatReply], int | None]]]


class ResponseAnswer:
    """One response on its way to a client. Its items are in the order in which the model wrote."""

    def __init__(self, model: str, asked: ResponseBody) -> None:
        self.id = f"resp_{secrets.token_hex(12)}"
        self._asked = asked
        self._model = model
        self._created = int(time.time())
        self._items: list[dict[str, Any]] = []
        self._number = 0
        self._open = False  # the last item is text that may go on
        self._cut = False  # the reply ended before the model did

    def whole(self, replies: Sequence[ChatReply], reasoning: int | None) -> dict[str, Any]:
        self.close()
        (reply,) = replies
        cut = reply.finish == "length"
        usage = reply.usage and {
            "input_tokens": reply.usage.prompt,
            "input_tokens_details": {"cached_tokens": reply.usage.cached},
            "output_tokens": reply.usage.completion,
            "total_tokens": reply.usage.prompt + reply.usage.completion,
        }
        if usage and reasoning is not None:
            usage["output_tokens_details"] = {"reasoning_tokens": reasoning}
        details = {"reason": "max_output_tokens"} if cut else None
        return self._object("incomplete" if cut else "completed", usage, details)

    def _object(self, status: str, usage: Any = None, details: Any = None) -> dict[str, Any]:
        asked = self._asked
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": details,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "model": self._model,
            "output": self._items,
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": asked.reasoning and asked.reasoning.effort, "summary": None},
            "store": False,
            "temperature": 1.0 if asked.temperature is None else asked.temperature,
            "text": {"format": (asked.text and asked.text.format) or {"type": "text"}},
            "tool_choice": asked.tool_choice or "auto",
            "tools": asked.tools or [],
            "top_p": 1.0 if asked.top_p is None else asked.top_p,
            "truncation": "disabled",
            "usage": usage,
            "metadata": asked.metadata or {},
        }

    async def sse(
        self, events: AsyncGenerator[tuple[int, ChatEvent], None], ended: Ended
    ) -> AsyncGenerator[bytes, None]:
        """Server-sent events, the last of which holds the whole response."""
        for kind in ("response.created", "response.in_progress"):
            yield self._sse(kind, response=self._object("in_progress"))
        async with aclosing(events):
            async for _, event in events:
                for kind, fields in self.add(event):
                    yield self._sse(kind, **fields)
        for kind, fields in self.close():
            yield self._sse(kind, **fields)
        response = self.whole(*await ended())
        yield self._sse(f"response.{response['status']}", response=response)

    def _sse(self, kind: str, **fields: Any) -> bytes:
        value = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {kind}\ndata: ".encode() + json_bytes(value) + b"\n\n"

    def add(self, event: ChatEvent) -> list[tuple[str, dict[str, Any]]]:
        """Take what the model wrote; the events that tell of it."""
        if isinstance(event, Delta):
            kind = "message" if event.kind == "content" else "reasoning"
            told = []
            if not self._open or self._items[-1]["type"] != kind:
                told = [*self.close(), *self._begin(kind)]
            self._items[-1]["content"][0]["text"] += event.text
            return [*told, (f"response.{_text(kind)}.delta", self._fields(delta=event.text))]
        if isinstance(event, ToolCall):
            told = self.close()
            item = {
                "id": f"fc_{secrets.token_hex(12)}",
                "type": "function_call",
                "call_id": event.id,
                "name": event.name,
                "arguments": "",
                "status": "in_progress",
            }
            at = {"item_id": item["id"], "output_index": len(self._items)}
            done = {**item, "arguments": event.arguments, "status": "completed"}
            self._items.append(done)
            arguments = "response.function_call_arguments"
            return [
                *told,
                ("response.output_item.added", {"output_index": at["output_index"], "item": item}),
                (f"{arguments}.delta", {**at, "delta": event.arguments}),
                (f"{arguments}.done", {**at, "name": event.name, "arguments": event.arguments}),
                ("response.output_item.done", {"output_index": at["output_index"], "item": done}),
            ]
        if isinstance(event, Finished):
            self._cut = event.reply.finish == "length"
        return []

    def close(self) -> list[tuple[str, dict[str, Any]]]:
        """End the text that is open, if any."""
        if not self._open:
            return []
        self._open = False
        item = self._items[-1]
        item["status"] = "incomplete" if self._cut else "completed"
        (part,) = item["content"]
        done = self._fields(text=part["text"])
        return [
            (f"response.{_text(item['type'])}.done", done),
            ("response.content_part.done", self._fields(part=part)),
            ("response.output_item.done", {"output_index": len(self._items) - 1, "item": item}),
        ]

    def _begin(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        part: dict[str, Any]
        item: dict[str, Any]
        if kind == "message":
            item = {"id": f"msg_{secrets.token_hex(12)}", "type": kind, "role": "assistant"}
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        else:
            item = {"id": f"rs_{secrets.token_hex(12)}", "type": kind, "summary": []}
            part = {"type": "reasoning_text", "text": ""}
        self._items.append({**item, "status": "in_progress", "content": [part]})
        self._open = True
        index = len(self._items) - 1
        added = {**item, "status": "in_progress", "content": []}
        return [
            ("response.output_item.added", {"output_index": index, "item": added}),
            ("response.content_part.added", self._fields(part=dict(part))),
        ]

    def _fields(self, **more: Any) -> dict[str, Any]:
        item = self._items[-1]
        where = {"item_id": item["id"], "output_index": len(self._items) - 1, "content_index": 0}
        extra: dict[str, Any] = (
            {"logprobs": []} if item["type"] == "message" and "part" not in more else {}
        )
        return {**where, **more, **extra}


def _text(kind: str) -> str:
    return "output_text" if kind == "message" else "reasoning_text"
