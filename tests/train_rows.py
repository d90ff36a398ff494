"""Small files of rows that trainings in tests read, and the logs they leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from formosa.chat.message import Message, Tool, ToolCall
from formosa.files import read_jsonl
from formosa.train.config import LoraConfig, TrainConfig

CITIES = ("Taipei", "Tainan", "台中", "花蓮", "Keelung", "Yilan", "台東", "Hsinchu")
CONFIG = TrainConfig(
    lora=LoraConfig(rank=4, alpha=8),
    rows_per_step=4,
    rows_at_once=2,
    warmup_steps=1,
    save_every=2,
    measure_every=4,
    measure_rows=2,
    measure_tokens=8,
    learning_rate=5e-3,
    precision="float32",
)


def write_rows(path: Path, count: int) -> Path:
    """Conversations of one call each; rows of four lengths."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = Tool.of("get_weather", "The weather", schema)
    lines = []
    for i in range(count):
        city = CITIES[i % len(CITIES)]
        messages = [
            Message("user", f"Weather in {city}? ({i})" + " please" * (i % 4)),
            Message(
                "assistant", tool_calls=(ToolCall.of("get_weather", {"city": city}, "call_0"),)
            ),
        ]
        value = {"messages": [m.to_openai() for m in messages], "tools": [tool.to_openai()]}
        lines.append(json.dumps(value, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def write_documents(path: Path, count: int) -> Path:
    lines = [
        json.dumps({"text": f"{i}. {CITIES[i % 8]}的天氣。" * (3 + i % 5)}, ensure_ascii=False)
        for i in range(count)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def train(
    base: Path,
    folder: Path,
    config: TrainConfig = CONFIG,
    rows: int = 32,
    write: Callable[[Path, int], Path] = write_rows,
    **others: Any,
) -> Any:
    """A training in `folder`; the summary."""
    from formosa.train import run

    folder.mkdir(parents=True, exist_ok=True)
    return run.train(
        config,
        base=base,
        rows=write(folder / "train.jsonl", rows),
        heldout=write(folder / "heldout.jsonl", 3),
        folder=folder,
        **others,
    )


def records(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The records of one type in a training's log."""
    found = [record for _, record in read_jsonl(folder / "train" / "log.jsonl")]
    return [record for record in found if record["type"] == kind]


def losses(folder: Path) -> dict[int, float]:
    return {record["step"]: record["loss"] for record in records(folder, "step")}


def changed(config: TrainConfig = CONFIG, **values: Any) -> TrainConfig:
    """The configuration with other values, checked as a recipe's would be."""
    return TrainConfig.model_validate({**config.model_dump(), **values})
