"""Tokens per second of training on this machine, beside plain TRL on the same rows. Prints a table.

    python benchmarks/training_speed.py [--models smollm2-135m] [--methods lora] [--steps 4]
    python benchmarks/training_speed.py --peer-python /path/to/python-with-trl

Rows come from our own generator, of both languages, a fifth of their tokens learnt; a step is
`--rows` of them. Ours is what `formosa train sft` does, weights, optimizer, clipping and all. The
peer is trl's SFTTrainer with the same token ids and labels, the same number of rows a step and the
same adapters, in the environment that --peer-python names, two ways:

    trl            its defaults: float32 weights under bfloat16 autocast, activation checkpointing
    trl, tuned     bfloat16 weights, no activation checkpointing: the fastest it does here. (All
                   weights in bfloat16 lose small updates; ours keep float32 masters.)

Every line is a process of its own. The first step is not counted. Tokens are those of the rows,
without padding; CPU seconds are of all threads, and say more than the clock on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

RANK, ALPHA = 16, 32
RATES = {"lora": 1e-3, "full": 1e-4}
COLUMNS = ("tokens/s", "tokens/CPU-s", "peak GB", "loss")


class Clock:
    """Wall and CPU seconds since the end of the first step, and the tokens of the steps after."""

    def __init__(self) -> None:
        self.began: tuple[float, float] | None = None
        self.loss = 0.0

    def step(self) -> None:
        self.now = (time.perf_counter(), time.process_time())
        self.began = self.began or self.now

    def result(self, tokens: int) -> dict[str, float]:
        assert self.began
        wall, cpu = (end - start for start, end in zip(self.began, self.now, strict=True))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        return dict(
            zip(COLUMNS, (tokens / wall, tokens / cpu, peak, self.loss), strict=True), seconds=wall
        )


# -- ours -----------------------------------------------------------------------------------------


def ours(job: dict[str, Any]) -> dict[str, float]:
    """One short training by `formosa.train.run.train`."""
    from formosa.files import read_jsonl
    from formosa.train.config import LoraConfig, TrainConfig
    from formosa.train.run import train

    config = TrainConfig(
        method=job["method"],
        lora=LoraConfig(rank=RANK, alpha=ALPHA),
        learning_rate=RATES[job["method"]],
        warmup_steps=0,
        rows_per_step=job["rows"],
        rows_at_once=job["at_once"],
        max_tokens=2048,
        save_every=10_000,
        measure_every=10_000,
        embeddings=job["embeddings"],
    )
    clock = Clock()

    def progress(step: int, steps: int, loss: float) -> None:
        clock.step()
        clock.loss = loss

    folder = Path(job["folder"]) / "ours"
    train(
        config,
        base=Path(job["base"]),
        rows=Path(job["file"]),
        heldout=Path(job["heldout"]),
        folder=folder,
        progress=progress,
    )
    records = [record for _, record in read_jsonl(folder / "train" / "log.jsonl")]
    steps = [record for record in records if record["type"] == "step"]
    return clock.result(sum(record["tokens"] for record in steps[1:]))


# -- the peer, in its own environment -------------------------------------------------------------


def peer(job: dict[str, Any]) -> dict[str, float]:
    """The same rows by trl's SFTTrainer. Imports nothing of ours."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    clock = Clock()
    counts: list[int] = []

    class Timed(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.step()

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            clock.loss = logs.get("loss", clock.loss)

    rows = json.loads(Path(job["ids"]).read_text(encoding="utf-8"))
    tuned = job["who"] == "trl, tuned"
    adapters = LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            job["base"], dtype=torch.bfloat16 if tuned else torch.float32
        ),
        args=SFTConfig(
            output_dir=str(Path(job["folder"]) / "trl"),
            per_device_train_batch_size=job["at_once"],
            gradient_accumulation_steps=job["rows"] // job["at_once"],
            num_train_epochs=1,
            learning_rate=RATES[job["method"]],
            lr_scheduler_type="cosine",
            max_length=None,
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            logging_steps=1,
            report_to=[],
            disable_tqdm=True,
            seed=7,
            **({"gradient_checkpointing": False} if tuned else {}),
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(job["base"]),
        peft_config=adapters if job["method"] == "lora" else None,
        callbacks=[Timed()],
    )
    collate = trainer.data_collator

    def counted(batch: list[dict[str, Any]]) -> Any:
        counts.append(sum(len(row["input_ids"]) for row in batch))
        return collate(batch)

    trainer.data_collator = counted
    trainer.train()
    return clock.result(sum(counts[job["rows"] // job["at_once"] :]))


# -- the table ------------------------------------------------------------------------------------


def prepared(model: str, count: int, folder: Path) -> dict[str, str]:
    """Files of rows: as ours reads them, and as token ids and labels."""
    from formosa.checkpoints import checkpoint_folder, load_tokenizer
    from formosa.data.synth.generate import generate
    from formosa.models import resolve
    from formosa.train.rows import RowSettings
    from formosa.train.special_tokens import prepare_tokenizer
    from formosa.train.tokens import encode_file

    base = checkpoint_folder(resolve(model, say=print), say=print)
    rows, heldout, ids = (folder / name for name in ("rows.jsonl", "heldout.jsonl", "ids.json"))
    with rows.open("w", encoding="utf-8") as file:
        for row in generate(count, 1):
            file.write(json.dumps(row.to_json(), ensure_ascii=False) + "\n")
    heldout.write_text("", encoding="utf-8")
    tokenizer = load_tokenizer(base, own_format=False)
    template = prepare_tokenizer(tokenizer).template
    store = encode_file(rows, tokenizer, template, RowSettings(max_tokens=2048), folder / "tokens")
    ids.write_text(
        json.dumps([{"input_ids": row.ids, "labels": row.labels} for row in store]),
        encoding="utf-8",
    )
    print(f"{model}: {len(store)} rows, {store.tokens:,} tokens, {store.trained:,} learnt")
    return {"base": str(base), "file": str(rows), "heldout": str(heldout), "ids": str(ids)}


def measured(python: str, job: dict[str, Any]) -> dict[str, float] | str:
    """What one line's process says, or why it says nothing."""
    command = [python, __file__, "--job", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def table(arguments: argparse.Namespace, model: str, folder: Path) -> None:
    files = prepared(model, arguments.rows * (arguments.steps + 1), folder)
    for method in arguments.methods:
        lines = [("formosa", sys.executable, "auto")]
        if method == "full":
            lines.append(("formosa, embeddings frozen", sys.executable, "freeze"))
        if arguments.peer_python:
            lines += [(name, arguments.peer_python, "auto") for name in ("trl", "trl, tuned")]
        first: dict[str, float] = {}
        for name, python, embeddings in lines:
            job = {
                **files,
                "who": name,
                "method": method,
                "rows": arguments.rows,
                "at_once": arguments.at_once,
                "embeddings": embeddings,
                "folder": str(folder / f"{method}-{name}"),
            }
            found = measured(python, job)
            label = f"{model} {method}: {name}"
            if isinstance(found, str):
                print(f"{label:<46} {found}", flush=True)
                continue
            first = first or found
            ratio = first["tokens/CPU-s"] / found["tokens/CPU-s"]
            print(
                f"{label:<46}{found['tokens/s']:>9.0f}{found['tokens/CPU-s']:>14.0f}"
                f"{found['peak GB']:>9.1f}{found['loss']:>8.3f}{ratio:>8.2f} ×",
                flush=True,
            )
    if not arguments.peer_python:
        print("no peer: name a Python that has trl 1.16 with --peer-python")


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["smollm2-135m", "gemma-3-270m"])
    parser.add_argument("--methods", nargs="+", choices=list(RATES), default=list(RATES))
    parser.add_argument("--steps", type=int, default=4, help="counted steps")
    parser.add_argument("--rows", type=int, default=4, help="rows of a step")
    parser.add_argument("--at-once", type=int, default=4, help="rows computed together")
    parser.add_argument("--peer-python", help="the Python of an environment with trl")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    if arguments.job:
        job = json.loads(arguments.job)
        found = peer(job) if job["who"].startswith("trl") else ours(job)
        print(json.dumps(found))
        return
    print(f"{'':<46}{'tokens/s':>9}{'tokens/CPU-s':>14}{'peak GB':>9}{'loss':>8}{'ours':>8}")
    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            table(arguments, model, Path(folder))


if __name__ == "__main__":
    main()
