"""The tool-calling walk-through: code to do it again, and what was really said.

The code looks a result up by the name in the call and answers under the id of the call: results
may come in any order, and the model may make another number of calls than expected. Everything
that a model or a tool said stands in code blocks that nothing in it can end.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from formosa.card.ledger import FLOW, Ledger, Words
from formosa.card.markdown import code_block, escaped
from formosa.errors import CardError

_RECORDED = Words(
    "這次執行中工具的回覆；請換成自己的函式。",
    "What the tools answered in this run; put your functions here.",
)
_ROUNDS = Words("最多四輪；小模型可能停不下來", "rounds of calls; a small model may never stop")
_BY_ID = Words("以 id 對應，不看順序", "answered by its id, whatever the order")

_DEFINE = """\
import json

from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
tools = {tools}

# {remark}
recorded = {results}


def run_tool(name: str, arguments: dict) -> str:
    return recorded.get(name, f"no tool is called {{name}}")
"""

_ASK = """\
messages = {messages}
model = client.models.list().data[0].id
reply = client.chat.completions.create(model=model, messages=messages, tools=tools)
said = reply.choices[0].message
for _ in range(4):  # {rounds}
    if not said.tool_calls:
        break
    messages.append(said.model_dump(exclude_none=True))
    for call in said.tool_calls:
        result = run_tool(call.function.name, json.loads(call.function.arguments))
        # {by_id}
        messages.append({{"role": "tool", "tool_call_id": call.id, "content": result}})
    reply = client.chat.completions.create(model=model, messages=messages, tools=tools)
    said = reply.choices[0].message
{think}print(said.content)
"""
# llama.cpp and Formosa say `reasoning_content`, vLLM since 0.16 `reasoning`.
_THINK = 'print(getattr(said, "reasoning_content", None) or getattr(said, "reasoning", None))\n'

LINE = 88  # columns

_HEADS = {
    "system": Words("系統", "System"),
    "user": Words("使用者", "User"),
    "assistant": Words("模型", "Model"),
    "tool": Words("工具結果", "Tool result"),
}


def walk_through(ledger: Ledger, reasoning: bool) -> dict[str, Any]:
    """What the section shows. Whatever the record lacks is left out.

    Raises:
        CardError: the record holds no conversation.
    """
    try:
        return _read(ledger, reasoning)
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise CardError(f"{FLOW} holds no conversation: {error}.", "serve and try again") from error


def _read(ledger: Ledger, reasoning: bool) -> dict[str, Any]:
    messages = [m for m in ledger.items(FLOW, "messages") if isinstance(m, dict)]
    called = {
        call.get("id"): (call.get("function") or {}).get("name")
        for message in messages
        for call in message.get("tool_calls") or []
    }
    results = {
        called.get(message.get("tool_call_id"), message.get("name")): str(message.get("content"))
        for message in messages
        if message.get("role") == "tool"
    }
    asked = []
    for message in messages:
        if message.get("role") not in ("system", "user"):
            break
        asked.append({"role": message["role"], "content": message.get("content")})
    define = _DEFINE.format(
        tools=python_text(ledger.get(FLOW, "tools") or []),
        remark=ledger.say(_RECORDED),
        results=python_text(results),
    )
    ask = _ASK.format(
        messages=python_text(asked),
        rounds=ledger.say(_ROUNDS),
        by_id=ledger.say(_BY_ID),
        think=_THINK if reasoning else "",
    )
    return {
        "file": FLOW,
        "client": str(ledger.get(FLOW, "client") or "OpenAI API"),
        "served": str(ledger.get(FLOW, "served") or "–"),
        "passed": ledger.get(FLOW, "passed") is True,
        "define": code_block(define, "python"),
        "ask": code_block(ask, "python"),
        "turns": [_turn(ledger, message) for message in messages],
    }


def python_text(value: Any, before: int = len("messages = "), indent: int = 0) -> str:
    """A value as ruff and Black lay it out, so that nobody has to format a card of ours.

    Args:
        value: of JSON.
        before: columns of its first line that are taken.
        indent: spaces before its last line.
    """
    if isinstance(value, str):
        return _quoted(value)
    if not isinstance(value, (dict, list)):
        return repr(value)
    inner = indent + 4
    if isinstance(value, dict):
        begin, end = "{", "}"
        keys = [f"{python_text(key)}: " for key in value]
        parts = [
            key + python_text(item, inner + _columns(key), inner)
            for key, item in zip(keys, value.values(), strict=True)
        ]
    else:
        begin, end = "[", "]"
        parts = [python_text(item, inner, inner) for item in value]
    line = begin + ", ".join(parts) + end
    if not any("\n" in part for part in parts) and before + _columns(line) < LINE or not parts:
        return line
    lines = "".join(f"{' ' * inner}{part},\n" for part in parts)
    return f"{begin}\n{lines}{' ' * indent}{end}"


def _quoted(text: str) -> str:
    """In double quotes, unless that takes more backslashes than single ones."""
    single = repr(f'"{text}')[2:-1]  # with a double quote inside, `repr` takes single ones
    if text.count('"') > text.count("'"):
        return f"'{single}'"
    return '"' + single.replace("\\'", "'").replace('"', '\\"') + '"'


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _turn(ledger: Ledger, message: dict[str, Any]) -> dict[str, str]:
    role = str(message.get("role"))
    words = _HEADS.get(role)
    head = f"**{ledger.say(words) if words else escaped(role)}**"
    if role == "tool":
        head += f" (`tool_call_id`: {escaped(str(message.get('tool_call_id')))})"
    shown = {
        key: message[key]
        for key in ("reasoning_content", "content", "tool_calls")
        if message.get(key)
    }
    if set(shown) - {"content"}:
        text = json.dumps(shown, ensure_ascii=False, indent=2)
        return {"head": head, "block": code_block(text, "json")}
    return {"head": head, "block": code_block(str(message.get("content") or ""), "text")}
