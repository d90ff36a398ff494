"""`formosa doctor`: what is installed here, and what this machine can do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

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
    "MCP servers": ("mcp", "mcp"),
    "answers to maths": ("math_verify", "eval"),
    "parquet": ("pyarrow", "data"),  # which `eval` brings, too
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
            findings.append(Finding(what, "ok", f"{package} {_version(package)}"))
    return findings


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # such as a source folder on the path
        return "of unknown version"


def _machine() -> list[Finding]:
    from formosa.processor import usable_cores

    cores = usable_cores()
    total, free = _memory_gb()
    return [
        Finding("cores", "ok" if cores > 1 else "warning", f"{cores} usable"),
        Finding("memory", "ok" if free > 4 else "warning", f"{free:.1f} of {total:.1f} GB free"),
        _gpu(),
        _vllm(),
        *_build(),
    ]


def _memory_gb() -> tuple[float, float]:
    values: dict[str, float] = {}
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        values[name] = float(rest.split()[0]) / 1e6
    return values["MemTotal"], values.get("MemAvailable", values["MemFree"])


def _gpu() -> Finding:
    """Without importing torch, which takes seconds: the driver's own command."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return Finding("GPU", "ok", "none found; everything works on the CPU, slower")
    import subprocess

    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(  # noqa: S603
            query, capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("GPU", "warning", f"the driver does not answer: {type(error).__name__}")
    names = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    return Finding("GPU", "ok", "; ".join(names) or "none found; everything works on the CPU")


def _vllm() -> Finding:
    from formosa.engines.vllm_command import find_vllm
    from formosa.errors import UserError

    try:
        found = find_vllm()
    except UserError as error:
        return Finding("vLLM", "missing", f"for GPUs: {error.hint or error.message}")
    return Finding("vLLM", "ok", f"{found.version}, {found.python}")


def _build() -> list[Finding]:
    """What the installed llama.cpp leaves unused of this CPU."""
    if find_spec("xllamacpp") is None:
        return []
    from formosa.engines.advice import build_advice

    advice = build_advice()
    return [] if advice is None else [Finding("llama.cpp's build", "warning", advice)]


def _cache() -> Finding:
    from formosa.models import BUILTIN, is_cached
    from formosa.wheels import cache_folder

    folder = cache_folder()
    try:
        here = [name for name in BUILTIN if is_cached(name)]
        above = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(above).free / 1e9
    except OSError as error:
        return Finding("cache", "warning", f"{folder} can't be read: {error.strerror}")
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        advice = f"{above} is not writable; set FORMOSA_HOME to a folder that is"
        return Finding("cache", "warning", f"{folder}: {advice}")
    detail = f"{folder}: {', '.join(here) or 'no model yet'}; {free:.0f} GB free"
    return Finding("cache", "ok" if free > 3 else "warning", detail)


def _hub(*, offline: bool) -> Finding:
    from huggingface_hub import constants

    if offline or constants.HF_HUB_OFFLINE:
        return Finding("hub", "ok", "not asked (offline)")
    import httpx2

    address = constants.ENDPOINT
    try:
        code = httpx2.head(address, timeout=3.0).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        detail = f"{address} can't be reached ({type(error).__name__}); built-in models still work"
        return Finding("hub", "warning", detail)
    return Finding("hub", "ok" if code < 500 else "warning", f"{address} answers {code}")
