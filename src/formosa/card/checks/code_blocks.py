"""Do code blocks parse, and do they use only what they define? Nothing is run here.

A block is read as the language it says: Python by `ast`, JSON and YAML by their readers, templates
by Jinja's parser, shell by its quotes. A block may be a transcript (`>>>`, `$ `) or a sketch with
`...` in it; those are left alone where the language allows them.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
import warnings
from collections.abc import Iterator

import jinja2
import yaml

from formosa.card.checks.finding import Finding, found
from formosa.card.checks.shell import quotes_error
from formosa.card.checks.subject import Subject
from formosa.card.parts import CodeBlock

LARGEST = 200_000  # characters of a block that is parsed
MOST = 1_000_000  # characters of all of them
YAML_COST = 10  # its reader is that much slower than the others
PYTHON = ("python", "py", "python3")
YAML = ("yaml", "yml")
SHELL = ("bash", "sh", "shell", "zsh")

_BIBTEX = re.compile(
    r"\s*@(misc|article|inproceedings|software|techreport|book|online)\s*\{", re.IGNORECASE
)
_REPR = re.compile(r"\s*\[?\s*[A-Z]\w+\(\w+=")
_SCRATCH = re.compile(r"^\s*(>>>|\.\.\. |In \[\d+\]:|[!%]\w)", re.MULTILINE)


def code_blocks(card: Subject) -> Iterator[Finding]:
    """Syntax of every block, then names that Python blocks use and nothing defines."""
    trees: list[tuple[CodeBlock, ast.Module]] = []
    left = MOST
    for block in card.parts.blocks:
        cost = len(block.text) * (YAML_COST if block.language in YAML else 1)
        if len(block.text) > LARGEST or cost > left or not block.text.strip():
            continue
        left -= cost
        if block.language in PYTHON:
            if _SCRATCH.search(block.text):
                continue
            tree, finding = parse_python(block)
            if tree is not None:
                trees.append((block, tree))
            if finding:
                yield finding
        else:
            yield from _other(block)
    yield from _names(trees)


def parse_python(block: CodeBlock) -> tuple[ast.Module | None, Finding | None]:
    """The tree of a Python block, or what is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stranger's "\d" is no warning of ours
            return ast.parse(block.text), None
    except SyntaxError as error:
        line = block.line + (error.lineno or 1) - 1
        message = f"No Python: {error.msg}."
        return None, found("code-syntax", line, "python block", message)
    except (ValueError, RecursionError, MemoryError) as error:
        message = f"No Python: {type(error).__name__}."
        return None, found("code-syntax", block.line, "python block", message)


def _other(block: CodeBlock) -> Iterator[Finding]:
    language, text = block.language, block.text
    if language in ("json", "jsonc", "yaml", "yml") and _BIBTEX.match(text):
        message = f"The block says {language} and holds BibTeX: it is not highlighted or copied."
        yield found("code-language", block.line, f"{language} block", message)
    elif language == "json":
        yield from _json(block)
    elif language in YAML:
        yield from _yaml(block)
    elif language in ("jinja", "jinja2", "j2"):
        yield from _jinja(block)
    elif language in SHELL and (problem := quotes_error(text)):
        yield found("code-syntax", block.line, f"{language} block", f"No shell: {problem}.")


def _json(block: CodeBlock) -> Iterator[Finding]:
    try:
        json.loads(block.text)
        return
    except json.JSONDecodeError as error:
        if _REPR.match(block.text):
            message = (
                "The block says json and holds Python's own print of objects, which no JSON "
                "reader takes: `model_dump_json()` prints JSON."
            )
            yield found("code-language", block.line, "json block", message)
            return
        if _json_lines(block.text) or "..." in block.text or "…" in block.text:
            return  # JSON lines, or a sketch
        line, message = block.line + error.lineno - 1, f"No JSON: {error.msg}."
    except (RecursionError, ValueError):
        line, message = block.line, "No JSON: nested too deeply."
    yield found("code-syntax", line, "json block", message)


def _json_lines(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        return len(lines) > 1 and all(json.loads(line) is not None for line in lines)
    except (ValueError, RecursionError):
        return False


def _yaml(block: CodeBlock) -> Iterator[Finding]:
    try:
        # Events only: no value is made, so an alias can't grow.
        for _ in yaml.parse(block.text, Loader=yaml.SafeLoader):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = block.line + (mark.line if mark else 0)
        yield found("code-syntax", line, "yaml block", f"No YAML: {error.problem}.")
    except (yaml.YAMLError, RecursionError, ValueError):
        yield found("code-syntax", block.line, "yaml block", "No YAML.")


def _jinja(block: CodeBlock) -> Iterator[Finding]:
    # Chat templates have a block tag of their own, which plain Jinja does not know.
    text = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", block.text)
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])  # noqa: S701  parsed only
    try:
        environment.parse(text)
    except jinja2.TemplateSyntaxError as error:
        line = block.line + (error.lineno or 1) - 1
        yield found("code-syntax", line, "jinja block", f"No Jinja: {error.message}.")
    except (RecursionError, ValueError):
        yield found("code-syntax", block.line, "jinja block", "No Jinja.")


_MODULES = frozenset({"json", "os", "re", "sys", "asyncio", "openai", "torch", "requests"})
_GIVEN = frozenset(dir(builtins)) | {"__file__", "__name__"}


def _names(trees: list[tuple[CodeBlock, ast.Module]]) -> Iterator[Finding]:
    """Names that code uses though no block of the card makes them, each once."""
    made = {name for _, tree in trees for name in _made(tree)} | _GIVEN
    if any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*"
           for _, tree in trees for n in ast.walk(tree)):  # fmt: skip
        return
    missing: dict[str, int] = {}
    for block, tree in trees:
        for node in ast.walk(tree):
            match node:
                case ast.Name(id=name, ctx=ast.Load()) if name not in made:
                    missing.setdefault(name, block.line + node.lineno - 1)
    for name, line in list(missing.items())[:20]:
        missing_import = f": `import {name}` is missing" if name in _MODULES else ""
        message = f"{name} is used, and no block makes it{missing_import}."
        yield found("code-name", line, "python blocks", message)


def _made(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    yield (alias.asname or alias.name).split(".")[0]
            case ast.ExceptHandler(name=str(name)):
                yield name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
