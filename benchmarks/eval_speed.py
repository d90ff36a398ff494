"""What the runner costs: the whole command against a chat server that answers at once.

    python benchmarks/eval_speed.py
    python benchmarks/eval_speed.py --questions 100000
    python benchmarks/eval_speed.py --model smollm2-135m --questions 300
    python benchmarks/eval_speed.py --twinkle-python TW/bin/python --lm-eval-python LM/bin/python

The same invented questions (four options each) are asked by each program, with its own command,
one after the other, several times; the best time of each counts, since other work on the machine
can only add. The server is a process of its own and does nothing but answer: it is not counted.
`requests/s` is between the first and the last request as the server sees them.

Twinkle Eval and lm-eval are asked only where their interpreter is named; each wants its own virtual
environment (`pip install twinkle-eval==2.10.0`, `pip install 'lm-eval[api]'`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from formosa.evals.choice import system_prompt

REPLY = {
    "id": "reply-00000000",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "想了一下，答案是 \\box{A}"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 60, "completion_tokens": 12, "total_tokens": 72},
}


class Instant(asyncio.Protocol):
    """Answers every POST with `REPLY` and every GET with the models and the times so far."""

    body = json.dumps(REPLY, ensure_ascii=False).encode()
    count = 0
    first = last = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(head.startswith(b"post"))

    def answer(self, post: bool) -> None:
        cls = Instant
        if post:
            cls.last = time.monotonic()
            cls.first = cls.first or cls.last
            cls.count += 1
            body = self.body.replace(b"reply-00000000", b"reply-%08d" % cls.count)
        else:
            value = {"object": "list", "data": [{"id": "m", "object": "model"}],
                     "count": cls.count, "seconds": cls.last - cls.first}  # fmt: skip
            body = json.dumps(value).encode()
            cls.count, cls.first = 0, 0.0
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            % len(body) + body
        )  # fmt: skip


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Cost(NamedTuple):
    """Of one whole command."""

    seconds: float
    cpu: float
    megabytes: float
    requests: int
    asking: float  # seconds between the first and the last request

    @property
    def rate(self) -> float:
        return self.requests / self.asking if self.asking else 0.0


class Asked(NamedTuple):
    """How the questions are asked, of every program alike."""

    url: str
    tokens: int = 64
    repeats: int = 1


def write_questions(folder: Path, count: int) -> Path:
    chance = random.Random(1)
    path = folder / "questions.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            a, b = chance.randint(1, 999), chance.randint(1, 999)
            options = {letter: str(a + b + k) for k, letter in enumerate("ABCD")}
            row = {"question": f"第 {n} 題：{a} 加 {b} 等於多少？請選出正確的答案。", **options,
                   "answer": "A"}  # fmt: skip
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def measure(command: list[str], folder: Path, port: int | None) -> Cost:
    """Run a command to its end; what it said is shown where it failed.

    `port` is that of the instant server, which is asked what it saw.
    """
    said = folder / "said.txt"
    if port:
        numbers(port)
    with said.open("wb") as file:
        begin = time.monotonic()
        environment = {**os.environ, "OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen(
            command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, env=environment
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)} failed:\n{said.read_text(errors='replace')[-3000:]}")
    seen: dict[str, Any] = numbers(port) if port else {"count": 0, "seconds": 0.0}
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(seconds, cpu, usage.ru_maxrss / 1024, seen["count"], seen["seconds"])


def numbers(port: int) -> dict[str, Any]:
    """What the server has seen since it was last asked."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models") as answer:
        value: dict[str, Any] = json.load(answer)
        return value


def formosa(folder: Path, questions: Path, asked: Asked, *who: str) -> list[str]:
    out = tempfile.mkdtemp(dir=folder)  # a log that is there would be continued
    return [sys.executable, "-m", "formosa.cli.main", "eval", "run", f"file:{questions}", *who,
            "--max-tokens", str(asked.tokens), "--repeats", str(asked.repeats),
            "--out", out]  # fmt: skip


def twinkle(
    python: Path, folder: Path, questions: Path, asked: Asked, served: str = "m"
) -> list[str]:
    data = folder / "twinkle-data"
    data.mkdir(exist_ok=True)
    (data / questions.name).write_bytes(questions.read_bytes())
    config = folder / "config.yaml"
    config.write_text(
        json.dumps(  # which is YAML
            {
                "llm_api": {"base_url": asked.url, "api_key": "none", "disable_ssl_verify": False,
                            "api_rate_limit": -1, "max_retries": 3, "timeout": 600},
                "model": {"name": served, "temperature": 0.0, "top_p": 0.9,
                          "max_tokens": asked.tokens, "frequency_penalty": 0.0,
                          "presence_penalty": 0.0, "extra_body": {}},
                "evaluation": {"dataset_paths": [str(data)], "evaluation_method": "box",
                               "system_prompt": {"zh": system_prompt("ABCD", "zh")},
                               "datasets_prompt_map": {}, "shuffle_options": True,
                               "repeat_runs": asked.repeats},
                "logging": {"level": "ERROR"},
            }
        ),
        encoding="utf-8",
    )  # fmt: skip
    return [str(python.parent / "twinkle-eval"), "--config", str(config)]


def lm_eval(python: Path, folder: Path, questions: Path, asked: Asked) -> list[str]:
    (folder / "invented.yaml").write_text(
        json.dumps(
            {
                "task": "invented", "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(questions)}},
                "test_split": "test", "output_type": "generate_until",
                "doc_to_text": "{{question}}\nA: {{A}}\nB: {{B}}\nC: {{C}}\nD: {{D}}",
                "doc_to_target": "{{answer}}",
                "generation_kwargs": {"until": [], "max_gen_toks": asked.tokens},
                "metric_list": [{"metric": "exact_match"}],
            }
        ),
        encoding="utf-8",
    )  # fmt: skip
    return [str(python.parent / "lm_eval"), "--model", "local-chat-completions", "--model_args",
            f"model=m,base_url={asked.url}/chat/completions,num_concurrent=16,tokenizer_backend=None",
            "--tasks", "invented", "--include_path", str(folder),
            "--apply_chat_template"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--twinkle-python", type=Path)
    parser.add_argument("--lm-eval-python", type=Path)
    parser.add_argument("--model", help="ask this one, with 3 repeats, not the instant server")
    parser.add_argument("--concurrency", type=int, default=6, help="of --model")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve())
        return
    if given.model:
        on_a_model(given)
        return
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        try:
            assert server.stdout is not None
            port, folder = int(server.stdout.readline()), Path(name)
            asked = Asked(f"http://127.0.0.1:{port}/v1")
            questions = write_questions(folder, given.questions)
            costs: dict[str, list[Cost]] = {}
            for _ in range(given.times):  # in turns, so that other work meets all of them
                commands = {"formosa": formosa(folder, questions, asked, "--base-url", asked.url)}
                if python := given.twinkle_python:
                    commands["twinkle-eval"] = twinkle(python.absolute(), folder, questions, asked)
                if python := given.lm_eval_python:
                    commands["lm-eval"] = lm_eval(python.absolute(), folder, questions, asked)
                for program, command in commands.items():
                    costs.setdefault(program, []).append(measure(command, folder, port))
        finally:
            server.kill()
    print(f"{given.questions} questions, best of {given.times}\n")
    show(costs)


def on_a_model(given: argparse.Namespace) -> None:
    """A real engine: Formosa in its process and over HTTP, Twinkle Eval over HTTP, each once.

    Twinkle Eval has no setting for its concurrency: it is that of Python's default thread pool, 6
    on two cores.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "formosa.cli.main"]
    width = str(given.concurrency)
    costs: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        questions = write_questions(folder, given.questions)
        asked = Asked(f"http://127.0.0.1:{port}/v1", tokens=8, repeats=3)
        inside = formosa(folder, questions, asked, "--model", given.model, "--template", "chatml",
                         "--context", "1024", "--concurrency", width)  # fmt: skip
        costs["formosa, in process"] = [measure(inside, folder, None)]
        server = subprocess.Popen(
            [*command, "serve", given.model, "--port", str(port), "--template", "chatml",
             "--context", "1024", "--slots", width, "--name", "m"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while server.poll() is None:
                with contextlib.suppress(OSError):
                    numbers(port)
                    break
                time.sleep(0.2)
            over = formosa(folder, questions, asked, "--base-url", asked.url,
                           "--concurrency", width)  # fmt: skip
            costs["formosa, HTTP"] = [measure(over, folder, None)]
            if python := given.twinkle_python:
                other = twinkle(python.absolute(), folder, questions, asked)
                costs["twinkle-eval, HTTP"] = [measure(other, folder, None)]
        finally:
            server.terminate()
            server.wait()
    print(f"{given.questions} questions × 3, {given.model}, {width} at a time, 8 tokens a reply\n")
    show(costs)


def show(costs: dict[str, list[Cost]]) -> None:
    print("program               whole s   CPU s   peak MB   requests/s")
    for program, found in costs.items():
        best = min(found, key=lambda cost: cost.seconds)
        rate = max(cost.rate for cost in found)
        seen = f"{rate:12.0f}" if rate else f"{'–':>12}"
        print(f"{program:19} {best.seconds:9.2f} {best.cpu:7.2f} {best.megabytes:9.0f} {seen}")


if __name__ == "__main__":
    main()
