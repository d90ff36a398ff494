"""Peak memory and time of `formosa export` on a checkpoint of a real model's size. Prints a table.

    python benchmarks/export_memory.py                                  # Llama 3.2 1B
    python benchmarks/export_memory.py --shape llama-3.2-3b --level F16 --level Q4_K_M --merge
    python benchmarks/export_memory.py --shape llama-3.2-3b --folder big --keep

The checkpoint has the shape of the model, in bfloat16 shards of 1 GB, and random weights: nothing
is downloaded, and memory depends on shapes only. Its tokenizer is Llama 3's kind with a thousand
words; the other ids are unused. `--merge` makes a LoRA adapter on all linear layers, and merges it.

Each command is a process of its own, from its start to its end; the peak is the kernel's (VmHWM:
everything resident, the pages of mapped files included, which it could give back). `formosa export
gguf` writes a file and checks it; the two halves are measured apart. What the check says is not
looked at: random weights have many near ties, which a trained model has not.

Disk: the checkpoint, as much again for `--merge`, and the largest of the GGUF files. They are put
into a temporary folder, or into --folder, and removed at the end unless --keep is given.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from formosa.train.shapes import SHAPES, Shape

RANK = 16
SPREAD = 0.02  # of the weights: what models are made with


class Cost(NamedTuple):
    """One command.

    Attributes:
        peak: bytes resident at most.
        disk: bytes of what it wrote; 0 where it only looked.
    """

    what: str
    seconds: float
    peak: int
    disk: int


# -- the checkpoint, made in a process of its own ------------------------------------------------


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes as transformers has them."""
    yield "model.embed_tokens.weight", (shape.vocabulary, shape.hidden)
    for layer in range(shape.layers):
        for name, (columns, rows) in shape.linears.items():
            part = "self_attn" if name[0] in "qkvo" else "mlp"
            yield f"model.layers.{layer}.{part}.{name}.weight", (rows, columns)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"model.layers.{layer}.{norm}.weight", (shape.hidden,)
    yield "model.norm.weight", (shape.hidden,)
    if not shape.tied:
        yield "lm_head.weight", (shape.vocabulary, shape.hidden)


def make(shape: Shape, folder: Path) -> None:
    """Write the checkpoint `base` and the adapter `adapter`, a shard in memory at a time."""
    import torch
    from safetensors.torch import save_file

    from formosa.export.shards import write_shards
    from formosa.files import write_json

    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from tiny_llama3 import ROPE, llama3_tokenizer

    torch.manual_seed(1)
    base, adapter = folder / "base", folder / "adapter"
    base.mkdir(parents=True)
    adapter.mkdir()
    tokenizer = llama3_tokenizer()
    tokenizer.save_pretrained(base)
    write_template(base)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": max(shape.vocabulary, len(tokenizer)),
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_parameters": ROPE,
        "tie_word_embeddings": shape.tied,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    write_json(base / "config.json", config)

    def weights() -> Iterator[tuple[str, Any]]:
        for name, size in tensors(shape):
            if len(size) == 1:
                yield name, torch.ones(size, dtype=torch.bfloat16)
                continue
            # What goes back into the residual stream is small, as in models that were trained.
            inward = SPREAD / (2 * shape.layers) ** 0.5
            spread = inward if name.endswith(("o_proj.weight", "down_proj.weight")) else SPREAD
            yield name, torch.randn(size).mul_(spread).to(torch.bfloat16)

    write_shards(base, weights())
    thin = {}
    for name, size in tensors(shape):
        if name.startswith("model.layers.") and len(size) == 2:
            stem = f"base_model.model.{name.removesuffix('.weight')}"
            thin[f"{stem}.lora_A.weight"] = torch.randn(RANK, size[1]).mul_(SPREAD)
            thin[f"{stem}.lora_B.weight"] = torch.randn(size[0], RANK).mul_(SPREAD)
    save_file(thin, adapter / "adapter_model.safetensors")
    write_json(
        adapter / "adapter_config.json",
        {"peft_type": "LORA", "r": RANK, "lora_alpha": 2 * RANK, "target_modules": "all-linear"},
    )


def write_template(base: Path) -> None:
    """Our format in Llama's control tokens, as training leaves it in a checkpoint."""
    from formosa.checkpoints import load_tokenizer

    (base / "chat_template.jinja").write_text(load_tokenizer(base).chat_template, encoding="utf-8")


# -- measuring ------------------------------------------------------------------------------------


COMMAND = "from formosa.cli.main import main; main()"
WRITE = """
import sys
from pathlib import Path
from formosa.export.gguf import write_gguf
write_gguf(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], name="benchmark")
"""


def measured(
    what: str,
    code: str,
    arguments: Sequence[object],
    written: Path | None = None,
    *,
    verdict: bool = False,
) -> Cost:
    """Run Python code in a process of its own, and wait for it. With `verdict`, its exit code may
    be 1."""
    started = time.perf_counter()
    command = [sys.executable, "-c", code, *map(str, arguments)]
    quiet = subprocess.DEVNULL if verdict else None
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=quiet)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in ((0, 1) if verdict else (0,)):
        raise SystemExit(f"{what} ended with {child.returncode}")
    seconds = time.perf_counter() - started
    return Cost(what, seconds, usage.ru_maxrss * 1024, size_of(written) if written else 0)


def size_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def costs(folder: Path, levels: Sequence[str], *, merge: bool, check: bool) -> Iterator[Cost]:
    base, merged = folder / "base", folder / "merged"
    if merge:
        parts = ["export", "merge", base, folder / "adapter", merged]
        yield measured("merge", COMMAND, parts, merged)
        shutil.rmtree(merged)
    for level in levels:
        file = folder / f"model-{level}.gguf"
        yield measured(f"write {level}", WRITE, [base, file, level], file)
        if check:
            asked = ["export", "check", base, file, "--tokens", "8"]
            yield measured(f"check {level}", COMMAND, asked, verdict=True)
        file.unlink()


def line(cost: Cost) -> str:
    disk = f"{cost.disk / 1e9:.2f}" if cost.disk else ""
    return f"{cost.what:<16}{cost.peak / 1e9:>10.2f}{cost.seconds:>10.0f}{disk:>12}"


def main() -> None:
    arguments = argparse.ArgumentParser(description="Peak memory of `formosa export`.")
    arguments.add_argument("--shape", choices=sorted(SHAPES), default="llama-3.2-1b")
    arguments.add_argument("--level", action="append", help="Q8_0 by default; may be repeated")
    arguments.add_argument("--merge", action="store_true", help="merge an adapter, too")
    arguments.add_argument("--no-check", action="store_true", help="write the files only")
    arguments.add_argument("--folder", type=Path, help="for the files; a temporary one by default")
    arguments.add_argument("--keep", action="store_true", help="leave the checkpoint in --folder")
    arguments.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    shape = SHAPES[options.shape]
    if options.make:
        make(shape, options.make)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "base").is_dir():
            command = [sys.executable, __file__, "--make", folder, "--shape", options.shape]
            subprocess.run(command, check=True)  # apart: a child's peak begins at its parent's
        size = size_of(folder / "base")
        print(f"{shape.name}, {shape.parameters / 1e9:.2f} billion weights, {size / 1e9:.2f} GB\n")
        print(f"{'export':<16}{'peak GB':>10}{'seconds':>10}{'written GB':>12}")
        levels = options.level or ["Q8_0"]
        for cost in costs(folder, levels, merge=options.merge, check=not options.no_check):
            print(line(cost), flush=True)
        if options.folder and not options.keep:
            for name in ("base", "adapter"):
                shutil.rmtree(folder / name)


if __name__ == "__main__":
    main()
