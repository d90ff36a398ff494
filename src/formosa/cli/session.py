"""A conversation in the terminal: reads lines, obeys commands, keeps what was said.

Knows the keyboard and the commands. The loop of asking and calling is `formosa.tools.converse`; how
a turn looks is `screen`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from formosa.chat.message import Message
from formosa.chat.schema import describe
from formosa.cli.consent import Consent
from formosa.cli.history import load_conversation, save_conversation
from formosa.cli.output import Output
from formosa.cli.screen import Screen
from formosa.engines.protocol import ChatModel, Sampling
from formosa.errors import DataError, FormosaError
from formosa.tools.converse import Transcript, converse
from formosa.tools.registry import Registry
from formosa.tools.runner import Confirm, Record

COMMANDS = """\
/help           this
/tools          what the model may call
/system [TEXT]  show or set the system prompt
/retry          ask the last question again
/undo           forget the last question and its answer
/reset          forget the conversation, keep the system prompt
/save FILE      write the conversation; into a .jsonl file as a further line
/load FILE      go on with a saved conversation
/exit           leave (or Ctrl-D); Ctrl-C stops a reply
\"\"\"             begins and ends a text of several lines"""
QUOTES = '"""'


class Session:
    """A conversation at the keyboard, or with the lines of standard input.

    Args:
        out: shows everything.
        model: is asked.
        registry: what it may call.
        sampling: how tokens are chosen.
        system: the system prompt; none when empty.
        runner: one loop for all turns: connections live in it.
        history: a file that holds the conversation after every turn. One that exists is gone on
            with.
        record: told of each call and its result.
        yes: run calls that need consent without asking. Otherwise a person is asked, and where
            none is there, they do not run.
    """

    def __init__(
        self,
        out: Output,
        model: ChatModel,
        registry: Registry,
        sampling: Sampling,
        system: str = "",
        *,
        runner: asyncio.Runner,
        history: Path | None = None,
        record: Record | None = None,
        yes: bool = False,
    ) -> None:
        self._out, self._model, self._registry, self._sampling = out, model, registry, sampling
        self._runner, self._history, self._record = runner, history, record
        self._interactive = sys.stdin.isatty()
        self._confirm: Confirm | None = None
        if yes:
            self._confirm = lambda call, tool: True
        elif self._interactive:
            self._confirm = Consent(out)
        self._messages: list[Message] = []
        if history is not None and history.exists():
            self._messages = load_conversation(history)
        if system:
            self._set_system(system)
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: out.say(COMMANDS),
            "/tools": self._show_tools,
            "/system": self._system,
            "/retry": self._retry,
            "/undo": self._undo,
            "/reset": self._reset,
            "/save": self._save,
            "/load": self._load,
        }

    def run(self) -> None:
        """Until the end of input or /exit."""
        if self._interactive:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  # gives input() its arrow keys and history
            self._out.say(f"{self._model.info.name} · /help for help")
            self._say_length("going on with")
        elif self._confirm is None and (names := self._need_consent()):
            self._out.hint(f"nobody can be asked here, so these do not run: {names} (--yes)")
        while (line := self._read()) is not None:
            words = line.strip()
            if words in ("/exit", "/quit"):
                break
            if words.startswith("/"):
                self._command(words)
            elif words:
                self._turn(line, self._messages)
        if self._interactive and self._history and self._history.exists():
            self._out.say(f"kept in {self._history}")

    # -- reading ----------------------------------------------------------------------------------

    def _read(self) -> str | None:
        """The next line, or the next text in three quotes; None at the end."""
        line = self._read_line("> ")
        if line is None or not self._interactive or not line.startswith(QUOTES):
            return line
        text = line.removeprefix(QUOTES)
        while not text.rstrip().endswith(QUOTES):
            more = self._read_line("… ")
            if more is None:
                return text
            text += f"\n{more}"
        return text.rstrip().removesuffix(QUOTES).strip("\n")

    def _read_line(self, prompt: str) -> str | None:
        while True:
            try:
                return input(prompt if self._interactive and sys.stdout.isatty() else "")
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

    # -- commands ---------------------------------------------------------------------------------

    def _command(self, words: str) -> None:
        name, _, argument = words.partition(" ")
        command = self._commands.get(name)
        if command is None:
            self._out.say(f"no such command: {name}\n{COMMANDS}")
            return
        try:
            command(argument.strip())
        except FormosaError as error:
            self._explain(error)

    def _show_tools(self, _: str) -> None:
        lines = []
        for item in self._registry:
            asks = "  (asks first)" if item.confirm else ""
            first = item.tool.description.partition("\n")[0]
            lines += [f"{describe(item.tool)}{asks}", *([f"    {first}"] if first else [])]
        self._out.say("\n".join(lines) or "no tools; give some with --tools or --mcp")

    def _system(self, text: str) -> None:
        if text:
            self._set_system(text)
            self._keep()
        shown = self._system_messages()
        self._out.say(shown[0].content if shown else "no system prompt")

    def _retry(self, _: str) -> None:
        place = self._last_question()
        if place is not None:
            self._turn(self._messages[place].content, self._messages[:place])

    def _undo(self, _: str) -> None:
        place = self._last_question()
        if place is not None:
            question = self._messages[place].content
            self._messages = self._messages[:place]
            self._keep()
            self._out.say(f"forgotten: {question}")

    def _reset(self, _: str) -> None:
        self._messages = self._system_messages()
        self._keep()
        self._out.say("forgotten")

    def _save(self, name: str) -> None:
        if not name:
            self._out.say("name a file: /save chat.json")
            return
        path = Path(name).expanduser()
        save_conversation(path, self._messages, self._registry.tools)
        self._out.say(f"saved: {path}")

    def _load(self, name: str) -> None:
        if not name:
            self._out.say("name a file: /load chat.json")
            return
        self._messages = load_conversation(Path(name).expanduser())
        self._keep()
        self._say_length("loaded")

    # -- what was said ----------------------------------------------------------------------------

    def _system_messages(self) -> list[Message]:
        return [message for message in self._messages[:1] if message.role == "system"]

    def _set_system(self, text: str) -> None:
        said = self._messages[len(self._system_messages()) :]
        self._messages = [Message("system", text), *said]

    def _last_question(self) -> int | None:
        for place in range(len(self._messages) - 1, -1, -1):
            if self._messages[place].role == "user":
                return place
        self._out.say("nothing was asked yet")
        return None

    def _keep(self) -> None:
        if self._history is None:
            return
        try:
            save_conversation(self._history, self._messages, self._registry.tools)
        except FormosaError as error:
            if not self._interactive:
                raise
            self._explain(error)

    def _need_consent(self) -> str:
        return ", ".join(item.tool.name for item in self._registry if item.confirm)

    def _say_length(self, what: str) -> None:
        if self._messages:
            turns = sum(message.role == "user" for message in self._messages)
            self._out.say(f"{what} {turns} question{'' if turns == 1 else 's'}")

    # -- a turn -----------------------------------------------------------------------------------

    def _turn(self, line: str, before: Sequence[Message]) -> None:
        """One question and everything up to its answer. A turn that fails is forgotten."""
        given = [*before, Message("user", line)]
        screen = Screen(self._out)
        try:
            transcript = self._runner.run(
                converse(
                    self._model,
                    given,
                    self._registry,
                    sampling=self._sampling,
                    confirm=self._confirm,
                    record=self._record,
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
            self._explain(error)
            return
        screen.end_line()
        self._messages = list(transcript.messages)
        self._close_turn(transcript, len(given))
        self._keep()

    def _close_turn(self, transcript: Transcript, given: int) -> None:
        if self._out.json_mode:
            said = [message.to_openai() for message in transcript.messages[given:]]
            self._out.data({"messages": said, "stopped": transcript.stopped})
        elif transcript.stopped == "length":
            self._out.hint("the reply was cut off; a larger --max-tokens lets it end")
        elif transcript.stopped == "steps":
            self._out.hint("the model kept calling tools and was stopped")

    def _explain(self, error: FormosaError) -> None:
        self._out.say(f"error: {error.message}")
        if error.hint:
            self._out.hint(error.hint)
