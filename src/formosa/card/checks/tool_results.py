"""Tool calling code that pairs calls and results by position, found without running it.

A model calls in the order it likes. `search(**json.loads(calls[0].function.arguments))` gives the
first call to `search`, whatever its name is. Found here:

- a function with a fixed name, handed the arguments of a call with a fixed number;
- calls and results walked side by side with `zip`, or results looked up by the call's number.

Where the card prints the calls of its own run, their order says whether its own code fits it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from formosa.card.checks.code_blocks import LARGEST, PYTHON, parse_python
from formosa.card.checks.finding import Finding, found
from formosa.card.checks.subject import Subject

_CALLS = "tool_calls"
_NO_TOOLS = "str print dict loads dumps len repr type eval literal_eval"
_OTHER_CALLERS = frozenset(_NO_TOOLS.split())


class ShownCall(NamedTuple):
    """A call that the card prints as its model's."""

    name: str
    arguments: str
    line: int


def tool_results(card: Subject) -> Iterator[Finding]:
    """Pairing by position; fields that servers have renamed."""
    order = [call.name for call in shown_calls(card)]
    for block in card.blocks(*PYTHON):
        tree = parse_python(block)[0] if len(block.text) <= LARGEST else None
        if tree is None:
            continue
        for node in ast.walk(tree):
            line = block.line + getattr(node, "lineno", 1) - 1
            if isinstance(node, ast.Call):
                if pair := _by_number(node):
                    yield _fixed(pair, order, line)
                elif _walks_beside(node):
                    message = (
                        "Calls and results are walked side by side: pair a result with "
                        "its call by tool_call_id."
                    )
                    yield found("result-by-position", line, "tool calling", message)
    yield from _renamed(card)


def _by_number(node: ast.Call) -> tuple[str, int] | None:
    """(function, number of the call) in `search(**json.loads(….tool_calls[0].….arguments))`."""
    if not isinstance(node.func, ast.Name) or node.func.id in _OTHER_CALLERS:
        return None
    if any(".function.name" in ast.unparse(argument) for argument in node.args):
        return None  # `run(call.function.name, call.function.arguments)` chooses by name
    for keyword in node.keywords:
        if keyword.arg is None and (number := _number(keyword.value)) is not None:
            return node.func.id, number
    for argument in node.args:
        if (number := _number(argument)) is not None and ".arguments" in ast.unparse(argument):
            return node.func.id, number
    return None


def _number(node: ast.AST) -> int | None:
    for inner in ast.walk(node):
        match inner:
            case ast.Subscript(
                value=ast.Attribute(attr="tool_calls") | ast.Name(id="tool_calls" | "calls"),
                slice=ast.Constant(value=int(number)),
            ):
                return number
    return None


def _fixed(pair: tuple[str, int], order: list[str], line: int) -> Finding:
    function, number = pair
    message = f"{function} is given the arguments of call {number}, whatever that call's name is"
    if number < len(order) and order[number] != function and function in order:
        message += (
            f"; in the calls that the card itself prints, call {number} is {order[number]}, "
            f"and {function} would fail or answer the wrong question"
        )
    message += ". Choose the function by call.function.name, and answer under call.id."
    return found("result-by-position", line, "tool calling", message)


def _walks_beside(node: ast.Call) -> bool:
    """`zip(message.tool_calls, results)`"""
    if not (isinstance(node.func, ast.Name) and node.func.id == "zip" and len(node.args) > 1):
        return False
    shown = [ast.unparse(argument)[:400] for argument in node.args]
    return any(_CALLS in text for text in shown) and not all(_CALLS in text for text in shown)


def _renamed(card: Subject) -> Iterator[Finding]:
    """`.reasoning_content` where the card starts vLLM."""
    serves_vllm = any("vllm" in block.text[:LARGEST] for block in card.parts.blocks)
    lines = []
    for block in card.blocks(*PYTHON):
        for number, text in enumerate(block.text.split("\n")):
            if ".reasoning_content" in text and "getattr" not in text:
                lines.append(block.line + number)
    if lines and serves_vllm:
        also = f" (also line {', '.join(map(str, lines[1:6]))})" if lines[1:] else ""
        message = (
            f"The code reads message.reasoning_content{also}. vLLM calls it `reasoning` since 0.16 "
            "and sends the old name no more, so this ends in an AttributeError or nothing; "
            "llama.cpp and Formosa still send it."
        )
        yield found("client-field", lines[0], "tool calling", message)


_REPR = re.compile(
    r"Function\(\s*arguments=(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\s*,\s*name='([\w.-]+)'"
)
_JSON = re.compile(
    r"\"name\"\s*:\s*\"([\w.-]+)\"\s*,\s*\"arguments\"\s*:\s*(\"(?:[^\"\\]|\\.)*\"|\{[^{}]*\})"
)


def shown_calls(card: Subject) -> list[ShownCall]:
    """The calls that the card prints as its model's, from the first block that has any."""
    for block in card.parts.blocks:
        if block.language in PYTHON or len(block.text) > LARGEST:
            continue
        calls = []
        for match in _REPR.finditer(block.text):
            line = block.line + block.text[: match.start()].count("\n")
            calls.append(ShownCall(match[3], match[1] or match[2] or "{}", line))
        if not calls:
            for match in _JSON.finditer(block.text):
                line = block.line + block.text[: match.start()].count("\n")
                calls.append(ShownCall(match[1], _object(match[2]), line))
        if calls:
            return calls[:16]
    return []


def _object(text: str) -> str:
    """The arguments as one JSON text, which may stand there as text in a text."""
    return text[1:-1].replace('\\"', '"').replace("\\\\", "\\") if text.startswith('"') else text
