"""What a card says of a run besides its tables, and where it is silent.

Everything here follows from files of the run; nothing is guessed where a file is missing. Sentences
hold no figures: those stand in tables, with their claims.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from formosa import __version__
from formosa.card import licences
from formosa.card.hub import is_hub_id
from formosa.card.ledger import (
    ADAPTER,
    CONFIG,
    FLOW,
    PARITY,
    REPORT,
    SUMMARY,
    Ledger,
    LogFile,
    Words,
    base_of,
)
from formosa.card.markdown import code_block, escaped
from formosa.card.modelfile import Turn, turn_of
from formosa.card.tables import is_lenient, one_of, pairs_of
from formosa.errors import UserError
from formosa.results.metrics import outcomes, paired_difference

OFTEN = 0.25  # share of the answers from which on a way to fail is named in prose
TEMPLATE, TOKENIZER = "checkpoint/chat_template.jinja", "checkpoint/tokenizer.json"
ROWS = "data/train.jsonl"
PLOTS = ("gguf/levels.svg", "gguf/levels.png")
# A field that is there and not empty. Inside of a text its quotes would have backslashes.
_THOUGHT = re.compile(rb'"reasoning_content":\s*"[^"]')
_CALL = re.compile(rb'"tool_calls":\s*\[\s*\{')
MOST_ROWS = 2_000_000  # of the training data that are looked through for reasoning


@dataclass(frozen=True)
class Facts:
    """What is known of the model.

    Attributes:
        base: `name`, `licence`, `hub_id`, `revision`; "" where the run does not say.
        relation: to the base, as the hub calls it; "" where the run made no model.
        pretrained: trained on documents, not on conversations.
        reasoning: taught to think in <think> first.
        think_tokens: whether <think> and </think> are in the vocabulary.
        turn: control tokens of the chat template, where it is ours.
        gguf: the file to serve, "" without one; `files` are for people, as Markdown.
        adapter: the file that is added to the base, where the run publishes it alone.
        banner: words that the base's licence wants where everybody sees them.
        plot: of the quantisation levels, "" without one.
    """

    name: str
    base: dict[str, str]
    relation: str
    pretrained: bool
    tools: bool
    reasoning: bool
    think_tokens: bool
    turn: Turn | None
    languages: tuple[str, ...]
    architecture: str
    checkpoint: bool
    gguf: str
    adapter: str
    files: tuple[str, ...]
    library: str
    tags: tuple[str, ...]
    datasets: tuple[str, ...]
    banner: str
    plot: str


def gather(book: Ledger, logs: list[LogFile], name: str) -> Facts:
    root = book.sources.root
    checkpoint = (root / "checkpoint").is_dir()
    found = sorted(path.name for path in (root / "gguf").glob("*.gguf"))
    ggufs = [name for name in found if name.isprintable()]  # a line break would end a command
    main = str(book.get(PARITY, "file"))
    gguf = f"gguf/{main if main in ggufs else ggufs[0]}" if ggufs else ""
    added = str(book.get(ADAPTER, "file") or "")
    adapter = f"adapter/{added}" if added and added.isprintable() else ""
    pretrained = book.get(SUMMARY, "objective") == "cpt"
    reasoning = _reasons(book)
    base = base_of(book)
    licence = licences.known(base["licence"])
    asked = any(log.task.startswith("bfcl") for log in logs)
    tools = not pretrained and (book.has(FLOW) or asked or _trained_calls(book))
    files = [_file(adapter)] * bool(adapter)
    files += ["`checkpoint/` (safetensors)"] * checkpoint
    files += [_file(f"gguf/{file}") for file in ggufs]
    tags = ["Taiwan", "zhtw", "SLM", *["tool-calling", "hermes"] * tools]
    tags += [*["reasoning"] * reasoning, *["gguf"] * bool(gguf or adapter), "formosa"]
    trained = book.has(SUMMARY)
    return Facts(
        name=name,
        base=base,
        relation="adapter" if adapter else "finetune" if trained else "quantized" if gguf else "",
        pretrained=pretrained,
        tools=tools,
        reasoning=reasoning,
        think_tokens=_think_tokens(book),
        turn=turn_of(_text(book, TEMPLATE)),
        languages=_languages(book, logs),
        architecture=", ".join(map(str, book.items(CONFIG, "architectures"))),
        checkpoint=checkpoint,
        gguf=gguf,
        adapter=adapter,
        files=tuple(files),
        library="transformers" if checkpoint else "gguf" if gguf or adapter else "",
        tags=tuple(tags),
        datasets=_datasets(book),
        banner=licence.banner if licence else "",
        plot=next((plot for plot in PLOTS if book.has(plot)), ""),
    )


def _file(path: str) -> str:
    """A file's path in a line of Markdown."""
    return f"`{escaped(path).replace('`', '')}`"


def _text(book: Ledger, name: str) -> str:
    try:
        return book.sources.path(name).read_text(encoding="utf-8")
    except (UserError, OSError, ValueError):
        return ""


def _reasons(book: Ledger) -> bool:
    """Whether a row that was trained on, or the model in its walk-through, thinks first."""
    said = (m for m in book.items(FLOW, "messages") if isinstance(m, dict))
    if any(message.get("reasoning_content") for message in said):
        return True
    try:
        with book.sources.path(ROWS).open("rb") as rows:
            return any(map(_THOUGHT.search, islice(rows, MOST_ROWS)))
    except (UserError, OSError):
        return False


def _trained_calls(book: Ledger) -> bool:
    try:
        with book.sources.path(ROWS).open("rb") as rows:
            return any(map(_CALL.search, islice(rows, MOST_ROWS)))
    except (UserError, OSError):
        return False


def _think_tokens(book: Ledger) -> bool:
    try:
        tokens = book.items(TOKENIZER, "added_tokens")
    except UserError:
        return False
    added = {token.get("content") for token in tokens if isinstance(token, dict)}
    return {"<think>", "</think>"} <= added


def _languages(book: Ledger, logs: list[LogFile]) -> tuple[str, ...]:
    """`en` and `zh`, as on the F1 cards, as far as rows or questions are in them."""
    rows = [name for name, count in book.object(REPORT, "languages").items() if count]
    asked = [str(book.sources.log(log.name).start["task"].get("language")) for log in logs]
    found = {name.split("-")[0] for name in (*rows, *asked)}
    return tuple(code for code in ("en", "zh") if code in found)


def _datasets(book: Ledger) -> tuple[str, ...]:
    """Ids of the hub. A report that does not say where a source is from has only its name."""
    found = []
    for source in book.items(REPORT, "sources"):
        if isinstance(source, dict):
            about = source.get("about")
            hub = about.get("hub") if isinstance(about, dict) else source.get("name")
            if isinstance(hub, str) and is_hub_id(hub):
                found.append(hub)
    return tuple(dict.fromkeys(found))


def base_link(book: Ledger, known: Facts) -> str:
    hub = known.base["hub_id"]
    if is_hub_id(hub):
        return f"[{escaped(hub)}](https://huggingface.co/{hub})"
    return escaped(known.base["name"]) or book.say(Words("（未記錄）", "(not recorded)"))


def _share(outcome: str) -> Callable[[Ledger, LogFile, str], bool]:
    def often(book: Ledger, log: LogFile, scorer: str) -> bool:
        counts = outcomes(book.sources.evaluation(log.names), scorer)
        return bool(getattr(counts, outcome) >= OFTEN * sum(counts))

    return often


def _none_right(book: Ledger, log: LogFile, scorer: str) -> bool:
    return outcomes(book.sources.evaluation(log.names), scorer).correct == 0


_OF_ONE = {"zero": _none_right, "truncated": _share("truncated"), "unparsed": _share("unparsed")}
LIMITS = (*_OF_ONE, "worse", "same")


def limit(book: Ledger, logs: list[LogFile], name: str) -> list[str]:
    """The evaluations of the trained model of which a sentence is true, as `task（scorer）`."""
    found: list[tuple[str, str]] = []
    if name in _OF_ONE:
        for log in logs:
            if log.role == "trained" and one_of(logs, log.role, log.task) == log:
                holds = _OF_ONE[name]
                found += [(log.task, s) for s in _strict(log) if holds(book, log, s)]
    else:
        for base, trained in pairs_of(logs):
            before, after = (book.sources.evaluation(log.names) for log in (base, trained))
            for scorer in _strict(trained):
                if scorer in base.scorers:
                    change = paired_difference(before, after, scorer)
                    verdict = "same" if change.in_noise else "worse" if change.value < 0 else ""
                    found += [(trained.task, scorer)] * (verdict == name)
    pattern = book.say(Words("{}（{}）", "{} ({})"))
    return [pattern.format(escaped(task), escaped(scorer)) for task, scorer in found]


def _strict(log: LogFile) -> list[str]:
    return [scorer for scorer in log.scorers if not is_lenient(scorer)]


def citation(book: Ledger, logs: list[LogFile], known: Facts) -> str:
    """BibTeX. The year is that of the evaluation, since nothing else in a run has one."""
    ends = [str((book.sources.log(log.name).end or {}).get("finished", "")) for log in logs]
    years = sorted(end[:4] for end in ends if end[:4].isdecimal())
    key = "".join(c for c in known.name if c.isalnum() and c.isascii()) or "model"
    base = known.base["hub_id"] or known.base["name"] or "an unrecorded base"
    kind = "tool-calling language model" if known.tools else "language model"
    lines = [
        f"@misc{{{key},",
        f"  title = {{{_plain(known.name)}: a small {kind} for Traditional Chinese}},",
        f"  note = {{Made from {_plain(base)} with Formosa {__version__}}},",
        *([f"  year = {{{years[-1]}}}"] if years else []),
        "}",
    ]
    return code_block("\n".join(lines), "bibtex")


def _plain(text: str) -> str:
    """Text that can stand between the braces of BibTeX."""
    return "".join(c if c.isprintable() and c not in "{}\\" else " " for c in text)
