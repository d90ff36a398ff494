"""Command lines of engines: flags, values of flags, and the model that is served.

Flags come and go between versions. `engine_flags.json` holds one version of each engine, which the
report names; `engine_flags` (in `card/installed.py`) may hand over those of the installed one.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from formosa.card.checks.code_blocks import SHELL
from formosa.card.checks.finding import Finding, found
from formosa.card.checks.shell import Command
from formosa.card.checks.shell import commands as shell_commands
from formosa.card.checks.subject import Subject, same_name
from formosa.card.hub import is_hub_id

MOST = 500  # findings, after which no more commands are read


@dataclass(frozen=True)
class Flags:
    """What one version of an engine knows.

    Attributes:
        gone: flags of older versions, and what to write now.
        choices: the values of some flags.
        installed: whether it was asked on this machine, not read from our list.
    """

    version: str
    flags: frozenset[str]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gone: Mapping[str, str] = field(default_factory=dict)
    installed: bool = False


@cache
def known_flags(engine: str) -> Flags:
    """Those that we ship."""
    text = (files("formosa.card.checks") / "engine_flags.json").read_text(encoding="utf-8")
    value = json.loads(text)[engine]
    choices = {flag: tuple(names) for flag, names in value["choices"].items()}
    return Flags(value["version"], frozenset(value["flags"]), choices, value["gone"])


def command_lines(card: Subject, flags: Callable[[str], Flags] = known_flags) -> Iterator[Finding]:
    """Every command of an engine that we know, in the shell blocks."""
    checked: dict[str, int] = {}
    said = 0
    for block in card.blocks(*SHELL, "console", "shell-session", "text", ""):
        if block.language not in SHELL and not re.search(r"\b(vllm|llama-server)\b", block.text):
            continue
        for command in shell_commands(block.text, block.line):
            engine, rest = _engine(command)
            if engine:
                checked.setdefault(engine, command.lines[0])
                for finding in (*_flags(engine, rest, flags(engine)), *_model(card, engine, rest)):
                    yield finding
                    said += 1
                if said > MOST:  # a near flag is looked for each time, which takes a while
                    return
    for engine, line in checked.items():
        known = flags(engine)
        how = "the one installed here" if known.installed else "a list that comes with Formosa"
        also = "" if known.installed else "; the engine itself was not asked"
        message = f"Commands of {engine} were checked against version {known.version}, {how}{also}."
        if not card.ours:
            yield found("command-list", line, engine, message)


def _engine(command: Command) -> tuple[str, Command]:
    """Which engine a command starts, and its words after that; ("", …) for another command."""
    words = command.words
    name = words[0].rsplit("/", 1)[-1]
    start = 0
    if name == "vllm" and words[1:2] == ("serve",):
        engine, start = "vllm", 2
    elif name.startswith("python") and words[1:3] == ("-m", "vllm.entrypoints.openai.api_server"):
        engine, start = "vllm", 3
    elif name == "docker" and (image := _vllm_image(words)):
        engine, start = "vllm", image + 1
    elif name in ("llama-server", "llama-server.exe"):
        engine, start = "llama-server", 1
    elif name == "ollama" and words[1:2] in (("run",), ("pull",), ("create",)):
        engine, start = "ollama", 2
    else:
        return "", command
    return engine, Command(words[start:], command.lines[start:])


def _vllm_image(words: tuple[str, ...]) -> int:
    return next((i for i, word in enumerate(words) if word.startswith("vllm/vllm-openai")), 0)


def _flags(engine: str, command: Command, known: Flags) -> Iterator[Finding]:
    for i, word in enumerate(command.words):
        if not re.match(r"--?[A-Za-z]", word):
            continue
        flag, _, value = word.partition("=")
        if engine == "vllm" and flag.startswith("--"):
            flag = flag.split(".")[0].replace("_", "-")  # --override.key, --max_model_len
        line = command.lines[i]
        if flag in known.flags or _short_with_value(flag, known):
            choices = known.choices.get(flag, ())
            following = command.words[i + 1] if i + 1 < len(command.words) else ""
            value = value or following
            said = value and not value.startswith(("-", "$", "<"))
            if choices and said and value not in choices:
                yield _value(engine, known, flag, value, line)
        else:
            message = f"{engine} {known.version} knows no flag {flag}"
            if flag in known.gone:
                message += f": {known.gone[flag]}."
            elif near := difflib.get_close_matches(flag[:60], known.flags, n=1, cutoff=0.8):
                message += f"; did you mean {near[0]}?"
            else:
                message += "."
            yield found("flag-unknown", line, engine, message)


def _short_with_value(flag: str, known: Flags) -> bool:
    """`-O3`, `-tp2`."""
    return not flag.startswith("--") and any(
        len(short) > 1 and flag.startswith(short) and flag[len(short) :].isdecimal()
        for short in known.flags
        if not short.startswith("--")
    )


def _value(engine: str, known: Flags, flag: str, value: str, line: int) -> Finding:
    near = difflib.get_close_matches(value[:60], known.choices[flag], n=1, cutoff=0.6)
    advice = f"; did you mean {near[0]}?" if near else "."
    message = f"{engine} {known.version} knows no {flag.lstrip('-')} called {value}{advice}"
    return found("flag-value", line, engine, message)


def _model(card: Subject, engine: str, command: Command) -> Iterator[Finding]:
    """The model that a command serves, where it is a hub id and not the card's."""
    said, line = "", 0
    words = command.words
    for i, word in enumerate(words):
        if word in ("--model", "-m", "-hf", "-hfr", "--hf-repo") and i + 1 < len(words):
            said, line = words[i + 1], command.lines[i + 1]
    if not said and words and engine in ("vllm", "ollama") and not words[0].startswith("-"):
        said, line = words[0], command.lines[0]
    said = said.removeprefix("hf.co/").removeprefix("huggingface.co/").split(":")[0]
    if not (is_hub_id(said) and card.own_name) or card.ours:
        return
    if said.endswith((".gguf", ".safetensors")) or same_name(said, card.own_name):
        return
    message = f"The command serves {said}; the card is about {card.own_id or card.own_name}."
    yield found("command-model", line, engine, message)
