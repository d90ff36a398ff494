"""A log of what ran: one line of JSON for each call, appended as soon as its result is there.

    {"time": "2026-11-22T06:34:38Z", "id": "call_0", "name": "get_weather",
     "arguments": {"location": "台北"}, "ok": true, "seconds": 0.12, "confirmed": null,
     "size": 5, "content": "26 度，晴"}

Calls that were refused or stopped are there too, with `ok: false`. Knows calls and results;
nothing reads the log but people.

No secrets: a value whose key sounds like one (`password`, `api_key`, `token`, …) is written as
`***`, and only the file's owner may read it. Trade-off: a secret in the middle of a text is not
recognised, and `content` holds the first 500 characters of what a tool returned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from formosa.chat.message import ToolCall, json_text
from formosa.errors import MessageError
from formosa.files import Closing, JsonLines
from formosa.tools.runner import ToolResult

SHOWN = 500  # characters of a result, and of arguments that are no JSON object
_SECRET = re.compile(
    r"passw|passphrase|secret|api[_-]?key|token$|^auth(?!ors?$)|credential|private[_-]?key|cookie",
    re.IGNORECASE,
)


class ToolLog(Closing):
    """Appends to the log. Called with a call and its result: the `record` of `converse`.

    Raises:
        UserError: the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._lines = JsonLines(path, private=True)

    def __call__(self, call: ToolCall, result: ToolResult) -> None:
        self._lines.append(
            {
                "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                "id": result.id,
                "name": result.name,
                "arguments": _arguments(call),
                "ok": result.ok,
                "seconds": round(result.seconds, 3),
                "confirmed": result.confirmed,
                "size": result.size,
                "content": result.content[:SHOWN],
            }
        )

    def close(self) -> None:
        self._lines.close()


def _arguments(call: ToolCall) -> Any:
    try:
        cleaned = without_secrets(call.values())
        json_text(cleaned)  # so deep that Python can read it but not write it
    except (MessageError, RecursionError):  # what a model wrote may be anything
        return call.arguments[:SHOWN]
    return cleaned


def without_secrets(value: Any) -> Any:
    """The value with `***` under every key that sounds like a secret."""
    if isinstance(value, Mapping):
        return {
            key: "***" if _SECRET.search(str(key)) else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value
