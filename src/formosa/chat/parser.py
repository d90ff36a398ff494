"""Turn a model's reply into reasoning, content and tool calls, as it arrives.

Knows the tags of the Hermes format and `<think>`. Knows nothing of tokens, HTTP or SSE.

Promises, for any way of cutting the text into chunks down to single characters:

- the joined events equal the result for the whole text;
- every character is reasoning, content or part of a call. Only the white space that the format
  itself puts around its tags is left out;
- a malformed or truncated call comes back as content, raw, with a defect that says why, and never
  costs the calls beside it;
- calls inside a think block that was closed are thoughts. In one that never closes a call is a
  call, and ends the block; a malformed one stays a thought, with its defect;
- a think block opens at the beginning of the reply, after a call or another block, or at the start
  of a line. Elsewhere `<think>` is a word of the content;
- work grows with the length of the text. What is held back is a partial tag and white space before
  one, or a call that has not ended.

Trade-off, on purpose: a call is emitted whole, when its object closes. A client that wants half an
argument string gets the whole of it a moment later, and never broken JSON.

`scan.py` finds where a call ends, `calls.py` reads it; this is the machine that chooses between
reasoning, content and calls.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Literal

from formosa.chat.calls import MalformedCallError, list_items, read_calls
from formosa.chat.message import Message, ToolCall
from formosa.chat.reply import Defect, Delta, Event, Reply
from formosa.chat.scan import CallScan, after_value
from formosa.chat.tags import CALL, END_THINK, SPACE, THINK, partial_tag

RETRIES = 64  # long re-readings after an unclosed string; keeps the work linear for hostile text
PIECE = 4096  # characters read at a time, so that cutting the front off costs little


class _State(Enum):
    OPENED = auto()  # the prompt opened a think block, which the model may open once more
    CONTENT = auto()
    BETWEEN = auto()  # white space only so far: at the start, or after a call or a think block
    REASONING = auto()
    HELD = auto()  # inside a think block, from the start of a call on
    CALL = auto()
    AFTER_OBJECT = auto()  # a whole object was read; its closing tag is due


_OPEN_TAGS = re.compile(r"<think>|<tool_call>")
_THOUGHT_TAGS = re.compile(r"</think>|<tool_call>")
_SPACE = re.compile(rf"\s{{0,{SPACE}}}")


class ReplyParser:
    """Feed it text as it arrives, then flush it.

    Args:
        reasoning_open: the prompt itself ended inside a think block.
        calls: whether tool calls are looked for; without tools their tags are plain content.
        call_id: names the n-th call; `call_0`, `call_1`, … by default.
    """

    def __init__(
        self,
        *,
        reasoning_open: bool = False,
        calls: bool = True,
        call_id: Callable[[int], str] = "call_{}".format,
    ) -> None:
        self._calls_wanted = calls
        self._call_id = call_id
        self._state = _State.OPENED if reasoning_open else _State.BETWEEN
        self._queue: deque[str] = deque()  # arrived, but not read yet
        self._pending = ""  # read, but not decided yet: at most a partial tag and white space
        self._flushed = False
        self._retries = RETRIES
        self._strip_after = "\n" if reasoning_open else ""  # newlines that belong to a tag
        self._events: list[Event] = []
        self._parts: dict[str, list[str]] = {"reasoning": [], "content": []}
        self._blocks = int(reasoning_open)  # think blocks seen so far
        self._never_closed = False  # the reply ended inside a think block, which is read again
        self._in_thought = False  # the call that is being read began inside that block
        self._calls: list[ToolCall] = []
        self._defects: list[Defect] = []
        self._scan = CallScan("")  # of the call that is being read
        self._held_thoughts: list[str] = []  # what may be a call, inside a think block
        self._line_empty = True  # so far, nothing but white space on this line of the content

    # -- the two ways in ---------------------------------------------------------------------

    def feed(self, chunk: str) -> list[Event]:
        """Events that this chunk decides."""
        self._queue.extend(_pieces(chunk))
        self._run()
        return self._take()

    def flush(self) -> list[Event]:
        """The reply has ended: decide what was held back."""
        self._flushed = True
        self._run()
        if self._state is _State.HELD:
            self._read_held_again()
            self._run()
        return self._take()

    @property
    def undecided(self) -> int:
        """How many characters were fed and are held back, apart from a call that is being read."""
        return len(self._pending) + sum(map(len, self._queue))

    def reply(self) -> Reply:
        """The whole reply so far, as one assistant message."""
        message = Message(
            "assistant",
            content="".join(self._parts["content"]),
            reasoning="".join(self._parts["reasoning"]),
            tool_calls=tuple(self._calls),
        )
        return Reply(message, tuple(self._defects))

    # -- the machine -------------------------------------------------------------------------

    def _run(self) -> None:
        steps = {
            _State.OPENED: self._opened,
            _State.CONTENT: self._content,
            _State.BETWEEN: self._between,
            _State.REASONING: self._reasoning,
            _State.HELD: self._held,
            _State.CALL: self._call,
            _State.AFTER_OBJECT: self._after_object,
        }
        while True:
            while steps[self._state]():
                pass
            if not self._queue:
                return
            self._pending += self._queue.popleft()

    @property
    def _final(self) -> bool:
        """Whether nothing follows what is pending."""
        return self._flushed and not self._queue

    def _opened(self) -> bool:
        """The start of a reply to a prompt that ends in `<think>`: the tag may come once more.

        Returns whether another step can be taken, like every step below.
        """
        space = _SPACE.match(self._pending)
        assert space is not None
        rest = self._pending[space.end() : space.end() + len(THINK)]
        if not self._final and rest != THINK and THINK.startswith(rest):
            return False
        if rest == THINK:
            self._pending = self._pending[space.end() + len(THINK) :]
        self._state = _State.REASONING
        return True

    def _content(self) -> bool:
        """Plain text."""
        position, line_empty = 0, self._line_empty
        while match := _OPEN_TAGS.search(self._pending, position):
            tag, start = match.group(), match.start()
            line_empty = _line_is_empty(self._pending[position:start], line_empty)
            if tag == THINK:
                if line_empty:
                    self._emit("content", self._pending[:start])
                    self._open_reasoning(match.end())
                    return True
            else:
                opens = self._opens_call(match.end())
                if opens is None:  # undecided: white space after the tag, and nothing more yet
                    self._emit_before(start)
                    return False
                if opens:
                    before = self._pending[:start].removesuffix("\n")
                    self._emit("content", before)
                    self._start_call(len(before), match.end())
                    return True
            position, line_empty = match.end(), False  # the text only mentions the tag
        self._emit_before(self._partial_tag((THINK, CALL)))
        return False

    def _between(self) -> bool:
        """White space that is dropped before a tag or the end, and content otherwise."""
        if not self._strip_newlines():
            return False
        space = _SPACE.match(self._pending)
        assert space is not None
        rest = self._pending[space.end() : space.end() + len(CALL)]
        if not rest:
            if self._final and not self._calls:
                self._emit("content", self._pending)  # a reply of white space only
                self._pending = ""
            return False
        begun = THINK.startswith(rest) or CALL.startswith(rest)
        if begun and rest not in (THINK, CALL) and not self._final:
            return False
        if rest.startswith(THINK):
            self._open_reasoning(space.end() + len(THINK))
            return True
        if rest == CALL:
            opens = self._opens_call(space.end() + len(CALL))
            if opens is None:
                return False
            if opens:
                self._start_call(0, space.end() + len(CALL))
                return True
        self._state = _State.CONTENT
        return True

    def _reasoning(self) -> bool:
        if not self._strip_newlines():
            return False
        position = 0
        while match := _THOUGHT_TAGS.search(self._pending, position):
            if match.group() == END_THINK:
                self._emit("reasoning", self._pending[: match.start()].removesuffix("\n"))
                self._close_reasoning(match.end())
                return True
            opens = self._opens_call(match.end())
            if opens is None:
                self._emit_before(match.start())
                return False
            if opens:
                before = self._pending[: match.start()].removesuffix("\n")
                self._emit("reasoning", before)
                if self._never_closed:
                    self._start_call(len(before), match.end())
                    self._in_thought = True
                else:
                    self._pending = self._pending[len(before) :]
                    self._state = _State.HELD
                return True
            position = match.end()
        self._emit_before(self._partial_tag((END_THINK, CALL)))
        return False

    def _held(self) -> bool:
        """A call inside a think block: a thought if the block closes, a call if it never does."""
        end = self._pending.find(END_THINK)
        if end >= 0:
            self._held_thoughts.append(self._pending[:end])
            self._emit("reasoning", "".join(self._held_thoughts).removesuffix("\n"))
            self._held_thoughts = []
            self._close_reasoning(end + len(END_THINK))
            return True
        keep = self._partial_tag((END_THINK,))
        self._held_thoughts.append(self._pending[:keep])
        self._pending = self._pending[keep:]
        return False

    def _call(self) -> bool:
        """The inside of a call, up to the end of its JSON value."""
        found = self._scan.scan(self._pending, self._final)
        if found.outcome == "more":
            self._pending = self._pending[found.end :]
            return False
        if found.outcome == "broken":
            return self._spoil(found.end, found.problem)
        return self._finish_object(found.end)

    def _after_object(self) -> bool:
        follows, position = after_value(self._pending, self._final)
        if follows == "more":
            return False
        if follows == "value":
            self._start_call(0, position)
            return True
        if follows == "tag":
            self._pending = self._pending[position:]
        self._state = _State.BETWEEN  # the closing tag may have been forgotten
        return True

    # -- calls -------------------------------------------------------------------------------

    def _start_call(self, start: int, end: int) -> None:
        """The tag and the white space before it stand from `start` to `end` of what is pending."""
        self._scan = CallScan(self._pending[start:end])
        self._pending = self._pending[end:]
        self._state = _State.CALL

    def _opens_call(self, position: int) -> bool | None:
        """Whether a call follows the tag that ends at `position`; None if that is open still."""
        if not self._calls_wanted:
            return False
        space = _SPACE.match(self._pending, position)
        assert space is not None
        if space.end() == len(self._pending):
            return False if self._final else None
        return self._pending[space.end()] in "{["

    def _finish_object(self, end: int) -> bool:
        text = self._scan.text(self._pending, end)
        found: list[ToolCall | Defect] = []
        problem = ""
        for item in list_items(text):
            try:
                found.extend(read_calls(item))
            except MalformedCallError as error:
                problem = problem or str(error)
                found.append(Defect(str(error), item))
        if not any(isinstance(one, ToolCall) for one in found):
            return self._spoil(end, problem)
        for one in found:
            if isinstance(one, Defect):  # one of a list, beside good ones
                self._defects.append(one)
                self._emit("content", one.text, broken=True)
            else:
                call = ToolCall(one.name, one.arguments, self._call_id(len(self._calls)))
                self._calls.append(call)
                self._events.append(call)
        self._pending = self._pending[end:]
        self._in_thought = False
        self._line_empty = True
        self._state = _State.AFTER_OBJECT
        return True

    def _spoil(self, end: int, problem: str) -> bool:
        """Give the call back raw, up to `end` of what is pending, or up to the place before it
        where the call ended if one of its strings was never closed. Read on from there."""
        text = self._scan.text(self._pending, end)
        stop = self._scan.first_end(text)
        if len(text) - stop > PIECE:  # shorter ones are paid for by the call's own length
            self._retries -= 1
            stop = stop if self._retries >= 0 else len(text)
        raw = self._scan.opening + text[:stop]
        self._defects.append(Defect(problem, raw.lstrip()))
        self._emit("reasoning" if self._in_thought else "content", raw, broken=True)
        self._queue.extendleft(reversed(_pieces(text[stop:] + self._pending[end:])))
        self._pending = ""
        self._state = _State.REASONING if self._in_thought else _State.CONTENT
        self._in_thought = False
        return False

    # -- reasoning ---------------------------------------------------------------------------

    def _open_reasoning(self, position: int) -> None:
        if self._blocks and self._parts["reasoning"]:
            self._emit("reasoning", "\n")
        self._blocks += 1
        self._pending = self._pending[position:]
        self._strip_after = "\n"
        self._state = _State.REASONING

    def _close_reasoning(self, position: int) -> None:
        self._pending = self._pending[position:]
        self._strip_after = "\n\n"
        self._line_empty = True
        self._state = _State.BETWEEN

    def _read_held_again(self) -> None:
        """The think block never closed, so nothing of what was held needs to be held again."""
        self._never_closed = True
        self._queue.extendleft(reversed(_pieces("".join(self._held_thoughts))))
        self._held_thoughts = []
        self._state = _State.REASONING

    # -- text --------------------------------------------------------------------------------

    def _strip_newlines(self) -> bool:
        """Drop the newlines that belong to the tag just read; False if more text is needed."""
        while self._strip_after:
            if not self._pending:
                return self._final
            if self._pending[0] != "\n":
                self._strip_after = ""
                break
            self._pending = self._pending[1:]
            self._strip_after = self._strip_after[1:]
        return True

    def _partial_tag(self, tags: tuple[str, ...]) -> int:
        """Where a partial tag at the end of what is pending begins; its length if there is none."""
        return len(self._pending) if self._final else partial_tag(self._pending, tags)

    def _emit_before(self, position: int) -> None:
        """Emit what is pending before `position`, keeping back one newline before it."""
        kind: Literal["reasoning", "content"] = (
            "reasoning" if self._state is _State.REASONING else "content"
        )
        if not self._final and self._pending[:position].endswith("\n"):
            position -= 1
        self._emit(kind, self._pending[:position])
        self._pending = self._pending[position:]

    def _emit(
        self, kind: Literal["reasoning", "content"], text: str, *, broken: bool = False
    ) -> None:
        if text:
            if kind == "content":
                self._line_empty = _line_is_empty(text, self._line_empty)
            self._parts[kind].append(text)
            self._events.append(Delta(kind, text, broken))

    def _take(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _line_is_empty(text: str, before: bool) -> bool:
    """Whether the last line of `text` is white space only; `before`: that of what stands before."""
    line = text[text.rfind("\n") + 1 :]
    return (before or len(line) < len(text)) and not line.strip()


def _pieces(text: str) -> list[str]:
    return [text[i : i + PIECE] for i in range(0, len(text), PIECE)]


def parse_reply(text: str, *, reasoning_open: bool = False, calls: bool = True) -> Reply:
    """The whole of a reply at once; the same result as any way of streaming it."""
    parser = ReplyParser(reasoning_open=reasoning_open, calls=calls)
    parser.feed(text)
    parser.flush()
    return parser.reply()
