"""Does an engine write, word for word, what the checkpoint would? If not, how near was it?

An engine continues conversations greedily; the checkpoint then reads the same words in float32.
Where its own first choice is another word, the two go apart, and the gap says how far: the
difference of its log-probabilities for the two, in nats. A small gap is a **near tie**: rounding
decides it, and either word is right. What counts as small depends on the arithmetic, and is said
by whoever asks.

A reply without such a place is the one that the checkpoint itself gives in transformers. After a
near tie the engine's own words are read on, so one place is not counted again for what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from formosa.chat.message import Message, Tool
from formosa.chat.template import ChatTemplate
from formosa.engines.protocol import ModelInfo
from formosa.export.reference import Reference

Conversation = tuple[list[Message], list[Tool]]

TIES_AT_MOST = 0.05  # of all tokens compared
_NAMED = 3  # near ties that a report spells out, the widest first


class GreedyEngine(Protocol):
    """What is asked of an engine here; llama.cpp and vLLM have it."""

    @property
    def info(self) -> ModelInfo: ...

    async def tokenize(self, text: str) -> list[int]: ...

    async def greedy(self, ids: list[int], count: int) -> list[int]:
        """The next `count` most probable token ids, the end of text included if it comes."""
        ...


class Departure(NamedTuple):
    """A place where an engine takes another word than the checkpoint.

    Attributes:
        reply: its number, from 1.
        token: its place in the reply, from 1.
        said: the engine's word.
        meant: the checkpoint's.
        gap: of their log-probabilities, by the checkpoint in float32; in nats.
        before: tokens that were compared before it, in all replies.
    """

    reply: int
    token: int
    said: str
    meant: str
    gap: float
    before: int


class Replies(NamedTuple):
    """What was compared.

    Attributes:
        replies: how many.
        tokens: of all of them.
        departures: in the order of the replies.
    """

    replies: int
    tokens: int
    departures: tuple[Departure, ...]

    @property
    def same(self) -> int:
        """Replies without a departure."""
        return self.replies - len({departure.reply for departure in self.departures})


class Reply(NamedTuple):
    """What an engine wrote, as token ids."""

    prompt: list[int]
    words: list[int]


async def replies_of(
    engine: GreedyEngine,
    template: ChatTemplate,
    conversations: Sequence[Conversation],
    tokens: int,
) -> list[Reply]:
    """Let an engine reply to conversations.

    Apart from the comparison, so that the engine can be closed before the checkpoint is read: the
    two need not be in memory together.

    Args:
        engine: has the checkpoint's model.
        template: that the conversations are rendered with.
        conversations: what was said, and the tools; those that end with a reply are left out.
        tokens: of each reply.
    """
    replies = []
    for messages, tools in conversations:
        if messages[-1].role != "assistant":
            prompt = await engine.tokenize(template.prompt(messages, tools))
            replies.append(Reply(prompt, await engine.greedy(prompt, tokens)))
    return replies


def compare_replies(reference: Reference, replies: Sequence[Reply]) -> Replies:
    """Let the checkpoint read what an engine wrote."""
    compared = 0
    departures: list[Departure] = []
    for number, (prompt, words) in enumerate(replies, start=1):
        logits = reference.logits(prompt + words, last=len(words) + 1)[:-1]
        for place, (scores, word) in enumerate(zip(logits, words, strict=True), start=1):
            best = int(scores.argmax())
            if best != word:
                said, meant = (repr(reference.tokenizer.decode([i])) for i in (word, best))
                gap = float(scores[best] - scores[word])
                departures.append(Departure(number, place, said, meant, gap, compared))
            compared += 1
    return Replies(len(replies), compared, tuple(departures))


def judged(found: Replies, tie: float) -> tuple[bool, str]:
    """Whether all departures are near ties, and few; and the sentence that says so.

    Args:
        found: what was compared.
        tie: nats from which on a gap is none.
    """
    for departure in found.departures:
        if departure.gap >= tie:
            return False, (
                f"after {departure.before} tokens it says {departure.said}, not "
                f"{departure.meant}: {departure.gap:.2f}"
            )
    ties = len(found.departures)
    if not ties:
        return True, f"{found.replies} replies the same, {found.tokens} tokens"
    places = [
        f"reply {departure.reply}: {departure.said} for {departure.meant}, {departure.gap:.2f} nats"
        for departure in sorted(found.departures, key=lambda departure: -departure.gap)[:_NAMED]
    ]
    more = f"; {ties - _NAMED} more" if ties > _NAMED else ""
    return ties <= TIES_AT_MOST * found.tokens, (
        f"{found.same} of {found.replies} replies the same; {ties} of {found.tokens} tokens are "
        f"near ties ({'; '.join(places)}{more})"
    )
