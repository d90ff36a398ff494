"""Tokens per second, share of the peak and memory of full training on one GPU, beside plain TRL.

    python benchmarks/training_gpu.py                      Llama-3.2-3B's shape, packs of 4,096
    python benchmarks/training_gpu.py --peer-python /path/to/python-with-trl
    python benchmarks/training_gpu.py --tiny               the same on a processor, in a minute

Weights are random and the words are few: neither changes the work. Ours is what
`formosa train cpt` does, optimizer, clipping and log included, with and without torch.compile and
activation checkpointing. The peer is trl's SFTTrainer on the same token ids, packed to the same
length, two ways:

    trl            its defaults: float32 weights under bfloat16 autocast, activation checkpointing
    trl, tuned     bfloat16 weights, no activation checkpointing (ours keep float32 masters)

Every line is a process of its own. The first two steps are not counted. MFU is 6 · (body + head) +
causal attention for each token, by the time it took, of the GPU's dense bfloat16 peak: of the data
sheet, and of what a large matrix product reaches on this very card. Recomputation is not counted.
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

WARM = 2  # steps that are not counted
OURS = {
    "formosa": {},
    "formosa, activations twice": {"activation_checkpointing": True},
    "formosa, compiled": {"compile": True},
}
COLUMNS = ("tokens/s", "MFU of sheet", "MFU of matmul", "peak GB", "loss")


def on_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


# -- a model of that shape, and words for it ------------------------------------------------------


def write_base(folder: Path, job: dict[str, Any]) -> None:
    """A checkpoint with random weights and a small byte-level tokenizer with Llama 3's turns."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
               "<|eot_id|>", "<|finetune_right_pad_id|>"]  # fmt: skip
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["a few words of no meaning"], trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[1]
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        **job["shape"],
        tie_word_embeddings=True,
        max_position_embeddings=131_072,
        bos_token_id=0,
        eos_token_id=1,
        dtype="bfloat16",
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda" if on_gpu() else "cpu"):
            LlamaForCausalLM(config).save_pretrained(folder)
    finally:
        torch.set_default_dtype(before)


def write_documents(path: Path, tokens: int, length: int) -> None:
    """Documents of a third to three times a sequence's length; a word is about five tokens."""
    import random

    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        left = tokens
        while left > 0:
            size = chance.randint(length // 3, length * 3)
            words = [f"{chance.randrange(10**4):04}" for _ in range(size // 5)]
            file.write(json.dumps({"text": " ".join(words)}) + "\n")
            left -= size


# -- ours -----------------------------------------------------------------------------------------


def ours(job: dict[str, Any]) -> dict[str, float]:
    """One short training by `formosa.train.run.train`."""
    from formosa.files import read_jsonl
    from formosa.train.config import TrainConfig
    from formosa.train.run import train

    config = TrainConfig(
        objective="cpt",
        method="full",
        learning_rate=1e-5,
        warmup_steps=0,
        packing=True,
        overlong="split",
        max_tokens=job["length"],
        rows_per_step=job["sequences"],
        rows_at_once=job["at_once"],
        max_steps=job["steps"] + WARM,
        head_tokens=job["head_tokens"],
        save_every=10_000,
        measure_every=10_000,
        measure_rows=0,
        **job["settings"],
    )
    folder = Path(job["folder"])
    train(
        config,
        base=Path(job["base"]),
        rows=Path(job["rows"]),
        heldout=Path(job["heldout"]),
        folder=folder,
    )
    records = [record for _, record in read_jsonl(folder / "train" / "log.jsonl")]
    steps = [record for record in records if record["type"] == "step"][WARM:]
    seconds = sum(record["tokens"] / record["tokens_per_second"] for record in steps)
    return {
        "tokens/s": sum(record["tokens"] for record in steps) / seconds,
        "peak GB": max(record["peak_memory_gb"] for record in steps),
        "loss": steps[-1]["loss"],
    }


# -- the peer, in its own environment -------------------------------------------------------------


def peer(job: dict[str, Any]) -> dict[str, float]:
    """The same ids by trl's SFTTrainer. Imports nothing of ours."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    times: list[float] = []
    counts: list[int] = []
    losses: list[float] = []

    class Timed(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter())

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            losses.extend([logs["loss"]] if "loss" in logs else [])

    tuned = job["who"] == "trl, tuned"
    ids = json.loads(Path(job["ids"]).read_text(encoding="utf-8"))
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            job["base"], dtype=torch.bfloat16 if tuned else torch.float32
        ),
        args=SFTConfig(
            output_dir=job["folder"],
            per_device_train_batch_size=job["at_once"],
            gradient_accumulation_steps=job["sequences"] // job["at_once"],
            max_steps=job["steps"] + WARM,
            learning_rate=1e-5,
            packing=True,
            max_length=job["length"],
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            logging_steps=1,
            report_to=[],
            disable_tqdm=True,
            **({"gradient_checkpointing": False} if tuned else {}),
        ),
        train_dataset=Dataset.from_list([{"input_ids": row, "labels": row} for row in ids]),
        processing_class=AutoTokenizer.from_pretrained(job["base"]),
        callbacks=[Timed()],
    )
    collate = trainer.data_collator

    def counted(batch: list[dict[str, Any]]) -> Any:
        counts.append(sum(len(row["input_ids"]) for row in batch))
        return collate(batch)

    trainer.data_collator = counted
    trainer.train()
    groups = job["sequences"] // job["at_once"]
    tokens = sum(counts[WARM * groups : (WARM + job["steps"]) * groups])
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 1e9
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"tokens/s": tokens / (times[-1] - times[WARM - 1]), "peak GB": peak, "loss": losses[-1]}


# -- the table ------------------------------------------------------------------------------------


def matmul_rate() -> float:
    """FLOP/s of a large dense bfloat16 product on this machine."""
    import torch

    device = "cuda" if on_gpu() else "cpu"
    size, times = (8192, 30) if device == "cuda" else (512, 3)
    left, right = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    for _ in range(3):
        left @ right
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        left @ right
    if device == "cuda":
        torch.cuda.synchronize()
    return float(2 * size**3 * times / (time.perf_counter() - began))


def encoded(job: dict[str, Any], folder: Path) -> list[list[int]]:
    """The documents as ours cuts them, for the peer."""
    from formosa.train.config import TrainConfig
    from formosa.train.run import encode

    config = TrainConfig(objective="cpt", overlong="split", max_tokens=job["length"])
    store = encode(config, base=Path(job["base"]), rows=Path(job["rows"]), folder=folder)
    return [list(map(int, row.ids)) for row in store]


def measured(python: str, job: dict[str, Any]) -> dict[str, float] | str:
    """What one line's process says, or why it says nothing."""
    done = subprocess.run(
        [python, __file__, "--job", json.dumps(job)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def table(given: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Measure every line and print it; the lines that could be measured."""
    from formosa.train.config import TrainConfig
    from formosa.train.plan import flops_per_token, gpu_here
    from formosa.train.shapes import SHAPES, from_config

    shape = SHAPES[given.shape]
    values = {
        "vocab_size": shape.vocabulary, "hidden_size": shape.hidden, "head_dim": shape.head_dim,
        "intermediate_size": shape.intermediate, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads,
    }  # fmt: skip
    if given.tiny:
        values |= {
            "vocab_size": 512, "hidden_size": 64, "head_dim": 16, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        }  # fmt: skip
        shape = from_config({**values, "model_type": "llama", "tie_word_embeddings": True}, "tiny")
    files = {name: str(folder / name) for name in ("base", "rows", "heldout", "ids")}
    job: dict[str, Any] = {
        **files,
        "shape": values,
        "length": given.length,
        "sequences": given.sequences,
        "at_once": given.at_once,
        "steps": given.steps,
        "head_tokens": given.head_tokens,
    }
    write_base(folder / "base", job)
    need = given.length * given.sequences * (given.steps + WARM)
    write_documents(folder / "rows", int(1.3 * need), given.length)
    (folder / "heldout").write_text("", encoding="utf-8")
    config = TrainConfig(method="full", max_tokens=given.length)
    per_token = flops_per_token(shape, config)
    device, matmul = gpu_here() if on_gpu() else None, matmul_rate()
    sheet = device.teraflops * 1e12 if device else None
    print(
        f"{shape.name}, {shape.parameters / 1e6:,.1f} M weights, packs of {given.length:,}; "
        f"{per_token / 1e9:.2f} GFLOP a token; {device.name if device else 'processor'}, "
        f"{matmul / 1e12:.1f} TFLOP/s in a large product"
    )
    print(f"{'':<30}" + "".join(f"{name:>15}" for name in COLUMNS))
    lines: list[tuple[str, str]] = [(name, sys.executable) for name in OURS]
    if given.tiny:
        lines = lines[:2]  # compiling takes longer than everything else
    if given.peer_python:
        (folder / "ids").write_text(json.dumps(encoded(job, folder / "peer")), encoding="utf-8")
        lines += [(name, given.peer_python) for name in ("trl", "trl, tuned")]
    found = []
    for who, python in lines:
        mine = {"who": who, "settings": OURS.get(who, {}), "folder": str(folder / f"run-{who}")}
        result = measured(python, {**job, **mine})
        if isinstance(result, str):
            print(f"{who:<30} {result}", flush=True)
            continue
        rate = result["tokens/s"] * per_token
        of_sheet = rate / sheet if sheet else None
        row = {"who": who, **result, "MFU of sheet": of_sheet, "MFU of matmul": rate / matmul}
        print(
            f"{who:<30}{row['tokens/s']:>15,.0f}"
            f"{'unknown' if of_sheet is None else f'{of_sheet:.1%}':>15}"
            f"{row['MFU of matmul']:>15.1%}{row['peak GB']:>15.2f}{row['loss']:>15.3f}",
            flush=True,
        )
        found.append(row)
    if not given.peer_python:
        print("no peer: name a Python that has trl 1.16 with --peer-python")
    return found


def main(given: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="llama-3.2-3b")
    parser.add_argument("--length", type=int, default=4096, help="tokens of a sequence")
    parser.add_argument("--sequences", type=int, default=8, help="of a step")
    parser.add_argument("--at-once", type=int, default=1, help="sequences computed together")
    parser.add_argument("--steps", type=int, default=8, help="counted steps")
    parser.add_argument("--head-tokens", type=int, default=2048, help="positions scored at once")
    parser.add_argument("--peer-python", help="the Python of an environment with trl")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, also on a processor")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    if arguments.job:
        job = json.loads(arguments.job)
        print(json.dumps(peer(job) if job["who"].startswith("trl") else ours(job)))
        return []
    if arguments.tiny:
        arguments.length, arguments.sequences, arguments.steps = 256, 2, 2
    elif not on_gpu():
        parser.error("torch sees no GPU here; --tiny runs on a processor")
    with tempfile.TemporaryDirectory() as folder:
        return table(arguments, Path(folder))


if __name__ == "__main__":
    main()
