"""A conversation becomes the samples that a model is trained on: which turns, with which history.

A sample is a conversation and the assistant's turns in it that are learnt. Usually there is one
for each conversation. There are more when

- the reasoning of earlier turns is dropped (`thinking: drop`), as most clients do: a turn is then
  learnt behind a history without thoughts, and nothing else teaches what is served;
- the conversation is too long (`overlong: split`): it is cut where the user begins to speak, with
  the system prompt and the tools kept in front and the latest turns as context.

Every assistant's turn is learnt exactly once, whatever the settings; those that can't fit are
counted. Knows nothing of tokens: `split` asks the caller how long something is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from formosa.chat.message import Message, Tool


@dataclass(frozen=True, slots=True)
class Sample:
    """A conversation and the indexes of the assistant's messages in it that are learnt."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    learnt: tuple[int, ...]

    def up_to(self, index: int) -> Sample:
        """The same, ending with message `index`; learnt turns behind it are gone."""
        kept = tuple(i for i in self.learnt if i <= index)
        return Sample(self.messages[: index + 1], self.tools, kept)


Length = Callable[[Sequence[Message], Sequence[Tool]], int]  # tokens of a rendered conversation


def assistant_turns(messages: Sequence[Message]) -> tuple[int, ...]:
    """The indexes of what the assistant said."""
    return tuple(i for i, message in enumerate(messages) if message.role == "assistant")


def whole(messages: Sequence[Message], tools: Sequence[Tool]) -> Sample:
    """All of the assistant's turns in one sample; nothing follows the last one."""
    turns = assistant_turns(messages)
    end = turns[-1] + 1 if turns else len(messages)
    return Sample(tuple(messages[:end]), tuple(tools), turns)


def without_earlier_thinking(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Sample]:
    """Samples in which no turn has the reasoning of an earlier one before it.

    A turn with reasoning is learnt in a sample that ends there. A turn without any is the same in
    a longer sample, and is learnt there: a conversation without reasoning stays one sample.
    """
    sample = whole(messages, tools)
    bare = tuple(replace(message, reasoning="") for message in sample.messages)
    samples = []
    together: list[int] = []
    for i in sample.learnt:
        if i != sample.learnt[-1] and not sample.messages[i].reasoning:
            together.append(i)
            continue
        # What was waiting is learnt here only where this is the last sample: once is enough.
        learnt = (*together, i) if i == sample.learnt[-1] else (i,)
        samples.append(Sample((*bare[:i], sample.messages[i]), sample.tools, learnt))
    return samples


def turn_by_turn(sample: Sample) -> list[Sample]:
    """One sample for each learnt turn, with the history as it is."""
    return [Sample(sample.messages[: i + 1], sample.tools, (i,)) for i in sample.learnt]


def split(sample: Sample, limit: int, length: Length) -> tuple[list[Sample], int]:
    """Cut a sample that is too long where the user begins to speak.

    Each piece has the system prompt and the tools in front, then as many of the latest turns as
    fit: half of the room at most, where more is to be learnt than the other half holds. That is
    what a client does whose context is full. An exchange that is too long alone keeps its first
    steps; what comes after them can't be learnt.

    Args:
        sample: what is longer than `limit`.
        limit: tokens of a piece.
        length: tells how many tokens a rendered conversation has.

    Returns:
        The pieces, and how many of the learnt turns are in none of them.
    """
    messages, tools = sample.messages, sample.tools
    front = messages[:1] if messages[0].role == "system" else ()
    starts = [i for i, message in enumerate(messages) if message.role == "user"]
    if not starts or starts[0] != len(front):
        starts.insert(0, len(front))  # a greeting before the user's first words
    ends = [*starts[1:], len(messages)]
    base = length(front, tools)
    room = limit - base
    sizes = [
        length((*front, *messages[start:end]), tools) - base
        for start, end in zip(starts, ends, strict=True)
    ]
    wanted = [
        [i for i in sample.learnt if start <= i < end]
        for start, end in zip(starts, ends, strict=True)
    ]
    pieces: list[Sample] = []
    lost = 0
    block = 0
    while block < len(starts):
        if not wanted[block]:
            block += 1
            continue
        if sizes[block] > room:
            piece = _first_steps(sample, front, starts[block], wanted[block], limit, length)
            lost += len(wanted[block]) - len(piece.learnt if piece else ())
            if piece:
                pieces.append(piece)
            block += 1
            continue
        rest = sum(size for size, turns in zip(sizes[block:], wanted[block:], strict=True) if turns)
        context = min(max(room - rest, room // 2), room - sizes[block])
        first = block
        while first > 0 and sizes[first - 1] <= context:
            first -= 1
            context -= sizes[first]
        used = sum(sizes[first : block + 1])
        last = block
        while last + 1 < len(sizes) and used + sizes[last + 1] <= room:
            last += 1
            used += sizes[last]
        learnt = [i for turns in wanted[block : last + 1] for i in turns]
        pieces.append(_window(sample, front, starts[first], learnt))
        block = last + 1
    return pieces, lost


def _window(
    sample: Sample, front: tuple[Message, ...], start: int, learnt: Sequence[int]
) -> Sample:
    """The messages from `start` to the last learnt one, behind `front`."""
    moved = len(front) - start
    kept = sample.messages[start : learnt[-1] + 1]
    return Sample((*front, *kept), sample.tools, tuple(i + moved for i in learnt))


def _first_steps(
    sample: Sample,
    front: tuple[Message, ...],
    start: int,
    wanted: Sequence[int],
    limit: int,
    length: Length,
) -> Sample | None:
    """As many of an exchange's learnt turns as fit, from its beginning."""
    for count in range(len(wanted), 0, -1):
        piece = _window(sample, front, start, wanted[:count])
        if length(piece.messages, piece.tools) <= limit:
            return piece
    return None
