"""Conversations in files, in the shape that `formosa chat render` and `formosa data` read.

    {"messages": [...], "tools": [...]}

A `.jsonl` file holds one conversation on each line: saving appends one, loading takes the last.
Any other file is one conversation. Only the owner of a new file may read it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from formosa.chat.message import Message, Tool
from formosa.errors import DataError
from formosa.files import JsonLines, explain_os_error, read_json, read_jsonl, write_json


def new_history() -> Path:
    """Where the conversation that begins now is kept: under the user's state folder."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    name = f"{datetime.now().astimezone():%Y-%m-%d-%H%M%S}-{os.getpid()}.json"
    return Path(base) / "formosa" / "chats" / name


def save_conversation(path: Path, messages: Sequence[Message], tools: Sequence[Tool]) -> None:
    """Write the conversation; into a `.jsonl` file as a further line.

    Raises:
        UserError: the file can't be written.
    """
    value: dict[str, Any] = {"messages": [message.to_openai() for message in messages]}
    if tools:
        value["tools"] = [tool.to_openai() for tool in tools]
    new = not path.exists()
    if path.suffix == ".jsonl":
        with JsonLines(path) as lines:
            lines.append(value)
    else:
        write_json(path, value)
    if new:
        try:
            path.chmod(0o600)
        except OSError as error:
            raise explain_os_error(error, path) from error


def load_conversation(path: Path) -> list[Message]:
    """The messages of a saved conversation; the last one of a `.jsonl` file.

    Raises:
        UserError: the file can't be read.
        DataError: it holds no conversation.
        MessageError: one of its messages does not fit.
    """
    if path.suffix == ".jsonl":
        value: Any = None
        for _, value in read_jsonl(path):  # noqa: B007  # the last one is wanted
            pass
    else:
        value = read_json(path)
    messages = value.get("messages") if isinstance(value, dict) else value
    if not isinstance(messages, list):
        raise DataError(f"{path} holds no conversation.", "it needs a list of messages")
    return [Message.from_openai(item, f"messages[{i}]") for i, item in enumerate(messages)]
