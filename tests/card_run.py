"""A small run folder, written by hand as the stages would write it, for the tests of the card."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from formosa.card.markdown import Document, read_document
from formosa.card.values import Card, read_card
from formosa.card.write import write_card
from formosa.results.log import read_log
from formosa.results.metrics import summary

HEX = "0123456789abcdef" * 4

# One letter a question: Correct, Wrong, Unparsed, Truncated, Failed.
NAMES = {"C": "correct", "W": "wrong", "U": "unparsed", "T": "truncated", "F": "failed"}


def write_log(
    path: Path,
    *,
    task: str,
    model: str,
    outcomes: dict[str, list[str]],
    repeats: int = 1,
    shard: tuple[int, int] | None = None,
    purity: list[int] | None = None,
    start: dict[str, dict[str, Any]] | None = None,
) -> None:
    """A finished log; `outcomes` has for each scorer one text of letters a repeat.

    Args:
        shard: (number, of); the log holds every of-th question.
        purity: of each reply.
        start: what the parts of the first record say besides.
    """
    scorers = list(outcomes)
    questions = len(outcomes[scorers[0]][0])
    mine = range(questions)[shard[0] - 1 :: shard[1]] if shard else range(questions)
    records: list[dict[str, Any]] = [
        {
            "type": "start",
            "schema": 1,
            "task": {
                "name": task,
                "version": 1,
                "source": "https://example.org/questions",
                "revision": "a" * 40,
                "licence": "apache-2.0",
                "language": "en",
            },
            "model": {"name": model, "path": model, "sha256": HEX, "details": {}},
            "request": {"temperature": 0.0, "max_tokens": 64},
            "plan": {"samples": questions, "repeats": repeats, "seed": 7, "original": 400},
            "scorers": scorers,
            "started": "2026-11-22T04:00:00Z",
            "code": {"version": "0.1.0", "git": ""},
        }
    ]
    for part, values in (start or {}).items():
        records[0][part] |= values
    if shard:
        records[0]["plan"]["shard"] = {"number": shard[0], "of": shard[1], "samples": len(mine)}
    for repeat in range(repeats):
        for q in mine:
            scores = {
                name: {"outcome": NAMES[rows[repeat][q]], "answer": None, "why": ""}
                for name, rows in outcomes.items()
            }
            sample = {"type": "sample", "id": f"q{q}", "repeat": repeat, "subject": ""}
            if purity:
                sample["purity"] = purity
            records.append({**sample, "scores": scores, "reply": None, "error": None})
    write_lines(path, records)
    end = {"type": "end", "finished": "2026-11-22T04:10:00Z", **summary(read_log(path))}
    write_lines(path, [*records, end])


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False))


def flow_messages() -> list[dict[str, Any]]:
    """The flow of the F1 card; results come in the other order than the calls."""
    calls = [
        ("call-1", "get_weather", '{"location": "臺北", "unit": "celsius"}'),
        ("call-2", "search", '{"query": "最新關稅政策"}'),
    ]
    return [
        {"role": "user", "content": "台北氣溫如何？另外,告訴我最新的關稅政策"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for id, name, arguments in calls
            ],
        },
        {"role": "tool", "tool_call_id": "call-2", "content": "關稅為 32%\n```\n| 1 | 2 |"},
        {"role": "tool", "tool_call_id": "call-1", "content": "臺北 26 度,晴"},
        {"role": "assistant", "content": "臺北 26 度。<!-- formosa:claims -->\n```\n關稅 32%。"},
    ]


def make_run(folder: Path) -> Path:
    """A whole run: two tasks, base and trained, all reports."""
    run = folder / "mini"
    for role, model, ast in (
        ("base", "smollm2-135m", "WWUWCTWW"),
        ("trained", "model-Q8_0", "CCCWCCFC"),
    ):
        write_log(
            run / f"logs/{role}-bfcl-simple.jsonl",
            task="bfcl-simple",
            model=model,
            outcomes={"ast": [ast]},
        )
        write_log(
            run / f"logs/{role}-mini-zh-tw.jsonl",
            task="mini-zh-tw",
            model=model,
            outcomes={"box": ["CWWUTC", "CWUUWC"], "pattern": ["CWWCTC", "CWCCWC"]},
            repeats=2,
            purity=[40, 1, 2],
            start={"task": {"language": "zh-TW"}},
        )
    write_json(
        run / "data/report.json",
        {
            "schema": 2,
            "sources": [
                {
                    "name": "formosa-tools",
                    "licence": "apache-2.0",
                    "rows_in": 1200,
                    "rows_out": 1100,
                    "heldout": 40,
                    "dropped": {"duplicate": 90, "too long": 10},
                    "about": {},
                    "purity": {"rows": 900, "mean": 0.999123, "min": 0.5, "pure": 0.97},
                },
                {
                    "name": "example/tw-tools",
                    "licence": "cc-by-4.0",
                    "rows_in": 50,
                    "rows_out": 50,
                    "heldout": 10,
                    "dropped": {},
                    "about": {"hub": "example/tw-tools", "revision": "c" * 40},
                    "purity": {"rows": 0, "mean": 0.0, "min": 0.0, "pure": 0.0},
                },
            ],
            "kinds": {"one-call": 500, "parallel-2": 600},
            "languages": {"zh-TW": 900, "en": 250},
            "rows": {"train": 1100, "heldout": 50},
            "sha256": {"train": HEX, "heldout": HEX[::-1]},
            "seed": 7,
            "duplicates": {"duplicate": 90, "near duplicate": 4},
            "contamination": [{"benchmark": "bfcl-simple", "texts": 400, "tools": 798, "rows": 3}],
            "characters": {"total": 812345, "longest": 2790, "histogram": [{"to": 10, "rows": 1}]},
            "purity": {"rows": 900, "mean": 0.999123, "min": 0.5, "pure": 0.97},
            "versions": {"formosa": "0.1.0", "cleaning": 2},
        },
    )
    write_json(
        run / "model.json",
        {
            "schema": 1,
            "name": "smollm2-135m",
            "kind": "gguf",
            "sha256": HEX,
            "licence": "apache-2.0",
            "hub_id": "HuggingFaceTB/SmolLM2-135M-Instruct",
            "revision": "",
        },
    )
    write_json(
        run / "train/summary.json",
        {
            "base": {"name": "smollm2-135m", "sha256": HEX},
            "method": "lora",
            "rows": 1100,
            "tokens": 220000,
            "trained_tokens": 40000,
            "steps": 140,
            "epochs": 1.0,
            "learning_rate": 0.0005,
            "lora": {"rank": 16, "alpha": 32},
            "seed": 7,
            "loss": {"first": 2.123456789, "last": 0.31},
            "heldout": [{"step": 140, "loss": 0.4, "exact_call": {"correct": 31, "of": 50}}],
            "seconds": 180.5,
            "hardware": "2 cores",
            "versions": {"torch": "2.13.0", "peft": "0.21"},
            "template_sha256": HEX[::-1],
        },
    )
    write_json(
        run / "gguf/parity.json",
        {
            "schema": 1,
            "file": "model-Q8_0.gguf",
            "sha256": HEX,
            "quantisation": "Q8_0",
            "checks": [
                {"name": "template", "passed": True, "compared": 12, "detail": "same bytes"},
                {"name": "greedy", "passed": True, "compared": 96, "detail": "96 of 96 words"},
            ],
        },
    )
    (run / "gguf/model-Q8_0.gguf").write_bytes(b"GGUF")
    (run / "checkpoint").mkdir()
    write_json(
        run / "serve/tool-flow.json",
        {
            "schema": 1,
            "served": "model-Q8_0.gguf",
            "client": "openai 3.54.0",
            "messages": flow_messages(),
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": name,
                        "description": "說明 with \"quotes\" and '''",
                        "parameters": {"type": "object", "properties": {}, "strict": False},
                    },
                }
                for name in ("get_weather", "search")
            ],
            "passed": True,
            "steps": [{"name": "two calls", "passed": True, "detail": "2 calls in one reply"}],
            "seconds": 3.2,
        },
    )
    return run


_BOTH = re.compile(r"(.*[^\x00-\x7f][^ ]*) ([ -~]*[A-Za-z][ -~]*)")


def written(run: Path) -> tuple[Card, Document]:
    """The card of a run, as it was just written."""
    write_card(run)
    card = read_card(run / "README.md")
    return card, read_document(card.body)


def rows(document: Document, name: str) -> list[dict[str, str]]:
    """A table's rows by the Chinese heads, and with the Chinese of labels that say both."""
    tables = {table.name: table for table in document.tables}
    table = tables[name]
    shared = f"{name}-en" not in tables and not name.endswith("-en")

    def chinese(text: str) -> str:
        match = _BOTH.fullmatch(text) if shared else None
        return match[1] if match else text

    heads = [chinese(head) for head in table.heads]
    return [dict(zip(heads, map(chinese, row), strict=True)) for row in table.rows]
