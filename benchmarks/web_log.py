"""How long a log of 100,000 answers takes to open in the browser's pages, and how much memory.

    python benchmarks/web_log.py
    python benchmarks/web_log.py --answers 20000 --characters 4000
    python benchmarks/web_log.py --runs 5

A log is made as the runner would write it, of 20,000 invented questions in a csv file, each asked
five times, two scorers, with replies of some hundred characters. `formosa view FOLDER` is started
as a process of its own, several times, and asked for page after page; the shortest time of each
counts, since other work on the machine can only add. `wall` is from the request to the last byte of
the page, `CPU` what the server's process used for it. For "start", the time is from the
start of the process to the first answer of any page.

The questions are not in the log; they are read from their file and put together again, as on every
page. Peak memory is VmHWM of the server after all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply, ModelInfo, Sampling, Usage
from formosa.evals.plan import make_plan
from formosa.evals.record import reply_record, scores
from formosa.evals.registry import load_task
from formosa.files import json_line
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import summary

REPEATS, SUBJECTS = 5, 60
SPACED = "根據 題意 我們 可以 先 看 這個 選項 是否 符合 臺灣 的 規定 以及 歷史 地理 條件 因此 合理"
WORDS = SPACED.split()
RARE = "鵂鶹"  # in ten replies
TICK = os.sysconf("SC_CLK_TCK")


def make_log(folder: Path, answers: int, characters: int) -> Path:
    """The log, and the csv file with its questions beside it."""
    chance = random.Random(1)
    rows = ["subject,question,A,B,C,D,answer"]
    for number in range(max(1, answers // REPEATS)):
        options = ",".join(f"第{number}題的選項{letter}" for letter in "甲乙丙丁")
        text = "".join(chance.choices(WORDS, k=15))
        rows.append(
            f"科目{number % SUBJECTS},第{number}題：{text}？,{options},{'ABCD'[number % 4]}"
        )
    (folder / "questions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    task = load_task("file:questions.csv", data_dir=folder)
    plan = make_plan(task, repeats=REPEATS, sampling=Sampling(max_tokens=512))
    path = folder / "large.jsonl"
    with LogWriter(path, plan.start(ModelInfo("invented"))) as writer:
        pass
    rare = set(range(0, answers, max(1, answers // 10)))
    with path.open("ab") as file:  # the writer hands over line by line, which is slower
        for number, planned in enumerate(plan.requests()):
            words = "".join(chance.choices(WORDS, k=max(1, characters // 2)))[:characters]
            letter = planned.asked.gold if chance.random() < 0.4 else chance.choice("ABCD")
            text = words + (RARE if number in rare else "")
            text += rf"。答案是 \box{{{letter}}}" if chance.random() < 0.95 else ""
            reply = ChatReply(Message("assistant", text), "stop", Usage(250, 200), text)
            made = scores(task, planned.sample, planned.repeat, plan.seed, reply)
            file.write(
                json_line(
                    {
                        "type": "sample",
                        "id": planned.sample.id,
                        "repeat": planned.repeat,
                        "subject": planned.sample.subject,
                        "request_sha256": planned.sha256,
                        "reply": reply_record(task, reply),
                        "error": None,
                        "scores": made,
                        "purity": [characters, 0, 0],
                        "gold": planned.asked.gold,
                        "seconds": round(chance.uniform(1, 9), 3),
                    }
                )
            )
    with LogWriter(path, plan.start(ModelInfo("invented"))) as writer:
        writer.finish(summary)
    return path


class Server:
    """`formosa view FOLDER` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("formosa"), "view", folder, "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=folder,
        )
        assert self.process.stdout is not None
        self.url = str(json.loads(self.process.stdout.readline())["url"]).rstrip("/")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def peak(self) -> float:
        """VmHWM in MB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return 0.0

    def get(self, address: str, **query: Any) -> str:
        said = urllib.parse.urlencode({"lang": "en", **query})
        with urllib.request.urlopen(f"{self.url}{address}?{said}", timeout=600) as found:
            return str(found.read().decode())

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def steps(log: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(what it is, address, query)"""
    page = "/evals/log"
    yield "the log's page", page, {"path": log}
    yield "again", page, {"path": log}
    yield "page 1,000 of the list", page, {"path": log, "page": 1000}
    yield "wrong answers", page, {"path": log, "outcome": "wrong"}
    yield "one subject", page, {"path": log, "subject": "科目7"}
    yield "search: in ten replies", page, {"path": log, "q": RARE}
    yield "search: in most replies", page, {"path": log, "q": "臺灣"}
    yield "search: ASCII, in most replies", page, {"path": log, "q": "box"}
    yield "search: in one question", page, {"path": log, "q": "第777題："}
    yield "an answer's page", "/evals/sample", {"path": log, "id": "科目7/8", "repeat": 2}
    yield "figures of a running log", page, {"path": log, "part": "figures"}
    yield "table of logs", "/evals", {}


def measure(folder: Path, log: Path) -> tuple[dict[str, tuple[float, float, str]], float]:
    """For each step wall and CPU seconds, and what was found; and the peak memory in MB."""
    server = Server(folder)
    try:
        server.get("/")
        made = {"start": (time.perf_counter() - server.begun, server.cpu(), "")}
        for name, address, query in steps(log):
            cpu, begun = server.cpu(), time.perf_counter()
            text = server.get(address, **query)
            made[name] = (time.perf_counter() - begun, server.cpu() - cpu, found_in(text))
        return made, server.peak()
    finally:
        server.end()


def found_in(html: str) -> str:
    """The line over the list, `12 of 100,000 answers`."""
    begin = html.find('id="count">')
    return html[begin + 11 : html.find("<", begin + 11)].strip() if begin > 0 else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--answers", type=int, default=100_000)
    parser.add_argument("--characters", type=int, default=300, help="of a reply")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = make_log(folder, given.answers, given.characters)
        size = log.stat().st_size / 1e6
        runs = [measure(folder, log) for _ in range(given.runs)]
    print(f"{given.answers:,} answers, {size:.0f} MB; best of {given.runs} servers\n")
    print("| page | wall s | CPU s | found |\n| --- | ---: | ---: | --- |")
    for step, (_, _, found) in runs[0][0].items():
        wall, cpu = (min(made[step][part] for made, _ in runs) for part in (0, 1))
        print(f"| {step} | {wall:.2f} | {cpu:.2f} | {found} |")
    print(f"\npeak memory of the server: {max(peak for _, peak in runs):.0f} MB")


if __name__ == "__main__":
    main()
