"""Keep each reply's raw text beside what was read from it: for debugging, and as data.

One JSON line for each reply. The file holds people's words, so only its owner may read it. Keys
come in headers and are never in it. A full disk costs the record, never a reply.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from formosa.engines.protocol import ChatReply, ChatRequest, Named, Prompt, Sampling
from formosa.errors import UserError
from formosa.files import JsonLines, sha256_text
from formosa.serve.completions import TextAnswer
from formosa.serve.raw import prompt_text, rendered_prompt
from formosa.serve.served import Served

_LOG = logging.getLogger("formosa.serve")


class Record:
    """An open record file.

    Raises:
        UserError: the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        # Not forced to the disk line by line: that would cost each reply milliseconds.
        self._lines = JsonLines(path, sync=False, private=True)
        self._warned = False

    def chat(
        self, id: str, index: int, served: Served, request: ChatRequest, reply: ChatReply
    ) -> None:
        """Add a chat reply."""
        self._write(
            {
                "id": id,
                "index": index,
                "model": served.name,
                "prompt_sha256": _sha256(rendered_prompt(served.chat, request)),
                "request": _request(request),
                "text": reply.text,
                "message": reply.message.to_openai(),
                "finish_reason": reply.finish,
                "usage": reply.usage and reply.usage._asdict(),
                "defects": [defect._asdict() for defect in reply.defects],
            }
        )

    def text(self, answer: TextAnswer, index: int, served: Served) -> None:
        """Add a continuation that has ended."""
        prompt, sampling = answer.jobs[index]
        text = answer.texts[index]
        self._write(
            {
                "id": answer.id,
                "index": index,
                "model": served.name,
                "prompt_sha256": _sha256(prompt),
                "request": {"prompt": prompt, "sampling": _sampling(sampling)},
                "text": "".join(text.parts),
                "message": None,
                "finish_reason": text.finish,
                "usage": text.usage and text.usage._asdict(),
                "defects": [],
            }
        )

    def _write(self, line: dict[str, Any]) -> None:
        """A failure is said once, and keeps no reply from its client."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            self._lines.append({"time": now, **line})
        except (UserError, OSError, ValueError) as error:
            if not self._warned:
                self._warned = True
                _LOG.warning("A reply could not be recorded: %s (said once)", error)

    def close(self) -> None:
        self._lines.close()


def _request(request: ChatRequest) -> dict[str, Any]:
    """A request as it was understood, its history repaired."""
    choice = request.tool_choice
    return {
        "messages": [message.to_openai() for message in request.messages],
        "tools": [tool.to_openai() for tool in request.tools],
        "tool_choice": choice._asdict() if isinstance(choice, Named) else choice,
        "parallel_tool_calls": request.parallel,
        "json_schema": request.json_schema,
        "template_variables": dict(request.template_variables),
        "sampling": _sampling(request.sampling),
    }


def _sampling(sampling: Sampling) -> dict[str, Any]:
    """What was asked for, defaults left out."""
    return {key: value for key, value in asdict(sampling).items() if value not in (None, (), {})}


def _sha256(prompt: Prompt | None) -> str | None:
    return None if prompt is None else sha256_text(prompt_text(prompt))
