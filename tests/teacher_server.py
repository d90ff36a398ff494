"""A teacher that does what it is asked, in this process or behind an endpoint; tests make it err.

It reads which tools a question must need from the words of the request, makes values up that fit
their schemas, and remembers which calls its questions mean. So whoever asks it for a reply to one
of its questions gets the right calls, and a change of it is one function around `Brain.__call__`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from formosa.chat.message import Message, Tool, json_text
from formosa.data.teacher.offers import Offer, own_offers
from formosa.engines.protocol import ChatEvent, ChatReply, ChatRequest, Finished, ModelInfo, Usage

Body = dict[str, Any]  # of a request
Reply = dict[str, Any]  # a message of the assistant
Change = Callable[[Body, Reply], Reply]

USAGE = Usage(100, 10)
KEY = "sk-teacher-0123456789abcdef"


def tool(name: str, doc: str, required: Sequence[str] = (), **properties: Any) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return Tool.of(name, doc, schema)


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
TOOLS = (
    tool("get_weather", "查天氣", ["city"], city=TEXT, days={**WHOLE, "minimum": 1, "maximum": 7}),
    tool("add_numbers", "加總", ["a", "b"], a=WHOLE, b=WHOLE),
    tool("play_song", "放歌", ["title"], title=TEXT, loud={"type": "boolean"}),
    tool("send_mail", "寄信", ["to", "text"], to={"type": "array", "items": TEXT}, text=TEXT),
    tool("set_mode", "設定模式", ["mode", "room"], mode={"type": "string", "enum": ["eco", "fast"]},
         room={"type": "object", "properties": {"name": TEXT}, "required": ["name"]}),
    tool("buy_stock", "下單", ["order"], order={
        "type": "object", "properties": {"code": TEXT, "price": {"type": "number"}},
        "required": ["code", "price"]}),
)  # fmt: skip
FEW = own_offers(TOOLS)


def few(language: str) -> Sequence[Offer]:
    """Tools of each shape, so that tests don't depend on the catalogue."""
    return FEW


class Brain:
    """What the teacher knows: the calls that its questions mean."""

    def __init__(self) -> None:
        self._means: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, body: Body) -> Reply:
        messages = body["messages"]
        zh = "助理" in messages[0]["content"]
        if messages[0]["role"] == "user":
            return {"role": "assistant", "content": self._question(messages[0]["content"], zh)}
        if messages[-1]["role"] == "tool":
            told = "、".join(
                message["content"] for message in messages if message["role"] == "tool"
            )
            return {"role": "assistant", "content": f"結果是 {told}。" if zh else f"It is {told}."}
        calls = self._means[messages[-1]["content"]]
        if not calls:
            words = "請問是哪一個？" if zh else "Which one do you mean?"
            return {"role": "assistant", "content": words}
        return {"role": "assistant", "content": None, "tool_calls": calls}

    def _question(self, prompt: str, zh: bool) -> str:
        lines = prompt.splitlines()
        tools = {tool["name"]: tool for tool in map(json.loads, filter(_is_tool, lines))}
        demand = next(line for line in lines if line.startswith("- "))
        left_out = "反問" in demand or "can only ask" in demand
        needed = [name for name in tools if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", demand)]
        times = re.search(r"(?:剛好|exactly) (\d)", demand)
        number = int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16)
        calls, said = [], []
        for name in [] if left_out else needed * (int(times[1]) if times else 1):
            number += 1
            values = _object(tools[name]["parameters"], number, zh)
            said += list(_leaves(values))
            function = {"name": name, "arguments": json_text(values)}
            calls.append({"id": f"x{number}", "type": "function", "function": function})
        words = "、".join(said) if zh else ", ".join(said)
        question = (
            f"麻煩你處理 {words} 第{number}件" if zh else f"Please do {words} as no. {number}"
        )
        self._means[question] = calls
        return question


def _is_tool(line: str) -> bool:
    return line.startswith('{"name"')


def _object(schema: dict[str, Any], number: int, zh: bool) -> dict[str, Any]:
    wanted = schema.get("required") or list(schema.get("properties", {}))[:1]
    return {
        name: _value(schema["properties"][name], number + i, zh) for i, name in enumerate(wanted)
    }


def _value(schema: dict[str, Any], number: int, zh: bool) -> Any:
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    match schema.get("type"):
        case "integer" | "number":
            low = schema.get("minimum", 1)
            high = schema.get("maximum", low + 90)
            return int(low + number % max(int(high - low), 1))
        case "boolean":
            return True
        case "array":
            count = max(schema.get("minItems", 1), 1)
            return [_value(schema.get("items", {}), number + i, zh) for i in range(count)]
        case "object":
            return _object(schema, number, zh)
    return f"甲{number}號" if zh else f"Alder {number}"


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif not isinstance(value, bool):
        yield str(value)


def same(body: Body, reply: Reply) -> Reply:
    return reply


def step_of(body: Body) -> str:
    """Which of the requests of a seed it is."""
    if body["messages"][0]["role"] == "user":
        return "question"
    return "answer" if body["messages"][-1]["role"] == "tool" else "reply"


def body_of(request: ChatRequest) -> Body:
    return {
        "messages": [message.to_openai() for message in request.messages],
        "tools": [tool.to_openai() for tool in request.tools],
        "seed": request.sampling.seed,
        "temperature": request.sampling.temperature,
        "max_tokens": request.sampling.max_tokens,
    }


class ScriptedTeacher:
    """A ChatModel in this process.

    Attributes:
        asked: the bodies, in order.
        most: how many were asked for at the same time.
    """

    def __init__(self, change: Change = same, *, usage: Usage | None = USAGE) -> None:
        self.info = ModelInfo("wise", details={"base_url": "http://teacher/v1"})
        self.asked: list[Body] = []
        self.most = 0
        self._now = 0
        self._brain, self._change, self._usage = Brain(), change, usage

    async def reply(self, request: ChatRequest) -> ChatReply:
        body = body_of(request)
        self.asked.append(body)
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(0)
            value = self._change(body, self._brain(body))
        finally:
            self._now -= 1
        finish = value.pop("finish", "stop")
        return ChatReply(Message.from_openai(value), finish, self._usage)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        yield Finished(await self.reply(request))

    async def aclose(self) -> None: ...


class TeacherServer(ThreadingHTTPServer):
    """The same behind an endpoint.

    Attributes:
        asked: how often each request came, by its body.
        keys: the authorization headers that came.
        status: of the answers.
        refuses: the requests that get an error all the same.
        answers_left: after so many, none is answered any more; None: all are.
        held: whether one waits in vain.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, change: Change) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.brain, self.change = Brain(), change
        self.asked: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.status = 200
        self.refuses: Callable[[Body], bool] = lambda body: False
        self.answers_left: int | None = None
        self.held = threading.Event()
        self.closing = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def answers(self, text: str, key: str) -> bool:
        with self._lock:
            self.keys.add(key)
            if self.answers_left == 0:
                self.held.set()
                return False
            if self.answers_left is not None:
                self.answers_left -= 1
            self.asked[text] += 1
            return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: TeacherServer

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        text = self.rfile.read(length).decode(errors="replace")
        if len(text.encode()) < length:  # the client was killed while it wrote
            self.close_connection = True
            return
        if not self.server.answers(text, self.headers.get("authorization", "")):
            self.server.closing.wait(30)
            self.close_connection = True
            return
        body = json.loads(text)
        if self.server.status != 200 or self.server.refuses(body):
            words = f"no such key: {self.headers.get('authorization', '')}"
            self._send({"error": {"message": words.replace("Bearer ", "")}},
                       max(self.server.status, 400))  # fmt: skip
            return
        message = self.server.change(body, self.server.brain(body))
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish}
        self._send(
            {"choices": [choice], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}
        )

    def _send(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(change: Change = same) -> Iterator[TeacherServer]:
    """The server, until the block ends."""
    with TeacherServer(change) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
