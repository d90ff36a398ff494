"""What a sheet holds: one shape for a run, a checkpoint, a GGUF file, a card and a hub id.

Bytes are bytes, a missing value is None or empty, and nothing here was guessed from a name unless
its field says so. Text is a stranger's: `clean` took out what could steer a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

LONGEST = 4_000  # characters of one text; longer ones are cut, and end in …
MOST = 1_000  # entries of one list

State = Literal["claimed", "traced", "reproduced", "differs"]
Kind = Literal["run", "checkpoint", "gguf", "card", "hub", "built-in"]


def clean(text: str, longest: int = LONGEST) -> str:
    """Text without control characters, lone surrogates and marks that turn the reading order."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in cut)


def cleaned(value: Any) -> Any:
    """`clean` for every text of a JSON value, keys included."""
    if isinstance(value, Mapping):
        return {clean(str(key)): cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value[:MOST]]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return value if value is None or isinstance(value, bool | int) else clean(str(value))


@dataclass(frozen=True, slots=True)
class Base:
    """A model that this one comes from; the relation in the hub's words, "" where nobody says."""

    id: str
    relation: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One metric of the model-index.

    Attributes:
        state: `claimed`: somebody says so. `traced`: it was computed again, here and now, from a
            log whose sha256 is the one that the card names. `reproduced` and `differs`: a log of
            one's own has it inside, or outside, of its interval of 95 %.
        because: why it is in this state.
        says_verified: the entry says `verified: true`. That is the hub's word about its own runs;
            nothing here checks or repeats it.
    """

    task: str
    dataset: str
    dataset_name: str
    config: str
    split: str
    revision: str
    metric: str
    metric_name: str
    value: Any
    state: State
    because: str
    says_verified: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """A file of the model; `sha256` is "" where nobody computed or published one.

    Attributes:
        quantisation: as the file's header says.
        bits: of a weight, all tensors together; None where the header was not read.
        named: the header was not read, and the quantisation is what the file's name says.
    """

    name: str
    bytes: int | None
    sha256: str = ""
    from_hub: bool = False  # the digest is what the hub says of a file that is not here
    quantisation: str = ""
    bits: float | None = None
    named: bool = False


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the network; None where the files do not say.

    Attributes:
        context: tokens it was made for.
        window: tokens that most layers of Gemma look back; 0 where all layers see everything.
        window_every: of so many layers, one sees everything.
        kv_heads: of each layer, or one number for all.
        intermediate: width of the feed-forward part.
        tied: the output is the embedding matrix.
    """

    name: str = ""
    parameters: int | None = None
    context: int | None = None
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    kv_heads: tuple[int, ...] = ()
    head_dim: int | None = None
    vocabulary: int | None = None
    window: int = 0
    window_every: int = 1
    quantisation: str = ""
    intermediate: int | None = None
    tied: bool | None = None


@dataclass(frozen=True, slots=True)
class TemplateFeatures:
    """What the chat template does with a conversation that was put through it.

    Attributes:
        where: which file it came from.
        tools: a tool that is offered stands in the prompt.
        parallel_calls: two calls of one reply, and their two results, stand in the prompt.
        system: a system message stands in the prompt.
        reasoning: thoughts of a reply are written, or the prompt itself opens a think block.
        thinking_switch: `enable_thinking=False` makes another prompt.
        ours: it is Formosa's own format.
        problem: why it could not be tried.
    """

    where: str
    sha256: str
    tools: bool | None = None
    parallel_calls: bool | None = None
    system: bool | None = None
    reasoning: bool | None = None
    thinking_switch: bool | None = None
    ours: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that one file needs to run: its weights, and the cache of a conversation so long.

    Attributes:
        estimated: no such file is there, and the weights are what llama.cpp's own types by tensor
            would take.
        cache: bytes of keys and values in F16, by tokens of context.
    """

    quantisation: str
    weights: int
    estimated: bool
    cache: Mapping[int, int]
    file: str = ""


@dataclass(frozen=True, slots=True)
class Derivative:
    """A model on the hub that names this one as its base."""

    id: str
    relation: str
    downloads: int | None = None
    likes: int | None = None


@dataclass(frozen=True, slots=True)
class Prose:
    """What stands in the card's text. No HTML: tables are cells, texts are plain."""

    title: str = ""
    summary: str = ""
    image: str = ""
    links: tuple[tuple[str, str], ...] = ()
    sections: tuple[str, ...] = ()
    tables: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A model at a glance.

    Attributes:
        source: how it was asked for.
        place: path or address.
        fields: the card's front matter as it stands there.
        metadata: single values of the GGUF file.
        hub: what the hub says of the repository, by the names of its API; {} for other sources.
        problems: what could not be read, one sentence each.
    """

    source: Kind
    name: str
    place: str
    revision: str = ""
    licence: str = ""
    licence_name: str = ""
    licence_link: str = ""
    languages: tuple[str, ...] = ()
    bases: tuple[Base, ...] = ()
    datasets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    library: str = ""
    pipeline: str = ""
    results: tuple[Result, ...] = ()
    files: tuple[File, ...] = ()
    architecture: Architecture = field(default_factory=Architecture)
    template: TemplateFeatures | None = None
    memory: tuple[Memory, ...] = ()
    derivatives: tuple[Derivative, ...] = ()
    prose: Prose = field(default_factory=Prose)
    fields: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    hub: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
