"""The Modelfile that makes Ollama write prompts nearly as this model was trained on.

Ollama does not run the Jinja template of a GGUF: it has templates of its own language, Go's. So the
turns of our chat format are written in it again here, from the control tokens in the template of
the checkpoint. What it can't do alike is said in the card. Nothing of this is run by us.

For a template that is not ours there is only a FROM line, and Ollama guesses.
"""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

OURS = "Formosa chat format"
_TURN = re.compile(r"\{%-? *set turn = (\{[^{}\n]*\}) *-?%\}")
_FIELDS = ("bos", "open", "head", "close", "next", "assistant")


class Turn(NamedTuple):
    """The control tokens of a turn, as in the first line of our template."""

    bos: str
    open: str
    head: str
    close: str
    next: str
    assistant: str


def turn_of(template: str) -> Turn | None:
    """The control tokens that our template names; None for a template of another make."""
    match = _TURN.match(template)
    if match is None or OURS not in template:
        return None
    try:
        value = ast.literal_eval(match[1])
        fields = [value[name] for name in _FIELDS]
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
        return None
    if not all(isinstance(field, str) and '"""' not in field for field in fields):
        return None
    # In a Go template two braces begin an action: such a token could not be written here.
    return None if any("{{" in field for field in fields) else Turn(*fields)


def modelfile(gguf: str, turn: Turn | None, reasoning: bool) -> str:
    """The text of a Modelfile.

    Args:
        gguf: the model's file, relative to the Modelfile.
        turn: of the chat template; None where it is not ours.
        reasoning: whether the model was taught to think in <think> first.
    """
    lines = [f"FROM ./{gguf}"]
    if turn is not None:
        lines += [f'TEMPLATE """{_template(turn, reasoning)}"""', f'PARAMETER stop "{turn.close}"']
    return "\n".join([*lines, "PARAMETER temperature 0"])


def _template(turn: Turn, reasoning: bool) -> str:
    def begin(role: str) -> str:
        return f"{turn.open}{role}{turn.head}"

    end = turn.close + turn.next
    think = (
        "{{- if .Thinking }}<think>\n{{ .Thinking }}\n</think>\n\n{{ end }}" if reasoning else ""
    )
    # The beginning-of-text token is left out: llama.cpp puts it there itself.
    return (
        "{{- if or .System .Tools }}"
        + begin("system")
        + "{{ .System }}{{ if .Tools }}{{ if .System }}\n\n{{ end }}"
        + "You may call these tools:\n<tools>\n"
        + '{{ range .Tools }}{"type": "function", "function": {{ .Function }}}\n{{ end }}'
        + "</tools>\nFor each call, write one JSON object in its own tags:\n<tool_call>\n"
        + '{"name": "tool-name", "arguments": {"argument": "value"}}\n</tool_call>{{ end }}'
        + end
        + "{{ end }}{{ range .Messages }}"
        + '{{ if eq .Role "user" }}'
        + begin("user")
        + "{{ .Content }}"
        + end
        + '{{ else if eq .Role "assistant" }}'
        + begin(turn.assistant)
        + think
        + "{{ .Content }}{{ range .ToolCalls }}<tool_call>\n"
        + '{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}\n'
        + "</tool_call>{{ end }}"
        + end
        + '{{ else if eq .Role "tool" }}'
        + begin("tool")
        + "<tool_response>\n{{ .Content }}\n</tool_response>"
        + end
        + "{{ end }}{{ end }}"
        + begin(turn.assistant)
    )
