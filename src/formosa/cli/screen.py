"""What a turn looks like as it happens: reasoning dim, calls and results beside the answer.

Content goes to standard output; calls, results and remarks to standard error. So the answers alone
can be piped on. Reasoning is dim on a terminal, and a remark elsewhere.

Whatever comes from a model, a tool or a server is shown by `visible` (see `output.py`).
"""

from __future__ import annotations

import sys

import click

from formosa.chat.message import ToolCall
from formosa.chat.reply import Delta
from formosa.cli.output import Output, visible
from formosa.engines.protocol import Finished
from formosa.tools.converse import ConverseEvent
from formosa.tools.runner import ToolResult

SHOWN = 300  # characters of a tool result on the screen; the model gets all of it


class Screen:
    """Shows a turn as it happens."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._terminal = sys.stdout.isatty()
        self._open = False  # whether the cursor stands after text
        self._reasoning = ""  # not shown yet, where standard output is no terminal
        self._kind = ""

    def show(self, event: ConverseEvent) -> None:
        if isinstance(event, Delta):
            self._delta(event)
        elif isinstance(event, ToolCall):
            self.end_line()
            self._out.say(f"→ {event.name}({event.arguments})")
        elif isinstance(event, ToolResult):
            text = event.content
            cut = f"{text[:SHOWN]}… ({len(text)} characters)" if len(text) > SHOWN else text
            self._out.say(f"← {event.name}: {cut}")
        elif isinstance(event, Finished):
            self.end_line()
            for defect in event.reply.defects:
                self._out.hint(f"a tool call could not be read: {defect.problem}")

    def end_line(self) -> None:
        """Bring the cursor to the start of a line, with nothing held back."""
        if self._reasoning:
            self._out.say(self._reasoning)
            self._reasoning = ""
        if self._open:
            self._out.text("\n")
        self._open, self._kind = False, ""

    def _delta(self, delta: Delta) -> None:
        if delta.kind != self._kind:
            self.end_line()
            self._kind = delta.kind
        if not self._terminal:
            if delta.kind == "reasoning":
                self._reasoning += delta.text  # no part of the answer that is piped on
                return
            self._out.text(delta.text)
        else:
            text = visible(delta.text)
            self._out.text(click.style(text, dim=True) if delta.kind == "reasoning" else text)
        self._open = not delta.text.endswith("\n")
