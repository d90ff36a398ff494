"""`formosa doctor`: what is installed here, and what this machine can do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import click

from formosa import __version__
from formosa.cli.output import Output, command_output

# what it is for → (package, extra that installs it)
PACKAGES = {
    "llama.cpp in process": ("xllamacpp", "llama"),
    "training": ("torch", "train"),
    "model library": ("transformers", "train"),
    "adapters": ("peft", "train"),
    "GGUF writer": ("gguf", "train"),
    "openai client": ("openai", "dev"),
}


class Finding(NamedTuple):
    """One line of the report."""

    what: str
    state: str  # ok | missing | warning
    detail: str


@click.command()
@click.option("--offline", is_flag=True, help="Don't try to reach the hub.")
@command_output
def doctor(out: Output, offline: bool) -> None:
    """Say what is installed here, what this machine has, and what is missing for what.

    \b
        formosa doctor
        formosa doctor --offline --json
    """
    findings = [*_software(), *_machine(), _cache(), _hub(offline=offline)]
    out.table([finding._asdict() for finding in findings])


def _software() -> list[Finding]:
    findings = [
        Finding("formosa", "ok", f"{__version__}, Python {sys.version.split()[0]}"),
        Finding("system", "ok", f"{platform.system()} {platform.machine()}"),
    ]
    for what, (package, extra) in PACKAGES.items():
        if find_spec(package) is None:
            advice = f"pip install 'formosa-lm[{extra}]'"
            findings.append(Finding(what, "missing", f"{package}: {advice}"))
        else:
            version = importlib.metadata.version(package)
            findings.append(Finding(what, "ok", f"{package} {version}"))
    return findings


def _machine() -> list[Finding]:
    cores = len(os.sched_getaffinity(0))
    total, free = _memory_gb()
    return [
        Finding("cores", "ok" if cores > 1 else "warning", f"{cores} usable"),
        Finding("memory", "ok" if free > 4 else "warning", f"{free:.1f} of {total:.1f} GB free"),
        _gpu(),
    ]


def _memory_gb() -> tuple[float, float]:
    values: dict[str, float] = {}
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        values[name] = float(rest.split()[0]) / 1e6
    return values["MemTotal"], values["MemAvailable"]


def _gpu() -> Finding:
    """Without importing torch, which takes seconds: the driver's own command."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return Finding("GPU", "ok", "none found; everything works on the CPU, slower")
    import subprocess

    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)  # noqa: S603
    names = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    return Finding("GPU", "ok" if names else "warning", "; ".join(names) or "the driver is broken")


def _cache() -> Finding:
    from formosa.models import BUILTIN, is_cached
    from formosa.wheels import cache_folder

    folder = cache_folder()
    here = [name for name in BUILTIN if is_cached(name)]
    above = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(above).free / 1e9
    state = "ok" if free > 3 and os.access(above, os.W_OK) else "warning"
    detail = f"{folder}: {', '.join(here) or 'no model yet'}; {free:.0f} GB free"
    return Finding("cache", state, detail)


def _hub(*, offline: bool) -> Finding:
    if offline or os.environ.get("HF_HUB_OFFLINE") == "1":
        return Finding("hub", "ok", "not asked (offline)")
    import httpx2
    from huggingface_hub.constants import ENDPOINT

    try:
        answer: Any = httpx2.head(ENDPOINT, timeout=3.0)
    except httpx2.HTTPError as error:
        detail = f"{ENDPOINT} can't be reached ({type(error).__name__}); built-in models still work"
        return Finding("hub", "warning", detail)
    return Finding("hub", "ok", f"{ENDPOINT} answers {answer.status_code}")
