"""Names and links: is the card about one model everywhere, and do links lead where they say?

Only what the card itself says is compared; nothing is fetched. So a licence link to another model
is found, but not whether that page has the same words.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from formosa.card.checks.code_blocks import LARGEST, PYTHON, parse_python
from formosa.card.checks.finding import Finding, found
from formosa.card.checks.subject import Subject, cell_hub_id, looks_like_name, row_name, same_name
from formosa.card.hub import LICENSES, is_hub_id
from formosa.card.parts import Link, hub_model

_LICENSE_FILE = re.compile(r"licen[sc]e", re.IGNORECASE)
_LICENSE_LINE = re.compile(r"\blicen[sc]e\b|授權|許可", re.IGNORECASE)
_OTHER_WORK = re.compile(r"\bcode\b|data|template|程式|資料|樣板", re.IGNORECASE)
_BASE_LINE = re.compile(
    r"base[- ]?model|finetuned from|fine-tuned from|based on|基底模型|基礎模型|微調自",
    re.IGNORECASE,
)
_URL = re.compile(r"https?://[^\s<>{}\"'\\]+")
_BIBTEX = re.compile(r"@\w+\s*\{")
_TITLE_FIELD = re.compile(r"\btitle\s*=\s*[{\"]+\s*([A-Za-z0-9][\w./-]*)", re.IGNORECASE)
_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5})")
_ARXIV_TEXT = re.compile(r"\b(\d{4}\.\d{4,5})\b")


def names(card: Subject) -> Iterator[Finding]:
    """The model's names, then links, then the citation."""
    yield from _own_names(card)
    yield from _licenses(card)
    yield from _bases(card)
    yield from _links(card)
    yield from _citations(card)
    yield from _loaded(card)
    yield from _revisions(card)


def _own_names(card: Subject) -> Iterator[Finding]:
    name = card.own_name
    if not name or card.ours:
        return
    title, line = card.title_name
    places = [(index, card.line_of("model-index", 0, "name"), "model-index")
              for index in card.index_names[:1]]  # fmt: skip
    places += [(title, line, "title")] if title else []
    for said, line, where in places:
        if not _named(said, name):
            message = f"The model is called {said} here, and {name} elsewhere in the card."
            yield found("name-differs", line, where, message)
    repository, line = card.repository
    if repository and not same_name(repository, name):
        message = f"The repository link leads to {repository}; the card is about {name}."
        yield found("repository-link", line, "repository", message)
    for table, i in card.own_rows:
        hub = next((h for cell in table.rows[i][:2] if (h := cell_hub_id(cell))), "")
        said = hub or row_name(table.rows[i][0] if table.rows[i] else "")
        if looks_like_name(said) and not _named(said, name):
            message = f"The row of the card's own model names {said}, not {name}."
            where = card.table_title(table)
            yield found("name-differs", card.table_line(table, i), where, message)


def _named(said: str, name: str) -> bool:
    """Whether `said` is the name, or its end: `F1-Instruct` for `Llama-3.2-3B-F1-Instruct`."""
    return same_name(said, name) or name.lower().endswith(f"-{said.lower()}")


def _licenses(card: Subject) -> Iterator[Finding]:
    """One finding for each place that links a licence file of a model which is not this one's."""
    allowed = [card.own_id, *card.card.base_model]
    seen: dict[str, list[int]] = {}
    said = card.card.fields.get("license_link")
    links = [Link("", str(said), card.line_of("license_link")), *card.parts.links]
    for link in links if card.card.base_model else ():
        model, rest = hub_model(link.url)
        if model and _LICENSE_FILE.search(rest) and not any(same_name(model, a) for a in allowed):
            seen.setdefault(model, []).append(link.line)
    for model, lines in seen.items():
        lines = sorted(set(lines))
        also = f" (also line {', '.join(map(str, lines[1:6]))})" if len(lines) > 1 else ""
        bases = ", ".join(card.card.base_model)
        message = (
            f"The licence link leads to the file of {model}{also}; the front matter names {bases}. "
            "The words may be the same; whoever follows the link can't know that."
        )
        yield found("license-link", lines[0], "licence", message)
    for line, text in card.parts.prose:
        if len(text) > 600 or "|" in text or _OTHER_WORK.search(text):
            continue
        if _LICENSE_LINE.search(text):
            words = {w.strip("*[]().,:").lower() for w in re.split(r"[\s\[\](){}*：:，,]+", text)}
            named = sorted(words & LICENSES - {"other", "unknown", "cc", "gemma", "bsd", "gpl"})
            if named and card.card.license and card.card.license not in named:
                message = f"The text says {', '.join(named)}, the front matter {card.card.license}."
                yield found("license-text", line, "licence", message)


def _bases(card: Subject) -> Iterator[Finding]:
    bases = card.card.base_model
    for line, text in card.parts.prose if bases else ():
        if not (len(text) <= 600 and "|" not in text and _BASE_LINE.search(text)):
            continue
        said = {hub_model(link.url)[0] for link in card.links_by_line.get(line, ())} - {""}
        wrong = [
            hub for hub in sorted(said)
            if not any(same_name(hub, known) for known in (*bases, card.own_id))
        ]  # fmt: skip
        if wrong:
            message = f"The text names {wrong[0]}; the front matter has {', '.join(bases)}."
            yield found("base-model-text", line, "base_model", message)


def _links(card: Subject) -> Iterator[Finding]:
    for link in card.parts.links:
        text = link.text.strip("*_` ")[:200]
        model, _ = hub_model(link.url)
        if model and re.fullmatch(r"[\w.-]+/[\w.-]+", text) and text.lower() != model.lower():
            message = f"The text says {text}, the link leads to {model}."
            yield found("link-text", link.line, "link", message)
            continue
        paper, said = _ARXIV.search(link.url), _ARXIV_TEXT.search(text)
        if paper and said and paper[1] != said[1]:
            message = f"The text says arXiv {said[1]}, the link leads to {paper[1]}."
            yield found("link-text", link.line, "link", message)


def _citations(card: Subject) -> Iterator[Finding]:
    """BibTeX of the card's own model: the title's first word says that it is about it."""
    if not card.own_name or card.ours:
        return
    for block in card.parts.blocks:
        if not _BIBTEX.search(block.text[:2000]):
            continue
        for entry in re.split(r"(?=@\w{1,20}\s*\{)", block.text[:50_000])[:50]:
            title = _TITLE_FIELD.search(entry)
            if not title or not same_name(title[1].rstrip(":"), card.own_name):
                continue
            for url in _URL.findall(entry):
                model, _ = hub_model(url)
                if model and not same_name(model, card.own_name):
                    line = block.line + block.text[: block.text.index(url)].count("\n")
                    message = (
                        f"The entry is titled {card.own_name}; its address is that of {model}."
                    )
                    yield found("citation-link", line, "citation", message)


_LOADERS = frozenset({"from_pretrained", "LLM", "pipeline", "SentenceTransformer"})


def _loaded(card: Subject) -> Iterator[Finding]:
    """Models that Python blocks load: the card's own, its base, or a data set's neighbour?"""
    allowed = [card.own_name, *card.card.base_model]
    if not card.own_name or card.ours:
        return
    for block in card.blocks(*PYTHON):
        tree = parse_python(block)[0] if len(block.text) <= LARGEST else None
        for node in ast.walk(tree) if tree else ():
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            values = [*node.args[:2], *(k.value for k in node.keywords if k.arg == "model")]
            for value in values if name in _LOADERS else ():
                said = value.value if isinstance(value, ast.Constant) else None
                if not isinstance(said, str) or not is_hub_id(said):
                    continue
                if not any(same_name(said, known) for known in allowed):
                    message = f"The code loads {said}; the card is about {card.own_name}."
                    line = block.line + node.lineno - 1
                    yield found("command-model", line, "python block", message)


def _revisions(card: Subject) -> Iterator[Finding]:
    """One note a card: tables compare models by name, and names move on."""
    if card.ours:
        return
    named: dict[str, int] = {}
    for table in card.document.tables:
        for i, row in enumerate(table.rows):
            hub = cell_hub_id(row[0]) if row else ""
            if hub and not re.search(r"[0-9a-f]{40}", row[0]):
                named.setdefault(hub, card.table_line(table, i))
    if len(named) > 1:
        shown = ", ".join(list(named)[:3]) + (", …" if len(named) > 3 else "")
        message = (
            f"The tables name {len(named)} models without a revision ({shown}): their files may "
            "have changed since they were measured."
        )
        yield found("table-without-revision", min(named.values()), "tables", message)
