"""A card's tool-calling walk-through as one program, and what a model has to say in it.

The Python blocks that talk to a server are put together in their order, each at the very lines that
it has in the card: so a traceback names lines of the card. What a card leaves out most often, the
client and `import json`, stands before them. Nothing is run here; `formosa card verify --run-code`
does, against a server that says what `replies` makes.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from formosa.card.checks.code_blocks import LARGEST, PYTHON, parse_python
from formosa.card.checks.subject import Subject
from formosa.card.checks.tool_results import shown_calls
from formosa.card.parts import CodeBlock

ANSWER = "這是腳本的回答。"

# What loads a model itself; a walk-through asks a server.
_HEAVY = frozenset({"torch", "transformers", "vllm", "llama_cpp", "peft", "unsloth", "mlx_lm",
                    "xllamacpp", "sglang", "ctranslate2"})  # fmt: skip
_BEFORE = (
    "import json, os; from openai import OpenAI; "
    "client = OpenAI(base_url=os.environ['OPENAI_BASE_URL'], api_key='none')"
)


class Call(NamedTuple):
    name: str
    arguments: dict[str, Any]


class Walkthrough(NamedTuple):
    """What can be run.

    Attributes:
        program: line n of it is line n of the card.
        calls: what the scripted model calls, in the order that the card prints.
        printed: whether the card prints them; made from its tools otherwise.
        thinks: whether its code reads what the model thought.
        first, last: lines of the card that the program covers.
    """

    program: str
    calls: tuple[Call, ...]
    printed: bool
    thinks: bool
    first: int
    last: int


def walkthrough(card: Subject) -> Walkthrough | str:
    """The walk-through of a card, or why there is none to run."""
    blocks = [block for block in card.blocks(*PYTHON) if len(block.text) <= LARGEST]
    trees = [(block, tree) for block in blocks if (tree := parse_python(block)[0])]
    kept = [(block, tree) for block, tree in trees if not _imports(tree) & _HEAVY]
    if not any("chat.completions" in block.text for block, _ in kept):
        return "no Python block asks a server (client.chat.completions)"
    if any(isinstance(n, ast.ImportFrom) and n.module == "__future__"
           for _, tree in kept for n in ast.walk(tree)):  # fmt: skip
        return "a block begins with `from __future__`, which can't stand in the middle"
    calls, printed = _calls(card, [tree for _, tree in kept])
    chosen = [block for block, _ in kept]
    last = max(block.line + block.text.count("\n") for block in chosen)
    thinks = any(".reasoning" in block.text for block in chosen)
    return Walkthrough(_program(chosen, last), calls, printed, thinks, chosen[0].line, last)


def _imports(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def _program(blocks: list[CodeBlock], last: int) -> str:
    lines = [""] * last
    lines[0] = _BEFORE
    for block in blocks:
        for i, text in enumerate(block.text.split("\n")):
            lines[block.line - 1 + i] = text
    return "\n".join(lines) + "\n"


def _calls(card: Subject, trees: list[ast.Module]) -> tuple[tuple[Call, ...], bool]:
    shown = []
    for call in shown_calls(card):
        try:
            arguments = json.loads(call.arguments)
        except (ValueError, RecursionError):
            continue
        if isinstance(arguments, dict):
            shown.append(Call(call.name, arguments))
    if shown:
        return tuple(shown), True
    return tuple(call for tree in trees for call in _from_tools(tree))[:4], False


def _from_tools(tree: ast.Module) -> list[Call]:
    """One call for each tool of a list that the code writes out."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
            try:
                tools = ast.literal_eval(node.value)
            except (ValueError, TypeError, RecursionError, MemoryError):
                continue
            calls = [call for tool in tools if (call := _call(tool))]
            if calls:
                return calls
    return []


def _call(tool: Any) -> Call | None:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    schema = function.get("parameters")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    arguments = {}
    for name, value in (properties if isinstance(properties, dict) else {}).items():
        arguments[str(name)] = _example(value if isinstance(value, dict) else {})
    return Call(function["name"], arguments)


def _example(schema: dict[str, Any]) -> Any:
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    values = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}
    kind = schema.get("type")
    return values.get(kind, "text") if isinstance(kind, str) else "text"


def replies(calls: Sequence[Call], *, thinks: bool = False) -> Callable[[str], str]:
    """A model that makes these calls at once, and answers when it has read a result."""
    thought = "<think>\n想一下。\n</think>\n\n" if thinks else ""
    said = "\n".join(
        "<tool_call>\n"
        + json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False)
        + "\n</tool_call>"
        for call in calls
    )
    return lambda prompt: thought + (said if said and "<tool_response>" not in prompt else ANSWER)
