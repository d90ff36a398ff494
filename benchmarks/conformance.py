"""What breaks in plain llama.cpp, plain vLLM and Formosa: the suite of `formosa serve check`.

    python benchmarks/conformance.py                              # llama.cpp, and Formosa over it
    python benchmarks/conformance.py --vllm-python PATH --checkpoint FOLDER --json OUT

Live probes ask SmolLM2-135M; all servers get the same chat template, ours, because SmolLM2's own
knows no tools. The scripted replies are said by parrots on llama.cpp, one small model for each
reply, so that its pieces are short; on vLLM by guided decoding. `--checkpoint` is a folder of
SmolLM2 for vLLM. Prints one table for each server, and Markdown for docs/conformance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from formosa.chat.template import ChatTemplate
from formosa.engines.llama import LlamaEngine
from formosa.engines.protocol import TextEngine
from formosa.engines.templated import TemplatedChat
from formosa.engines.vllm import VllmEngine
from formosa.engines.vllm_command import VllmOptions
from formosa.models import resolve
from formosa.serve.conformance.check import GROUPS, reply_result, run_check
from formosa.serve.conformance.exchange import Server
from formosa.serve.conformance.parrot import Parrot, template
from formosa.serve.conformance.report import Report, Result
from formosa.serve.conformance.steering import Parroting, suite_parrot
from formosa.serve.conformance.vectors import vectors
from formosa.serve.run import serving

LIVE = [group for group in GROUPS if group != "vectors"]
CONTEXT = 2048
Host = Callable[[Path], AbstractContextManager[str]]


@contextmanager
def plain_llama(path: Path) -> Iterator[str]:
    """llama.cpp's own server and chat layer. Gives the address."""
    import xllamacpp

    values = xllamacpp.CommonParams()
    values.model.path = str(path)
    values.chat_template = template_for(path)
    values.n_ctx, values.n_parallel = 2 * CONTEXT * 2, 2
    values.hostnames, values.port = ["127.0.0.1"], 0
    values.cpuparams.n_threads = 2
    values.warmup, values.verbosity, values.ui = False, -1, False
    server = xllamacpp.Server(values)
    yield f"{server.listening_address}/v1"
    del server


@contextmanager
def formosa_llama(path: Path) -> Iterator[str]:
    """Our gateway over llama.cpp."""
    engine = LlamaEngine(path, name=path.stem, context=2 * CONTEXT, slots=2, threads=2)
    with gateway(engine, template_for(path)) as url:
        yield url


@contextmanager
def formosa_vllm(python: Path, folder: Path, source: str) -> Iterator[str]:
    """Our gateway over vLLM."""
    options = VllmOptions(python=str(python), cpu_cache_gb=1, threads=1)
    engine = VllmEngine(folder, name="smollm2", context=CONTEXT * 2, slots=8, options=options)
    with gateway(engine, source) as url:
        yield url


@contextmanager
def gateway(engine: TextEngine, source: str) -> Iterator[str]:
    chat = TemplatedChat(engine, ChatTemplate.from_source(source, eos_token="<|im_end|>"))
    try:
        with serving({engine.info.name: chat}) as url:
            yield url
    finally:
        asyncio.run(chat.aclose())


def template_for(path: Path) -> str:
    parrot = path.stem.startswith("parrot")
    return template() if parrot else ChatTemplate.formosa("chatml").source


@contextmanager
def plain_vllm(python: Path, folder: Path, source: str, extra: Sequence[str]) -> Iterator[str]:
    """vLLM with the command line of the model's card, on whatever device it finds."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = [
        *("--model", str(folder), "--served-model-name", "smollm2", "--port", str(port)),
        *("--host", "127.0.0.1", "--max-model-len", str(CONTEXT), "--enforce-eager"),
        *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
    ]
    with tempfile.TemporaryDirectory() as scratch:
        jinja = Path(scratch, "template.jinja")
        jinja.write_text(source, encoding="utf-8")
        log = Path(scratch, "log")
        command = [str(python), "-m", "vllm.entrypoints.openai.api_server", *options]
        environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", **os.environ}
        with (
            log.open("wb") as written,
            subprocess.Popen(
                [*command, "--chat-template", str(jinja), *extra],
                stdout=written,
                stderr=subprocess.STDOUT,
                env=environment,
            ) as process,
        ):
            try:
                wait_for(f"http://127.0.0.1:{port}/health", process, log)
                yield f"http://127.0.0.1:{port}/v1"
            finally:
                process.terminate()
                process.wait(60)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(url).status_code == 200:
                return
        time.sleep(1)
    sys.exit(f"vLLM did not start:\n{log.read_text(errors='replace')[-3000:]}")


def by_parrots(host: Host, folder: Path) -> Report:
    """The scripted replies, each by a model that says nothing else."""
    results: list[Result] = []
    splits: bool | None = None
    for vector in vectors():
        parrot = Parrot([SAMPLE, vector.text] if splits is None else [vector.text], longest=3)
        path = parrot.write_gguf(folder / "parrot.gguf")
        with host(path) as url:
            server = Server(url, "parrot", timeout=60)
            if splits is None:
                answer = server.ask(**parrot.body(SAMPLE))
                splits = bool(answer.said().reasoning)
            results.append(reply_result(server, Parroting(parrot), vector, splits=splits))
            server.close()
    return Report("", "parrots", "parrot", results)


SAMPLE = "<think>\nis it apart?\n</think>\n\nyes"


def joined(name: str, *reports: Report) -> Report:
    results = [result for report in reports for result in report.results]
    return Report(name, "", reports[-1].steering, results, reports[0].facts)


def over_llama(name: str, host: Host, folder: Path) -> Report:
    smol = folder / "smollm2.gguf"
    if not smol.exists():
        smol.symlink_to(resolve("smollm2-135m").path)
    with host(smol) as url:
        live = run_check(url, only=LIVE)
    return joined(name, live, by_parrots(host, folder))


def markdown(reports: Sequence[Report]) -> str:
    """The tables of docs/conformance.md."""
    lines = ["| server | must hold | should hold | policy | not judged |", "|---|---|---|---|---|"]
    for report in reports:
        must, should = (report.counts(level=level) for level in ("must", "should"))
        policy, all_counts = report.counts(level="policy"), report.counts()
        cells = [f"{c['pass']} of {c['pass'] + c['fail']}" for c in (must, should)]
        noted = f"{policy['pass']} of {policy['pass'] + policy['note']}"
        lines.append(f"| {report.url} | {' | '.join(cells)} | {noted} | {all_counts['skip']} |")
    names = {check: "" for report in reports for check in report.checks()}
    lines += ["", f"| scripted replies | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for report in reports:
        checks = report.checks()
        cells = ["{} of {}".format(*checks.get(name, (0, 0))) for name in names]
        lines.append(f"| {report.url} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tell(report: Report) -> None:
    print(f"\n## {report.url}\n")
    for group in report.groups():
        print("  ", group)
    for result in report.results:
        if result.verdict in ("fail", "note"):
            print(f"{result.verdict:5}{result.level:7}{result.id}: {result.evidence}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--vllm-python", type=Path, help="an environment that has vLLM")
    arguments.add_argument("--checkpoint", type=Path, help="a folder of SmolLM2, for vLLM")
    arguments.add_argument("--only", nargs="*", help="names of servers; all by default")
    arguments.add_argument("--json", type=Path, help="write all reports there")
    chosen = arguments.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        reports = []
        for name, make in servers(chosen, folder).items():
            if chosen.only and name not in chosen.only:
                continue
            reports.append(make())
            tell(reports[-1])
    print(f"\n{markdown(reports)}")
    if chosen.json:
        value: list[Any] = [report.to_json() for report in reports]
        chosen.json.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def servers(chosen: argparse.Namespace, folder: Path) -> dict[str, Callable[[], Report]]:
    found: dict[str, Callable[[], Report]] = {
        "llama.cpp": lambda: over_llama("llama.cpp", plain_llama, folder),
        "Formosa over llama.cpp": lambda: over_llama(
            "Formosa over llama.cpp", formosa_llama, folder
        ),
    }
    if chosen.vllm_python and chosen.checkpoint:
        python, smol = chosen.vllm_python, chosen.checkpoint
        own = ChatTemplate.formosa("chatml").source

        def hermes() -> Report:
            with plain_vllm(python, smol, own, []) as url:
                return joined("vLLM, hermes", run_check(url))

        parrot = suite_parrot().write_checkpoint(folder / "parrot-checkpoint")

        def thinking() -> Report:
            guided = json.dumps({"enable_in_reasoning": True})
            extra = ["--reasoning-parser", "deepseek_r1", "--structured-outputs-config", guided]
            with plain_vllm(python, parrot, template(), extra) as url:
                return joined("vLLM, hermes, deepseek_r1", run_check(url, only=["vectors"]))

        def ours() -> Report:
            with formosa_vllm(python, smol, own) as url:
                live = run_check(url, only=LIVE)
            with formosa_vllm(python, parrot, template()) as url:
                return joined(
                    "Formosa over vLLM", live, run_check(url, only=["vectors"], by="parrot")
                )

        found["vLLM, hermes"] = hermes
        found["vLLM, hermes, deepseek_r1"] = thinking
        found["Formosa over vLLM"] = ours
    return found


if __name__ == "__main__":
    main()
