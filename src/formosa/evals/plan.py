"""What a run will ask: which samples, how often, each request whole, and in which order.

A plan depends on the task, the limit, the repeats, the seed, the sampling and the shard alone. It
holds samples; requests are made one after another while they are asked, so that 100,000 of them
need not lie in memory.

Order: requests whose prompts begin alike (same system message, same tools) follow each other within
a window of samples, since engines keep the state of the last prompts; the repeats of a question
follow each other, too. Trade-off: a task that changes its beginning with every sample, over more
than a window, is grouped only inside each window.

Shards divide the samples among machines: shard k of n takes every n-th one, so all shards are
alike. Logs of all shards are put together by `results/merge.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

from formosa.engines.protocol import ChatRequest, ModelInfo, Sampling
from formosa.errors import UserError
from formosa.evals.task import Asked, Sample, Task, plan_sha256, request_seed, subset
from formosa.files import canonical_json, sha256_text
from formosa.results.code import code
from formosa.results.log import SCHEMA, Key, Record, now

WINDOW = 2048  # samples, among which those that begin alike are brought together


class Shard(NamedTuple):
    """Part `number` of `of`, counted from 1."""

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """`3/8`.

        Raises:
            UserError: it is not of that form, or there is no such part.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match and 1 <= int(match[1]) <= int(match[2]):
            return cls(int(match[1]), int(match[2]))
        raise UserError(f"{text!r} is no shard.", "write the third of eight as --shard 3/8")


@dataclass(frozen=True, slots=True)
class Planned:
    """One request of a plan."""

    sample: Sample[Any]
    repeat: int
    asked: Asked
    request: ChatRequest
    sha256: str

    @property
    def key(self) -> Key:
        return self.sample.id, self.repeat


@dataclass(frozen=True)
class Plan:
    """All requests of one task; `samples` are those of the shard, `chosen` counts all shards'."""

    task: Task[Any]
    samples: tuple[Sample[Any], ...]
    chosen: int
    repeats: int
    seed: int
    sampling: Sampling
    sha256: str
    shard: Shard | None = None

    def __len__(self) -> int:
        return len(self.samples) * self.repeats

    def every_key(self) -> Iterator[Key]:
        return ((sample.id, repeat) for sample in self.samples for repeat in range(self.repeats))

    def requests(self) -> Iterator[Planned]:
        """Every request, in the order in which they are asked."""
        for begin in range(0, len(self.samples), WINDOW):
            groups: dict[Any, list[tuple[Sample[Any], Asked]]] = {}
            for sample in self.samples[begin : begin + WINDOW]:
                asked = self.task.ask(sample, 0, self.seed)
                groups.setdefault(asked.shared(), []).append((sample, asked))
            for group in groups.values():
                for sample, asked in group:
                    yield self._planned(sample, 0, asked)
                    for repeat in range(1, self.repeats):
                        yield self._planned(
                            sample, repeat, self.task.ask(sample, repeat, self.seed)
                        )

    def one(self, sample: Sample[Any], repeat: int) -> Planned:
        """One request by itself."""
        return self._planned(sample, repeat, self.task.ask(sample, repeat, self.seed))

    def _planned(self, sample: Sample[Any], repeat: int, asked: Asked) -> Planned:
        chosen = self.sampling
        if chosen.temperature > 0 and chosen.seed is None:
            chosen = replace(chosen, seed=request_seed(self.seed, sample.id, repeat))
        request = ChatRequest(asked.messages, asked.tools, chosen)
        return Planned(sample, repeat, asked, request, request_sha256(request))

    def start(self, info: ModelInfo) -> Record:
        """The first record of the log of this plan and that model."""
        shard = self.shard and {**self.shard._asdict(), "samples": len(self.samples)}
        return {
            "type": "start",
            "schema": SCHEMA,
            "task": self.task.describe(),
            "model": {
                "name": info.name,
                "path": info.path,
                "sha256": info.sha256,
                "template_sha256": info.template.sha256 if info.template else None,
                "details": dict(info.details),
            },
            "request": asdict(self.sampling),
            "plan": {
                "samples": self.chosen,
                "repeats": self.repeats,
                "seed": self.seed,
                "original": len(self.task.samples),
                "sha256": self.sha256,
                **({"shard": shard} if shard else {}),
            },
            "scorers": list(self.task.scorers),
            "started": now(),
            "code": code(),
        }


def make_plan(
    task: Task[Any],
    *,
    repeats: int = 1,
    limit: int | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
    shard: Shard | None = None,
) -> Plan:
    """The plan of one task.

    Args:
        task: what is asked.
        repeats: how often each sample is asked.
        limit: ask only so many samples, spread evenly and always the same ones.
        seed: of the order of options, and of the sampling where the temperature is not 0.
        sampling: greedy when left out. A seed in it is used for every request alike.
        shard: only this part of the samples.

    Raises:
        UserError: no repeats, a limit below one, or a shard that holds no sample.
    """
    if repeats < 1:
        raise UserError(f"{repeats} repeats leave nothing to ask.", "give 1 or more")
    sampling = sampling or Sampling()
    if task.needs:
        sampling = task.needs(sampling)
    chosen = subset(task.samples, limit)
    sha256 = plan_sha256(task, sorted(sample.id for sample in chosen), repeats, seed)
    mine = tuple(chosen[shard.number - 1 :: shard.of] if shard else chosen)
    if not mine:
        raise UserError(
            f"Shard {shard and shard.number} of {shard and shard.of} holds no sample: "
            f"there are only {len(chosen)}.",
            "make fewer shards",
        )
    return Plan(task, mine, len(chosen), repeats, seed, sampling, sha256, shard)


def request_sha256(request: ChatRequest) -> str:
    """The hash of all that decides what the model is asked. Fields with their default are left
    out, so that a new field of `ChatRequest` does not orphan the logs there are."""
    said: dict[str, Any] = {
        "messages": [message.to_openai() for message in request.messages],
        "sampling": _changed(request.sampling),
        **_changed(request, without={"messages", "tools", "sampling"}),
    }
    if request.tools:
        said["tools"] = [[tool.name, tool.description, tool.parameters] for tool in request.tools]
    return sha256_text(canonical_json(said))


def _changed(value: Any, without: set[str] | frozenset[str] = frozenset()) -> Mapping[str, Any]:
    default = _DEFAULTS[type(value)]
    return {
        name: part
        for name, part in ((name, getattr(value, name)) for name in default if name not in without)
        if part != default[name]
    }


def _defaults(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


_DEFAULTS: dict[type, dict[str, Any]] = {
    Sampling: _defaults(Sampling()),
    ChatRequest: _defaults(ChatRequest(())),
}
