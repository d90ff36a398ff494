"""A complete card in Traditional Chinese and English from the files of a run folder.

Three parts: `card.zh.md.jinja` and `card.en.md.jinja`, which say the same (what the model is, its
scores, its limits), and `card.both.md.jinja`, which both languages share: code, what was really
said, and the long tables. Tables come from tables.py and stage_tables.py, claims go into a file of
their own (claims.py); what the prose says by condition is in facts.py. The same files always give
the same bytes: no clock, no machine name, no absolute path.

What a run did not do is said in the card and not invented. A score that is not finished is refused.
"""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from formosa import __version__
from formosa.card import facts, ledger, licence_text, stage_tables, tables
from formosa.card.claims import CLAIMS_FILE, Language, claims_mark
from formosa.card.eval_results import write_eval_results
from formosa.card.facts import Facts
from formosa.card.hub import is_hub_id
from formosa.card.ledger import FLOW, PARITY, REPORT, SUMMARY, Ledger, LogFile, Words
from formosa.card.markdown import code_block, escaped
from formosa.card.modelfile import modelfile
from formosa.card.tool_flow import walk_through
from formosa.card.values import Card
from formosa.errors import CardError
from formosa.files import write_text

CARD_NAME = "README.md"
PARTS: tuple[Language, ...] = ("zh", "en", "both")
LANGUAGE_WORDS = {
    "zh": Words("繁體中文（台灣）", "Traditional Chinese (Taiwan)"),
    "en": Words("英文", "English"),
}


def write_card(run_folder: Path) -> str:
    """Write README.md into a run folder, with the file of its claims and the hub's
    `.eval_results/`, and return its text.

    Raises:
        CardError: the folder holds nothing of a run, a file in it is damaged, or an evaluation is
            not finished or lacks a shard.
        LogError: a log can't be read.
    """
    book = Ledger(run_folder)
    if not ledger.has_anything(book):
        raise CardError(
            f"{run_folder} is no run folder: it holds neither logs nor a report of any stage.",
            "make one: formosa run recipes/mini.yaml",
        )
    ledger.readable(book)
    logs = ledger.find_logs(book)
    known = facts.gather(book, logs, _one_line(run_folder.resolve().name))
    fields = front_fields(book, logs, known)
    body = "\n---\n\n".join(_body(book, logs, known, language) for language in PARTS)
    claims = book.claims_text()
    text = Card(fields, "\n" + body + "\n" + claims_mark(claims)).text()
    write_text(run_folder / CLAIMS_FILE, claims)
    write_text(run_folder / CARD_NAME, text)
    write_eval_results(book.sources, logs)
    return text


def front_fields(book: Ledger, logs: list[LogFile], known: Facts) -> dict[str, Any]:
    """The front matter, in the order of the F1 cards; what the run does not know is left out."""
    fields: dict[str, Any] = licence_text.licence_fields(known)
    if known.languages:
        fields["language"] = list(known.languages)
    if is_hub_id(known.base["hub_id"]):
        fields["base_model"] = [known.base["hub_id"]]
        if known.relation:
            fields["base_model_relation"] = known.relation
    if known.library:
        fields["library_name"] = known.library
    fields["pipeline_tag"] = "text-generation"
    fields["tags"] = list(known.tags)
    if known.datasets:
        fields["datasets"] = list(known.datasets)
    results = [
        book.result(log, scorer)
        for log in logs
        if log.role == "trained" and tables.one_of(logs, log.role, log.task) == log
        for scorer in log.scorers
    ]
    if results:
        from huggingface_hub.repocard_data import eval_results_to_model_index

        fields["model-index"] = eval_results_to_model_index(known.name, results)
        fields["metrics"] = ["accuracy"]
    return fields


@cache
def _template(language: Language) -> str:
    name = f"card.{language}.md.jinja"
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _body(book: Ledger, logs: list[LogFile], known: Facts, language: Language) -> str:
    """The card's text in one language."""
    book.language = language
    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  Markdown, not HTML: the filters `md` and `code` escape
    )
    environment.filters |= {"md": escaped, "code": lambda text: escaped(text).replace("`", "")}
    values = _shared(book, logs, known) if language == "both" else _told(book, logs, known)
    return environment.from_string(_template(language)).render(
        name=known.name,
        version=__version__,
        run=shlex.quote(f"runs/{known.name}"),
        scores=bool(logs),
        trained=book.has(SUMMARY),
        tools=known.tools,
        reasoning=known.reasoning,
        flow=walk_through(book, known.reasoning) if book.has(FLOW) else None,
        **values,
    )


def _told(book: Ledger, logs: list[LogFile], known: Facts) -> dict[str, Any]:
    """What stands in the part of each language."""
    plans = [book.sources.log(log.name).start["plan"] for log in logs]
    return {
        "banner": known.banner,
        "pretrained": known.pretrained,
        "architecture": known.architecture,
        "languages": [
            book.say(words) for code, words in LANGUAGE_WORDS.items() if code in known.languages
        ],
        "base_link": facts.base_link(book, known),
        "licence_line": licence_text.licence_line(book, known),
        "licence": licence_text.licence_text(book, known),
        "data_licences": licence_text.data_licence_lines(book),
        "files": known.files,
        "subset": any((plan.get("original") or 0) > (plan.get("samples") or 0) for plan in plans),
        "choice": tables.choice(book, logs),
        "bfcl": tables.bfcl(book, logs),
        "other": tables.other(book, logs),
        "differences": tables.differences(book, logs),
        "held": any(tables.is_held(book, log) for log in logs),
        "adapter": bool(known.adapter),
        "purity": tables.purity_table(book, logs),
        "begun": bool(book.get(SUMMARY, "start_sha256")),
        "report": book.has(REPORT),
        "data_sources": stage_tables.data_sources(book),
        "contamination": stage_tables.contamination(book),
        **{name: facts.limit(book, logs, name) for name in facts.LIMITS},
    }


def _shared(book: Ledger, logs: list[LogFile], known: Facts) -> dict[str, Any]:
    """What stands once, for readers of both."""
    ollama = modelfile(known.gguf, known.turn, known.reasoning) if known.gguf else ""
    return {
        "think_tokens": known.think_tokens,
        "gguf": known.gguf,
        "gguf_shell": shlex.quote(known.gguf),
        "with_adapter": _with_adapter(book, known),
        "redacted": any("redacted" in book.sources.log(log.name).start for log in logs),
        "modelfile": code_block(ollama, "text"),
        "ollama_name": _ollama_name(known.name),
        "own_template": known.turn is not None,
        "checkpoint": known.checkpoint,
        "plot": known.plot,
        "programs": stage_tables.programs(book),
        "flow_steps": stage_tables.flow_steps(book),
        "all_scores": tables.scores(book, logs),
        "tasks": tables.tasks_table(book, logs),
        "logs": tables.logs_table(book, logs),
        "data_kinds": stage_tables.data_kinds(book),
        "data_files": stage_tables.data_files(book),
        "training": stage_tables.training(book),
        "parity": stage_tables.parity(book) if book.has(PARITY) else "",
        "exported": stage_tables.exported(book),
        "adapter_table": stage_tables.adapter(book),
        "levels": stage_tables.levels(book),
        "citation": facts.citation(book, logs, known),
        "claims_file": CLAIMS_FILE,
    }


def _with_adapter(book: Ledger, known: Facts) -> str:
    """The model's name in a command: base and adapter, "" where there is none."""
    if not known.adapter:
        return ""
    return shlex.quote(f"{book.get(ledger.ADAPTER, 'base')}+{known.adapter}")


def _one_line(name: str) -> str:
    """A folder's name as it can stand in a heading and in a command: any text without breaks."""
    return "".join(c if c.isprintable() else "-" for c in name) or "model"


def _ollama_name(name: str) -> str:
    """A name that Ollama takes: lower case, letters, digits, `-`, `_` and `.`."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name.lower())
    return plain.strip("-_.") or "model"
