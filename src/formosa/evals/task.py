"""What a benchmark is: samples, a way of asking, and scorers. All three are pure.

A request depends on (sample, repeat, seed) and on nothing else: no clock, no global random
generator, no order. So the runner may ask in any order, stop, and go on tomorrow, and a scorer can
be run again over an old log.

Knows nothing of engines that are running, of files or of logs.

A sketch of a task:

    def ask(sample: Sample[str], repeat: int, seed: int) -> Asked:
        return Asked((Message("user", sample.content),), gold="4")

    def exact(sample: Sample[str], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
        answer = reply.message.content.strip()
        if not answer:
            return unread(reply, "an empty reply")
        return ScoreRecord("correct" if answer == "4" else "wrong", answer, "compared as text")
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from formosa.chat.message import Message, Tool
from formosa.engines.protocol import ChatReply, Sampling
from formosa.errors import DataError
from formosa.files import sha256_json
from formosa.results.log import Outcome

Content = TypeVar("Content")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class ScoreRecord:
    """What one scorer made of one reply.

    Attributes:
        answer: what was read from the reply, in the letters of the reply's own question; None
            where nothing could be read.
        why: one sentence that a person can check against the reply. A scorer with kinds of errors
            puts the kind first, as in `value_error:string — city: expected …`.
    """

    outcome: Outcome
    answer: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Sample(Generic[Content]):
    """One question of the data set. `id` is unique in its task; `content` is the task's own type.

    `subject` groups questions (a file of TMMLU+, a category of BFCL); "" where there is none.
    """

    id: str
    content: Content
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A sample as it is put to the model.

    Attributes:
        gold: the right answer to *this* way of asking, as a JSON value, for the log and its
            readers. Scorers don't get it from here.
        prefix: how many of `messages` (and the tools) belong to the part that other questions
            share; requests with the same such part are asked one after another, so that the
            engine's prompt cache is used. By default the system messages at the beginning.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    gold: Any = None
    prefix: int | None = None

    def shared(self) -> tuple[tuple[Message, ...], tuple[Tool, ...]]:
        """The beginning of the prompt that other questions may share."""
        count = self.prefix
        if count is None:
            count = 0
            while count < len(self.messages) and self.messages[count].role == "system":
                count += 1
        return self.messages[:count], self.tools


Ask = Callable[[Sample[Content], int, int], Asked]
Scorer = Callable[[Sample[Content], int, int, ChatReply], ScoreRecord]


@dataclass(frozen=True)
class Task(Generic[Content]):
    """A benchmark.

    Attributes:
        name: as on the command line.
        version: raise it when the prompt, the extraction or the scoring changes; logs of two
            versions are never continued or compared as one.
        source: where the data come from, a URL or `package==version`.
        revision: of the data: a commit, a version or a sha256.
        licence: of the data, as an SPDX name where there is one.
        language: `zh-TW`, `en`.
        samples: in a fixed order; neighbours are alike (same subject), since `limit` takes an
            evenly spread part.
        ask: (sample, repeat, seed) → the question as put to the model.
        scorers: name → (sample, repeat, seed, reply) → score. The first is the main one.
        decoder: how a reply becomes what the scorers judge, with its version (`tool-calls/1`),
            where that is a choice; it can move a score by points.
        needs: what the task asks of the sampling, such as one token with log-probabilities.
        slow_scorers: they may take seconds (and are safe in threads), so that the runner must not
            wait for them.
        private: the questions must not leave the cache. No text of a question or a reply goes
            into a log or onto a terminal; of a reply, only what `keep` makes of it.
    """

    name: str
    version: int
    source: str
    revision: str
    licence: str
    language: str
    samples: Sequence[Sample[Content]]
    ask: Ask[Content]
    scorers: Mapping[str, Scorer[Content]] = field(default_factory=dict)
    decoder: str = ""
    needs: Callable[[Sampling], Sampling] | None = None
    slow_scorers: bool = False
    private: bool = False
    keep: Callable[[ChatReply], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        if not self.samples:
            raise DataError(f"The task {self.name} has no samples.")
        if not self.scorers:
            raise DataError(f"The task {self.name} has no scorer.")
        seen: set[str] = set()
        for sample in self.samples:
            if sample.id in seen:
                raise DataError(f"The task {self.name} has two samples with the id {sample.id}.")
            seen.add(sample.id)

    def describe(self) -> dict[str, Any]:
        """What a log's first record says about the task."""
        return {
            "name": self.name,
            "version": self.version,
            "source": self.source,
            "revision": self.revision,
            "licence": self.licence,
            "language": self.language,
            **({"decoder": self.decoder} if self.decoder else {}),
            **({"private": True} if self.private else {}),
        }


def unread(reply: ChatReply, why: str) -> ScoreRecord:
    """The score of a reply that holds no readable answer: truncated where the token limit cut it,
    else unparsed. A reply that was cut *after* a readable answer is scored like any other."""
    if reply.finish == "length":
        return ScoreRecord("truncated", None, f"{why}; the reply was cut at the token limit")
    return ScoreRecord("unparsed", None, why)


def subset(samples: Sequence[Item], limit: int | None) -> list[Item]:
    """`limit` samples spread evenly over the whole, always the same ones; all without a limit.

    Raises:
        DataError: the limit is below one.
    """
    if limit is None or limit >= len(samples):
        return list(samples)
    if limit < 1:
        raise DataError(f"A limit of {limit} leaves nothing to ask.", "give a limit of 1 or more")
    # The middle of each of `limit` equal parts; integers, so that it is the same everywhere.
    return [samples[(2 * i + 1) * len(samples) // (2 * limit)] for i in range(limit)]


def seeded_key(seed: int, sample_id: str, repeat: int, *more: int | str) -> str:
    """64 hex digits that depend on the arguments alone, in every Python on every machine.

    Sort by it to shuffle; `random.Random` is avoided since its methods may change.
    """
    text = "/".join([str(seed), sample_id, str(repeat), *map(str, more)])
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def shuffled(items: Sequence[Item], seed: int, sample_id: str, repeat: int) -> list[Item]:
    """The items in the order that belongs to (seed, sample, repeat)."""
    order = sorted(range(len(items)), key=lambda i: seeded_key(seed, sample_id, repeat, i))
    return [items[i] for i in order]


def request_seed(seed: int, sample_id: str, repeat: int) -> int:
    """The engine's sampling seed for one request: 31 bits, which every server accepts."""
    return int(seeded_key(seed, sample_id, repeat, "sampling")[:8], 16) & 0x7FFF_FFFF


def plan_sha256(task: Task[Any], ids: Sequence[str], repeats: int, seed: int) -> str:
    """The hash of what will be asked: which samples, how often, with which seed."""
    return sha256_json(
        {"task": task.describe(), "samples": list(ids), "repeats": repeats, "seed": seed}
    )
