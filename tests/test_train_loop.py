"""A training of a tiny model: what it writes, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from formosa.chat.message import Message, Tool, ToolCall
from formosa.errors import DataError, UserError
from formosa.files import read_json, read_jsonl
from formosa.train.config import LoraConfig, TrainConfig
from formosa.train.run import require_training
from formosa.train.run import train as run_training

pytestmark = pytest.mark.train

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
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = Tool.of("get_weather", "The weather", schema)
    lines = []
    for i in range(count):
        city = CITIES[i % len(CITIES)]
        messages = [
            Message("user", f"Weather in {city}? ({i})"),
            Message(
                "assistant", tool_calls=(ToolCall.of("get_weather", {"city": city}, "call_0"),)
            ),
        ]
        value = {"messages": [m.to_openai() for m in messages], "tools": [tool.to_openai()]}
        lines.append(json.dumps(value, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def train(base: Path, folder: Path, config: TrainConfig = CONFIG, rows: int = 32) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    return run_training(
        config,
        base=base,
        rows=write_rows(folder / "train.jsonl", rows),
        heldout=write_rows(folder / "heldout.jsonl", 3),
        folder=folder,
    )


def losses(folder: Path) -> dict[int, float]:
    records = [record for _, record in read_jsonl(folder / "train" / "log.jsonl")]
    return {r["step"]: r["loss"] for r in records if r["type"] == "step"}


@pytest.fixture(scope="module")
def trained(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(tiny_checkpoint, folder)
    return folder


def test_the_loss_falls(trained: Path) -> None:
    values = losses(trained)
    assert list(values) == list(range(1, 9))
    assert values[8] < values[1]


def test_exact_calls_are_logged_beside_the_loss(trained: Path) -> None:
    records = [record for _, record in read_jsonl(trained / "train" / "log.jsonl")]
    measured = [record for record in records if record["type"] == "measured"]
    assert [record["step"] for record in measured] == [4, 8]
    assert all(record["exact_call"]["of"] == 2 for record in measured)
    assert measured[1]["loss"] < measured[0]["loss"]


def test_the_summary_says_how_it_was_made(trained: Path) -> None:
    summary = read_json(trained / "train" / "summary.json")
    assert summary["method"] == "lora"
    assert summary["lora"] == {"rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": "all-linear"}
    assert (summary["rows"], summary["steps"]) == (32, 8)
    assert summary["trained_tokens"] < summary["tokens"]
    assert summary["versions"].keys() == {"torch", "transformers", "peft", "accelerate"}
    assert len(summary["heldout"]) == 2


def test_the_checkpoint_is_whole_and_carries_one_stop_token(trained: Path) -> None:
    from formosa.chat.template import ChatTemplate
    from formosa.checkpoints import load_tokenizer

    folder = trained / "checkpoint"
    tokenizer = load_tokenizer(folder, own_format=False)
    source = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    assert source == ChatTemplate.formosa().source == tokenizer.chat_template
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    for name in ("config.json", "generation_config.json"):
        assert read_json(folder / name)["eos_token_id"] == tokenizer.eos_token_id
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    assert not (trained / "train" / "steps").exists()
    assert not list(folder.rglob("*.bin")), "no pickles"


def test_the_merged_checkpoint_is_base_plus_adapter(trained: Path, tiny_checkpoint: Path) -> None:
    import torch
    from peft import PeftModel

    from formosa.checkpoints import load_weights, quiet_transformers

    base = load_weights(tiny_checkpoint, dtype="float32")
    with quiet_transformers():
        adapted = PeftModel.from_pretrained(base, trained / "checkpoint" / "adapter").eval()
    merged = load_weights(trained / "checkpoint", dtype="float32").eval()
    ids = torch.arange(3, 60)[None]
    with torch.no_grad():
        assert torch.allclose(adapted(ids).logits, merged(ids).logits, atol=0.05)


def test_full_tuning_changes_the_weights_and_writes_no_adapter(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"method": "full", "learning_rate": 1e-3, "max_steps": 2})
    summary = train(tiny_checkpoint, tmp_path, config, rows=8)
    assert summary["lora"] is None
    assert not (tmp_path / "checkpoint" / "adapter").exists()
    before = (tiny_checkpoint / "model.safetensors").read_bytes()
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() != before


def test_bad_rows_stop_before_the_weights_are_loaded(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import formosa.train.model as module

    monkeypatch.setattr(module, "load_weights", lambda *a, **k: pytest.fail("loaded"))
    with pytest.raises(DataError, match="tokens; the recipe allows 16"):
        train(tiny_checkpoint, tmp_path, CONFIG.model_copy(update={"max_tokens": 16}))


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "peft" else find(n))
    with pytest.raises(UserError, match="Training needs peft") as error:
        require_training()
    assert "formosa-lm[train]" in error.value.hint


KILLED_AT = 5
SCRIPT = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_train_loop import CONFIG, write_rows
from formosa.train.run import train

folder = Path(sys.argv[2])

def progress(step, steps, loss):
    if step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

train(CONFIG, base=Path(sys.argv[1]), rows=folder / "train.jsonl",
          heldout=folder / "heldout.jsonl", folder=folder, progress=progress)
"""


def test_a_killed_run_continues_with_the_same_rows_and_losses(
    trained: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """kill -9 after step 5; the last checkpoint is of step 4. The losses equal the whole run's."""
    write_rows(tmp_path / "train.jsonl", 32)
    write_rows(tmp_path / "heldout.jsonl", 3)
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", script, str(tiny_checkpoint), str(tmp_path), str(KILLED_AT)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(losses(tmp_path)) == [1, 2, 3, 4, 5]
    # A checkpoint that was being written when the process died must not be taken for whole.
    torn = tmp_path / "train" / "steps" / "checkpoint-6"
    torn.mkdir()
    (torn / "trainer_state.json").write_text("{", encoding="utf-8")

    train(tiny_checkpoint, tmp_path)

    assert losses(tmp_path) == pytest.approx(losses(trained), rel=1e-6)
    records = [record["step"] for _, record in read_jsonl(tmp_path / "train" / "log.jsonl")]
    assert records == sorted(records), "nothing is logged twice"
    one, two = (f / "checkpoint" / "model.safetensors" for f in (trained, tmp_path))
    assert one.read_bytes() == two.read_bytes()
