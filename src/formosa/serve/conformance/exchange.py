"""Ask a server, and keep what it said: an answer as one object, or the events of a stream.

Reads any server's JSON without trusting it: what is missing or of the wrong type becomes a fault,
never an exception. Knows nothing of what is right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2

from formosa.errors import UserError

LONGEST_EVIDENCE = 240  # characters


@dataclass(frozen=True)
class Call:
    """A tool call as it arrived."""

    name: str
    arguments: str
    id: str


@dataclass(frozen=True)
class Said:
    """One choice: what a client makes of it. Both names of the reasoning field are read."""

    reasoning: str = ""
    content: str = ""
    calls: tuple[Call, ...] = ()
    finish: str | None = None
    faults: tuple[str, ...] = ()  # fields that are missing or of the wrong type
    reasoning_names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Answer:
    """An answer as one object. `body` is None where it is not JSON."""

    status: int
    text: str
    body: Any = None

    @property
    def fields(self) -> Mapping[str, Any]:
        return self.body if isinstance(self.body, dict) else {}

    @property
    def error(self) -> Mapping[str, Any]:
        """OpenAI's error object, empty where there is none."""
        error = self.fields.get("error")
        return error if isinstance(error, dict) else {}

    @property
    def choices(self) -> list[Mapping[str, Any]]:
        return _objects(self.fields.get("choices"))

    def said(self, choice: int = 0) -> Said:
        if choice >= len(self.choices):
            return Said(faults=("no choices",))
        message = self.choices[choice].get("message")
        if not isinstance(message, dict):
            return Said(faults=("no message",))
        faults: list[str] = []
        names = {n for n in ("reasoning_content", "reasoning") if message.get(n)}
        calls = tuple(_call(value, faults) for value in _objects(message.get("tool_calls")))
        content = message.get("content")
        if not isinstance(content, str | None):
            faults.append("content is neither text nor null")
        return Said(
            reasoning=_text(message.get("reasoning_content") or message.get("reasoning")),
            content=_text(content),
            calls=calls,
            finish=self.choices[choice].get("finish_reason"),
            faults=tuple(faults),
            reasoning_names=frozenset(names),
        )

    def short(self) -> str:
        return shortened(f"{self.status} {self.text}")


@dataclass(frozen=True)
class Streamed:
    """The events of a stream. `refused` is the answer where no stream began."""

    chunks: tuple[Mapping[str, Any], ...] = ()
    done: bool = False
    error: str = ""  # an error event, something that is no JSON, or a connection that broke off
    content_type: str = ""
    refused: Answer | None = None

    @property
    def usage(self) -> Mapping[str, Any] | None:
        found = [c["usage"] for c in self.chunks if isinstance(c.get("usage"), dict)]
        return found[-1] if found else None

    def deltas(self, choice: int = 0) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for chunk in self.chunks:
            for value in _objects(chunk.get("choices")):
                delta = value.get("delta")
                if value.get("index", 0) == choice and isinstance(delta, dict):
                    found.append(delta)
        return found

    def finishes(self, choice: int = 0) -> list[str]:
        return [
            value["finish_reason"]
            for chunk in self.chunks
            for value in _objects(chunk.get("choices"))
            if value.get("index", 0) == choice and value.get("finish_reason")
        ]

    def said(self, choice: int = 0) -> Said:
        """The deltas put together, as the OpenAI SDK does it: calls by their index."""
        texts: dict[str, list[str]] = {"reasoning_content": [], "reasoning": [], "content": []}
        calls: dict[int, dict[str, str]] = {}
        faults: list[str] = []
        for delta in self.deltas(choice):
            for name, parts in texts.items():
                parts.append(_text(delta.get(name)))
            for piece in _objects(delta.get("tool_calls")):
                _add_piece(piece, calls, faults)
        names = {n for n in ("reasoning_content", "reasoning") if any(texts[n])}
        if sorted(calls) != list(range(len(calls))):
            faults.append(f"the calls have the indexes {sorted(calls)}")
        for call in calls.values():
            faults.extend(f"a call without {key}" for key in ("id", "name") if not call[key])
        finishes = self.finishes(choice)
        return Said(
            reasoning="".join(texts["reasoning_content"]) or "".join(texts["reasoning"]),
            content="".join(texts["content"]),
            calls=tuple(Call(c["name"], c["arguments"], c["id"]) for _, c in sorted(calls.items())),
            finish=finishes[-1] if finishes else None,
            faults=tuple(faults),
            reasoning_names=frozenset(names),
        )

    def broke(self) -> str:
        """Why this is no whole stream; empty if it is one."""
        if self.refused is not None:
            return self.refused.short()
        if self.error:
            return f"after {len(self.chunks)} chunks: {shortened(self.error)}"
        return "" if self.done else "it ended without [DONE]"


@dataclass
class Server:
    """One OpenAI-compatible server. `model` is the name that requests carry."""

    base_url: str
    model: str = ""
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 300.0  # seconds without a byte
    patience: float = 2.0  # seconds that a freed slot may take to answer; see probes_leave.py
    transport: httpx2.BaseTransport | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"{self.base_url!r} is not an address.", "write http://HOST:PORT/v1")
        path = parts.path.rstrip("/") or "/v1"
        self.base_url = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        self.client = self.new_client()

    def new_client(self) -> httpx2.Client:
        """A client of its own, for requests whose connection will be closed half-way."""
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        limits = httpx2.Timeout(self.timeout, connect=min(self.timeout, 10.0))
        return httpx2.Client(
            base_url=self.base_url,
            headers=headers,
            timeout=limits,
            # A connection of its own for each request: servers close idle ones when they like.
            limits=httpx2.Limits(max_keepalive_connections=0),
            transport=self.transport,
        )

    def body(self, **fields: Any) -> dict[str, Any]:
        """A short, greedy request; fields that are None are left out."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "Name three colours."}],
            "temperature": 0,
            "max_tokens": 24,
            **fields,
        }
        return {key: value for key, value in body.items() if value is not None}

    def get(self, path: str, **headers: str) -> Answer:
        return _answer(self.client.get(path, headers=headers))

    def post(self, body: Mapping[str, Any] | bytes, **headers: str) -> Answer:
        """`body` as it is, to the chat endpoint."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", **headers}
        return _answer(self.client.post("/chat/completions", content=sent, headers=headers))

    def ask(self, **fields: Any) -> Answer:
        return self.post(self.body(**fields))

    def stream(self, **fields: Any) -> Streamed:
        body = self.body(**fields, stream=True)
        chunks: list[Mapping[str, Any]] = []
        done, error, kind = False, "", ""
        try:
            with self.client.stream("POST", "/chat/completions", json=body) as response:
                if response.status_code != 200:
                    response.read()
                    return Streamed(refused=_answer(response))
                kind = response.headers.get("content-type", "")
                for line in response.iter_lines():
                    data = line.removeprefix("data:").strip()
                    if not line.startswith("data:"):
                        error = error or (line if line.startswith("error:") else "")
                    elif data == "[DONE]":
                        done = True
                    else:
                        value = _json(data)
                        if not isinstance(value, dict):
                            error = error or f"an event that is no JSON object: {data}"
                        elif value.get("error"):
                            error = error or json.dumps(value["error"], ensure_ascii=False)
                        else:
                            chunks.append(value)
        except httpx2.HTTPError as problem:
            error = error or f"the connection broke off: {type(problem).__name__}"
        return Streamed(tuple(chunks), done, error, kind)

    def close(self) -> None:
        self.client.close()


def shortened(text: str, longest: int = LONGEST_EVIDENCE) -> str:
    """On one line, of a bearable length, and without what a terminal would obey."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    return text if len(text) <= longest else text[:longest] + "…"


def _answer(response: httpx2.Response) -> Answer:
    return Answer(response.status_code, response.text, _json(response.text))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _call(value: Mapping[str, Any], faults: list[str]) -> Call:
    function = value.get("function")
    function = function if isinstance(function, dict) else {}
    for where, key in ((value, "id"), (function, "name"), (function, "arguments")):
        if not isinstance(where.get(key), str):
            faults.append(f"a call whose {key} is no text")
    if not value.get("id") or not function.get("name"):
        faults.append("a call without id or name")
    if value.get("type") != "function":
        faults.append(f"a call of type {value.get('type')!r}")
    return Call(
        _text(function.get("name")), _text(function.get("arguments")), _text(value.get("id"))
    )


def _add_piece(
    piece: Mapping[str, Any], calls: dict[int, dict[str, str]], faults: list[str]
) -> None:
    index = piece.get("index")
    if not isinstance(index, int):
        faults.append("a piece of a call without index")
        index = max(calls, default=-1) + bool(piece.get("id"))
    call = calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
    function = piece.get("function")
    function = function if isinstance(function, dict) else {}
    if piece.get("id") and call["id"] and piece["id"] != call["id"]:
        faults.append(f"two calls with the index {index}")
    call["id"] = call["id"] or _text(piece.get("id"))
    call["name"] += _text(function.get("name"))
    if not isinstance(function.get("arguments"), str | None):
        faults.append("arguments that are no text")
    call["arguments"] += _text(function.get("arguments"))
