"""docs/training.md: its commands exist with these options, its keys and figures are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from formosa.cli.main import cli
from formosa.train.config import ParallelConfig, TrainConfig
from formosa.train.plan import CPU_CORE, GIB, Setup, activation_bytes, memory
from formosa.train.shapes import SHAPES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(?:bash)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every command line of a block, continuation lines joined, and Slurm's inner one."""
    found = []
    for block in BLOCKS:
        for line in block.replace("\\\n", " ").splitlines():
            inner = re.search(r'bash -c "(formosa .*)"', line)
            text = inner[1] if inner else line
            if text.startswith("formosa "):
                found.append(re.sub(r"\s+", " ", text))
    return found


@pytest.mark.parametrize("line", commands())
def test_a_command_has_these_options(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mini", "a", "b"):
        (tmp_path / "runs" / name / "data").mkdir(parents=True)
        (tmp_path / "runs" / name / "data" / "train.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    text = re.sub(r"\\?\$SLURM_NODEID|(?<=--machine-rank )R\b", "0", line)
    words = shlex.split(text, comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, name
        command = found
    command.make_context(command.name, list(words))
    for word in words:
        if word.startswith("recipes/"):
            assert (ROOT / word).exists(), word


def test_what_needs_gpus_or_machines_is_marked() -> None:
    for line in PAGE.replace("\\\n", " ").splitlines():
        if line.startswith("formosa") and "--processes" in line and "# on CPUs" not in line:
            assert "not run here" in line, line
    assert "With Slurm (**not run here**)" in PAGE


def test_the_keys_of_the_table_are_those_of_the_recipe() -> None:
    table = PAGE.partition("## The recipe's `train:`")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    keys = {key for row in rows for key in re.findall(r"`(\w+)", row)}
    assert keys <= set(TrainConfig.model_fields)
    assert {"rows_per_step", "rows_at_once", "learning_rate", "packing", "parallel"} <= keys
    inside = re.search(r"`parallel: \{(.*?)\}`", table)
    assert inside is not None
    assert set(inside[1].split(", ")) == set(ParallelConfig.model_fields)


@pytest.mark.parametrize(
    ("settings", "gib"),
    [
        ({"method": "full", "rows_at_once": 1}, "3.94 GiB"),
        ({"method": "full", "rows_at_once": 1, "activation_checkpointing": True}, "3.39 and"),
        ({"method": "lora", "rows_at_once": 4}, "4.76 and"),
    ],
)
def test_planned_memory_is_the_plans(settings: dict[str, object], gib: str) -> None:
    config = TrainConfig.model_validate({"max_tokens": 720, "rows_per_step": 4, **settings})
    planned = memory(SHAPES["smollm2-135m"], config, Setup(CPU_CORE), "single").total / GIB
    assert f"{planned:.2f} {gib.split()[1]}" == gib
    assert gib in PAGE


def test_activations_of_3b_are_as_told() -> None:
    shape = SHAPES["llama-3.2-3b"]
    config = TrainConfig(method="full", max_tokens=4096)
    kept, _ = activation_bytes(shape, config)
    assert round(shape.layers * kept / 1e6, 1) == 3.7
    assert "3.7 MB a token" in PAGE
    twice = config.model_copy(update={"activation_checkpointing": True})
    assert round(shape.layers * activation_bytes(shape, twice)[0] / 1e6, 1) == 0.2
