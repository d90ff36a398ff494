"""Rows per second and peak memory of `formosa data prepare`, whole and by stage. Prints two tables.

    python benchmarks/data_prepare.py
    python benchmarks/data_prepare.py --rows 10000 100000 1000000
    python benchmarks/data_prepare.py --rows 100000 --peer-python .venv-datasets/bin/python

The rows are invented on the fly, zh-TW and English, some 600 characters each, a fifth of them in
each of five formats: OpenAI messages with tools and calls, ShareGPT with tools, Alpaca, DeepSeek-R1
output with its thinking, documents. Of a hundred rows three are exact copies, three differ from an
earlier one in a word or two, one is Simplified Chinese, one is cut off. All that a recipe does by
default is done, the comparison with the questions of mini-zh-tw and (where their data are in the
cache) of four BFCL tasks included.

The first table has a process for each size: rows per second of wall time and of CPU time, peak
memory (of the process, and with workers that of the largest of them times their number), and what
the disk held between the passes. The second says what each stage
costs alone, on rows that are in memory.

With --peer-python, the Python of an environment with Hugging Face's `datasets` reads the same files
in the same run and does the part of the work that it has functions for: read JSONL, map each row to
its text, filter by length, drop exact copies, shuffle, write JSONL. That is much less than what
`data prepare` does, and no row is checked; it is there as a scale.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

CITY_NAMES = "臺北 臺中 高雄 花蓮 新竹 嘉義 屏東 宜蘭 Oslo Berlin Lima Osaka Perth Quito"
HAN_WORDS = """
山 河 市場 鐵路 老師 學生 工廠 稻田 港口 博物館 颱風 夜市 圖書館 醫院 公車 法律 條文 契約 申請
證明 文件 期限 費用 退款 訂單 客服 地址 電話 星期 上午 下午 計算 比較 整理 說明 分析 建議 步驟
"""
LATIN_WORDS = """
river market railway teacher student factory harbour museum storm library hospital bus law clause
contract request proof document deadline fee refund order service address phone week morning evening
compute compare arrange explain analyse suggest step report planet window
"""
CITIES, HAN, LATIN = (words.split() for words in (CITY_NAMES, HAN_WORDS, LATIN_WORDS))
TOOL = {
    "name": "get_weather",
    "description": "The weather of a city on a day",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Name of the city"},
            "day": {"type": "integer", "description": "Days from today", "minimum": 0},
        },
        "required": ["city"],
    },
}
FORMATS = ("messages", "sharegpt", "alpaca", "r1", "text")


# -- rows -----------------------------------------------------------------------------------------


def words(dice: random.Random, count: int, chinese: bool) -> str:
    """Sentences of random words: no two of them share long runs."""
    parts: list[str] = []
    for i in range(count):
        if chinese:
            parts.append(dice.choice(HAN) + dice.choice("的與在和，，。、") * (i % 2))
        else:
            parts.append(dice.choice(LATIN) + (". " if i % 9 == 8 else " "))
    return "".join(parts).strip() + ("。" if chinese else ".")


def value(kind: str, number: int) -> dict[str, Any]:
    """The row with this number, as a file of that format has it."""
    fate, original = number % 100, number
    if fate < 6 and number >= 100:  # a copy of an earlier row, three of them with another word
        original = number - 50
    dice = random.Random(f"row {kind} {original}")
    chinese = dice.random() < 0.5
    scale = 1 if chinese else 2
    question = words(dice, 14 * scale, chinese)
    answer = words(dice, 60 * scale, chinese)
    thought = words(dice, 50 * scale, chinese)
    city, day = dice.choice(CITIES), dice.randrange(9)
    if fate in (3, 4, 5) and number >= 100:
        answer = answer.replace(answer[:2], "另外" if chinese else "So", 1)
    if fate == 7:
        question = question + "请问这个问题应该怎么处理，谢谢你的帮助。"
    if fate == 8:
        answer += "\n```python\nprint(1)"
    if kind == "text":
        return {"text": question + "\n" + answer + "\n" + thought}
    if kind == "alpaca":
        return {"instruction": question, "input": "", "output": answer}
    if kind == "r1":
        return {"prompt": question, "completion": f"<think>\n{thought}\n</think>\n\n{answer}"}
    arguments = {"city": city, "day": day}
    if kind == "sharegpt":
        turns = [
            ("human", f"{question} {city} {day}"),
            ("function_call", json.dumps({"name": TOOL["name"], "arguments": arguments})),
            ("observation", json.dumps({"degrees": dice.randrange(40)})),
            ("gpt", answer),
        ]
        return {
            "conversations": [{"from": who, "value": text} for who, text in turns],
            "tools": json.dumps([TOOL]),
        }
    call = {"name": TOOL["name"], "arguments": json.dumps(arguments)}
    return {
        "messages": [
            {"role": "user", "content": f"{question} {city} {day}"},
            {
                "role": "assistant",
                "tool_calls": [{"id": "a", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "a", "content": '{"degrees": 21}'},
            {"role": "assistant", "content": answer},
        ],
        "tools": [{"type": "function", "function": TOOL}],
    }


def write_sources(folder: Path, rows: int) -> list[Path]:
    """A file of each format; together so many rows."""
    paths = []
    for place, kind in enumerate(FORMATS):
        count = rows // len(FORMATS) + (place < rows % len(FORMATS))
        paths.append(folder / f"{kind}.jsonl")
        with paths[-1].open("w", encoding="utf-8") as file:
            for number in range(count):
                file.write(json.dumps(value(kind, number), ensure_ascii=False) + "\n")
    return paths


# -- measuring ------------------------------------------------------------------------------------


def config_of(paths: Sequence[Path]) -> Any:
    from formosa.data.config import DataConfig

    sources = [{"path": str(path), "licence": "CC0-1.0"} for path in paths]
    return DataConfig.model_validate({"sources": sources, "heldout": 100, "rejects": 100})


def benchmarks() -> list[Any]:
    from formosa.errors import FormosaError
    from formosa.run.benchmarks import load_benchmarks

    names = ["bfcl-simple", "bfcl-multiple", "bfcl-parallel", "bfcl-parallel-multiple"]
    try:
        return load_benchmarks(["mini-zh-tw", *names])
    except FormosaError:
        return load_benchmarks(["mini-zh-tw"])


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(folder: Path, workers: int) -> dict[str, Any]:
    """In a process of its own: prepare the files of a folder."""
    from formosa.data.prepare import prepare
    from formosa.data.spool import FOLDER

    texts = benchmarks()
    config = config_of(sorted(folder.glob("*.jsonl")))
    out, disk = folder / "out", 0

    def progress(done: int, total: int, what: str) -> None:
        nonlocal disk
        if (
            done == 1 and what == "written"
        ):  # the second pass begins to write: nothing between them is gone yet
            disk = sum(path.stat().st_size for path in (out / FOLDER).rglob("*") if path.is_file())

    started, cpu = time.perf_counter(), time.process_time()
    report = prepare(config, out, benchmarks=texts, workers=workers, progress=progress)
    rows = sum(source.rows_in for source in report.sources)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    children = resource.getrusage(resource.RUSAGE_CHILDREN)  # they have ended and were waited for
    cpu += children.ru_utime + children.ru_stime
    return {
        "rows": rows,
        "used": sum(report.rows.values()),
        "rows/s": rows / wall,
        "rows/CPU-s": rows / cpu,
        "seconds": wall,
        "peak GB": peak_gb() + (workers > 1) * workers * children.ru_maxrss * 1024 / 1e9,
        "disk GB": disk / 1e9,
        "refused": report.dropped,
    }


def stages(folder: Path) -> dict[str, float]:
    """Rows per CPU second of each stage alone; the slowest decides."""
    from formosa.data import cleaning, quality
    from formosa.data.decontaminate import BenchmarkIndex
    from formosa.data.duplicates import Duplicates, compared_text
    from formosa.data.formats.detect import open_reader
    from formosa.data.formats.draft import Draft
    from formosa.data.rejects import Rejection
    from formosa.data.rows import Row
    from formosa.data.sources.opening import open_source
    from formosa.data.spool import Spool
    from formosa.data.validate import validate_row

    config = config_of(sorted(folder.glob("*.jsonl")))
    opened = [open_source(source, folder) for source in config.sources]
    speeds: dict[str, float] = {}

    def timed(name: str, rows: int, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = work()
        speeds[name] = rows / max(time.process_time() - started, 1e-9)
        return result

    count = sum(1 for source in opened for _ in source.records())
    records = timed("read", count, lambda: [list(source.records()) for source in opened])

    def formatted() -> Iterator[Row]:
        for source, part in zip(opened, records, strict=True):
            reader = open_reader(source)
            for record in part:
                for _, item in reader.rows(record):
                    if isinstance(item, Draft):
                        yield Row.of(item.messages, item.tools, text=item.text, source="x")

    rows = timed("format", count, lambda: list(formatted()))
    cleaned = timed(
        "clean",
        len(rows),
        lambda: [cleaning.clean(row, config.clean, policy="refuse") for row in rows],
    )
    rows = [item[0] for item in cleaned if not isinstance(item, Rejection)]

    def validated() -> None:
        for row in rows:
            validate_row(row)

    timed("validate", len(rows), validated)
    timed("quality", len(rows), lambda: [quality.judge(row, config.quality) for row in rows])
    index = timed(
        "benchmarks (reading them)",
        1,
        lambda: BenchmarkIndex(benchmarks(), config.decontaminate),
    )
    del speeds["benchmarks (reading them)"]
    timed("decontaminate", len(rows), lambda: [index.judge(row) for row in rows])
    with tempfile.TemporaryDirectory() as work, Spool(Path(work)) as spool:
        timed("spool", len(rows), lambda: [spool.add(row, 0, "x:1") for row in rows])
        found = Duplicates(Path(work), config.duplicates)

        def duplicates() -> None:
            for number, row in enumerate(rows):
                found.add(number, row)
            for _ in found.resolve(lambda number: compared_text(spool.row(number))):
                pass

        timed("duplicates", len(rows), duplicates)
    return speeds


PEER = """
import hashlib, json, resource, sys, time
from datasets import Dataset, disable_progress_bars, load_dataset
disable_progress_bars()
folder, paths = sys.argv[1], sys.argv[2:]
started, cpu, total = time.perf_counter(), time.process_time(), 0
for place, path in enumerate(paths):
    rows = load_dataset("json", data_files=path, split="train", cache_dir=folder)
    total += len(rows)
    rows = rows.map(lambda row: {"joined": json.dumps(row, ensure_ascii=False)})
    rows = rows.filter(lambda row: len(row["joined"]) < 100_000)
    seen = set()
    def new(row):
        digest = hashlib.md5(row["joined"].encode()).digest()
        return not (digest in seen or seen.add(digest))
    rows.filter(new).shuffle(seed=1).to_json(f"{folder}/{place}.jsonl", force_ascii=False)
wall, cpu = time.perf_counter() - started, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
print(json.dumps({"rows": total, "rows/s": total / wall, "rows/CPU-s": total / cpu,
                  "seconds": wall, "peak GB": peak}))
"""


def asked(command: Sequence[str | Path]) -> Any:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


HEADS = ("rows", "rows/s", "rows/CPU-s", "seconds", "peak GB", "disk GB")


def line(name: str, result: dict[str, Any]) -> str:
    cells = [f"{result['rows']:,}", *(f"{result[head]:,.0f}" for head in HEADS[1:4])]
    cells += [f"{result[head]:.2f}" if head in result else "" for head in HEADS[4:]]
    return f"{name:<24}" + "".join(f"{cell:>12}" for cell in cells)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Speed and memory of `formosa data prepare`.")
    arguments.add_argument("--rows", type=int, nargs="+", default=[10_000])
    arguments.add_argument("--stages", type=int, default=10_000, help="rows of the second table")
    arguments.add_argument("--peer-python", type=Path, help="a Python that has `datasets`")
    arguments.add_argument("--workers", type=int, nargs="+", default=[1], help="a line for each")
    arguments.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.workers[0])))
        return
    refused: dict[str, int] = {}
    print(f"{'data prepare':<24}" + "".join(f"{head:>12}" for head in HEADS))
    for count in options.rows:
        with tempfile.TemporaryDirectory() as name:
            paths = write_sources(Path(name), count)
            for workers in options.workers:
                command = [sys.executable, __file__, "--measure", name, "--workers", str(workers)]
                result = asked(command)
                refused = result["refused"]
                print(line(f"formosa, {workers} workers", result), flush=True)
            if options.peer_python:
                peer = [str(options.peer_python), "-c", PEER, f"{name}/peer", *map(str, paths)]
                print(line("datasets (less work)", asked(peer)), flush=True)
    reasons = ", ".join(f"{reason} {rows:,}" for reason, rows in refused.items())
    print(f"\nrefused of the last: {reasons}")
    if options.stages:
        with tempfile.TemporaryDirectory() as name:
            write_sources(Path(name), options.stages)
            print(f"\n{'stage alone':<24}{'rows/CPU-s':>12}   ({options.stages:,} rows)")
            for stage, speed in stages(Path(name)).items():
                print(f"{stage:<24}{speed:>12,.0f}")


if __name__ == "__main__":
    main()
