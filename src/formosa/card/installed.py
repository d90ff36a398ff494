"""The flags of the engines on this machine; where one is not there, the list that we ship.

Asking an engine starts it, which takes seconds: only one whose version is another than our list's
is asked, and only when a card has a command of it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache

from formosa.card.checks.commands import Flags, known_flags
from formosa.engines.vllm_command import find_vllm
from formosa.errors import UserError

PATIENCE = 180  # seconds for an engine to print its help
_FLAG = re.compile(r"(?<![\w-])--?[A-Za-z][\w.-]*")


@cache
def installed_flags(engine: str) -> Flags:
    """What the engine on this machine knows, or our list."""
    if engine == "vllm":
        return _vllm()
    if engine == "llama-server":
        return _llama_server()
    return known_flags(engine)


def _vllm() -> Flags:
    known = known_flags("vllm")
    try:
        found = find_vllm()
    except UserError:
        return known
    if found.numbers[:2] == tuple(int(part) for part in known.version.split(".")[:2]):
        return replace(known, version=found.version, installed=True)
    text = _help([found.python, "-m", "vllm.entrypoints.openai.api_server", "--help=all"])
    flags = flags_of_help(text)
    if len(flags) < 50:  # not the whole help
        return known
    # Its parsers are not in its help: ours may be those of another version, so none is refused.
    gone = {flag: advice for flag, advice in known.gone.items() if flag not in flags}
    return Flags(found.version, flags | {"-h", "--help"}, {}, gone, installed=True)


def _llama_server() -> Flags:
    known = known_flags("llama-server")
    program = shutil.which("llama-server")
    if program is None:
        return known
    flags = flags_of_help(_help([program, "--help"]))
    version = re.search(r"version:\s*(\S+)", _help([program, "--version"]))
    if len(flags) < 50:
        return known
    return Flags(version[1] if version else "?", flags, {}, {}, installed=True)


def _help(command: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout + done.stderr


def flags_of_help(text: str) -> frozenset[str]:
    """The flags at the beginning of the lines of a `--help`."""
    flags: set[str] = set()
    for line in text.splitlines():
        if line.lstrip().startswith("-"):
            head = re.split(r"\s{2,}", line.strip())[0]
            flags |= set(_FLAG.findall(re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", head)))
    return frozenset(flags)
