"""Whether a call may run, asked at the keyboard: yes, no, or always for this tool.

Knows the question and the keys. Which tools need it is theirs to say.
"""

from __future__ import annotations

import asyncio
import signal

from formosa.chat.message import Tool, ToolCall, json_text
from formosa.cli.output import Output, visible


class Consent:
    """Asks, and remembers an "always" until the chat ends: the `confirm` of `converse`."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._always: set[str] = set()

    async def __call__(self, call: ToolCall, tool: Tool) -> bool:
        if call.name in self._always:
            return True
        # All of the arguments, on one line: what is agreed to must be what runs.
        shown = visible(f"{call.name}({json_text(call.values())})")
        question = f"? run {shown}\n  y = yes, n = no, a = always run {visible(call.name)}"
        answer = self._answer(question)
        if answer is None:
            await asyncio.sleep(0)  # here the cancellation arrives
            return False
        word = answer.strip().lower()
        if word in ("a", "always"):
            self._always.add(call.name)
        return word in ("y", "yes", "a", "always")

    def _answer(self, question: str) -> str | None:
        """The next line; "" at the end of input; None for Ctrl-C, which has cancelled the turn.

        asyncio's own handler would only note the Ctrl-C and let `input` wait on. So ours is there
        before the question is, and one that came still earlier is looked for.
        """
        before = signal.getsignal(signal.SIGINT)
        if before is not signal.SIG_IGN:  # as under nohup: nobody's Ctrl-C is meant for us
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return None
            self._out.say(question)
            return input()
        except EOFError:
            return ""
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGINT, before)
        signal.raise_signal(signal.SIGINT)
        return None
