"""A conversation in the terminal: reads lines, shows a turn as it happens.

Knows the keyboard and the screen. The loop of asking and calling is `formosa.tools.converse`.

Content goes to standard output; calls, results and remarks to standard error. So the answers alone
can be piped on. Reasoning is dim on a terminal, and a remark elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys

import click

from formosa.chat.message import Message, ToolCall
from formosa.chat.parser import Delta
from formosa.chat.schema import describe
from formosa.cli.output import Output
from formosa.engines.protocol import ChatModel, Finished, Sampling
from formosa.errors import DataError, FormosaError
from formosa.tools.converse import ConverseEvent, Transcript, converse
from formosa.tools.registry import Registry
from formosa.tools.runner import ToolResult

COMMANDS = """\
/help    this, and the tools
/reset   forget the conversation
/exit    leave (or Ctrl-D); Ctrl-C stops a reply"""
SHOWN = 300  # characters of a tool result on the screen; the model gets all of it


class Session:
    """A conversation at the keyboard, or with the lines of standard input."""

    def __init__(
        self, out: Output, model: ChatModel, registry: Registry, sampling: Sampling, system: str
    ) -> None:
        self._out, self._model, self._registry, self._sampling = out, model, registry, sampling
        self._start = [Message("system", system)] if system else []
        self._messages = list(self._start)
        self._runner = asyncio.Runner()  # one loop for all turns: connections live in it
        self._interactive = sys.stdin.isatty()

    def run(self) -> None:
        if self._interactive:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  # gives input() its arrow keys and history
            self._out.say(f"{self._model.info.name} · /help for help")
        while (line := self._read()) is not None:
            words = line.strip()
            if words == "/exit":
                return
            if words.startswith("/"):
                self._command(words)
            elif words:
                self._turn(line)

    def close(self) -> None:
        try:
            self._runner.run(self._model.aclose())
        finally:
            self._runner.close()

    def _read(self) -> str | None:
        """The next line, or None at the end."""
        while True:
            try:
                return input("> " if self._interactive and sys.stdout.isatty() else "")
            except EOFError:
                if self._interactive:
                    self._out.say("")  # the shell's prompt goes on a line of its own
                return None
            except UnicodeDecodeError as error:
                raise DataError(f"Standard input is not UTF-8: {error}.") from error
            except KeyboardInterrupt:
                if not self._interactive:
                    raise
                self._out.say("\n/exit or Ctrl-D to leave")

    def _command(self, words: str) -> None:
        if words == "/help":
            tools = [f"  {describe(tool)}" for tool in self._registry.tools]
            self._out.say("\n".join([COMMANDS, "tools:" if tools else "no tools", *tools]))
        elif words == "/reset":
            self._messages = list(self._start)
            self._out.say("forgotten")
        else:
            self._out.say(f"no such command: {words.split()[0]}\n{COMMANDS}")

    def _turn(self, line: str) -> None:
        """One question and everything up to its answer. A turn that fails is forgotten."""
        given = [*self._messages, Message("user", line)]
        screen = Screen(self._out)
        try:
            transcript = self._runner.run(
                converse(
                    self._model,
                    given,
                    self._registry,
                    sampling=self._sampling,
                    on_event=None if self._out.json_mode else screen.show,
                )
            )
        except KeyboardInterrupt:
            screen.end_line()
            if not self._interactive:
                raise
            self._out.say("stopped; this turn is forgotten")
            return
        except FormosaError as error:
            screen.end_line()
            if not self._interactive:
                raise
            self._out.say(f"error: {error.message}")
            if error.hint:
                self._out.hint(error.hint)
            return
        screen.end_line()
        self._messages = list(transcript.messages)
        self._close_turn(transcript, len(given))

    def _close_turn(self, transcript: Transcript, given: int) -> None:
        if self._out.json_mode:
            said = [message.to_openai() for message in transcript.messages[given:]]
            self._out.data({"messages": said, "stopped": transcript.stopped})
        elif transcript.stopped == "length":
            self._out.hint("the reply was cut off; a larger --max-tokens lets it end")
        elif transcript.stopped == "steps":
            self._out.hint("the model kept calling tools and was stopped")


class Screen:
    """Shows a turn as it happens: content on standard output, everything else beside it."""

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
            self._out.say(visible(f"→ {event.name}({event.arguments})"))
        elif isinstance(event, ToolResult):
            text = event.content
            cut = f"{text[:SHOWN]}… ({len(text)} characters)" if len(text) > SHOWN else text
            self._out.say(visible(f"← {event.name}: {cut}"))
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


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """Control characters as pictures: a model's words must not steer the terminal."""
    return _CONTROL.sub(lambda m: chr(0x2400 + ord(m[0])) if ord(m[0]) < 0x20 else "\ufffd", text)
