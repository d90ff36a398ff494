"""The whole life of a model of 60,000 weights: real training, GGUF, server, questions and card.

It learns nothing in two steps; what is tested is that the stages fit together.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from command_line import Done, formosa
from formosa.files import read_json, read_jsonl
from formosa.models import resolve
from formosa.results.log import read_log
from tiny import write_tiny_checkpoint

pytestmark = [pytest.mark.train, pytest.mark.model]

RECIPE = """\
name: life
base: {base}
data:
  heldout: 2
  synth: {{rows: 16}}
train:
  max_steps: 2
  warmup_steps: 0
  max_tokens: 8192
  measure_rows: 1
  measure_tokens: 8
export:
  parity_tokens: 8
  levels: [Q4_0]
serve:
  context: 8192
eval:
  tasks: {tasks}
  max_tokens: {max_tokens}
  concurrency: 2
  context: 8192
"""
STAGES = ["model", "data", "train", "export", "serve", "eval", "card"]
TASKS = ["mini-zh-tw", "bfcl-simple"]
ASKED = "[{name: mini-zh-tw, limit: 2}, {name: bfcl-simple, limit: 2}]"


class Life:
    """A recipe, its run folder, and what the command said the first time."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.base = write_tiny_checkpoint(here / "tiny-base", max_position_embeddings=8192)
        self.folder = here / "runs" / "life"
        self.first = self.run(max_tokens=12)

    def run(self, *, max_tokens: int, tasks: str = ASKED, json: bool = False) -> Done:
        recipe = self.here / "life.yaml"
        text = RECIPE.format(base=self.base, max_tokens=max_tokens, tasks=tasks)
        recipe.write_text(text, encoding="utf-8")
        options = ["--json"] if json else []
        with patch.dict(os.environ, {"COLUMNS": "200"}):  # a table that needs no folding
            return formosa("run", recipe, "--runs", self.here / "runs", *options)

    def file(self, name: str) -> Any:
        return read_json(self.folder / name)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    made = Life(tmp_path_factory.mktemp("life"))
    assert made.first.code == 0, made.first.err
    return made


def stages_of(done: Done, mark: str) -> list[str]:
    """The stages that began (▶) or were skipped (✓ … skipped)."""
    lines = [line for line in done.err.splitlines() if line.startswith(mark)]
    if mark == "✓":
        lines = [line for line in lines if line.endswith("nothing changed, skipped")]
    return [line.split()[1].rstrip(":") for line in lines]


def test_every_stage_ran_and_left_its_files(life: Life) -> None:
    assert stages_of(life.first, "▶") == STAGES
    folder = life.folder
    assert life.file("model.json")["name"] == "tiny-base"
    assert life.file("data/report.json")["rows"] == {"train": 16, "heldout": 2}
    summary = life.file("train/summary.json")
    assert (summary["steps"], summary["method"]) == (2, "lora")
    steps = [r for _, r in read_jsonl(folder / "train" / "log.jsonl") if r["type"] == "step"]
    assert [step["step"] for step in steps] == [1, 2]
    parity = life.file("gguf/parity.json")
    assert {check["name"]: check["passed"] for check in parity["checks"]} == dict.fromkeys(
        ("template", "tokens", "greedy", "divergence"), True
    )
    assert parity["sha256"] == resolve(str(folder)).sha256()
    flow = life.file("serve/tool-flow.json")
    assert flow["served"] == "model-Q8_0.gguf"
    assert len(flow["steps"]) == 4
    assert flow["messages"][0]["role"] == "user"
    for who in ("base", "trained"):
        for task in TASKS:
            log = read_log(folder / "logs" / f"{who}-{task}.jsonl")
            assert log.finished
            assert len(log.samples) == 2
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    assert all(task in card for task in TASKS)


def test_base_and_trained_were_asked_the_same(life: Life) -> None:
    for task in TASKS:
        base, trained = (
            read_log(life.folder / "logs" / f"{who}-{task}.jsonl") for who in ("base", "trained")
        )
        assert base.start["plan"] == trained.start["plan"]
        assert base.start["request"] == trained.start["request"]
        model, other = base.start["model"], trained.start["model"]
        assert model["template_sha256"] == other["template_sha256"]
        assert other["sha256"] == life.file("gguf/parity.json")["sha256"]
        assert len(model["sha256"]) == 64
        assert model["sha256"] != other["sha256"]
        asked = [{sample["request_sha256"] for sample in log.samples} for log in (base, trained)]
        assert asked[0] == asked[1]


def test_the_exported_file_says_what_it_was_made_of(life: Life) -> None:
    from gguf import GGUFReader

    fields = GGUFReader(life.folder / "gguf" / "model-Q8_0.gguf").fields
    data = life.file("data/report.json")["sha256"]["train"]
    assert fields["formosa.data.sha256"].contents() == data
    assert fields["general.name"].contents() == "life"


def test_a_further_level_is_compared_and_the_served_one_stays_the_run_s(life: Life) -> None:
    table = life.file("gguf/levels.json")["levels"]
    assert [row["level"] for row in table] == ["Q8_0", "Q4_0"]
    assert table[0]["sha256"] == life.file("gguf/parity.json")["sha256"]
    assert (life.folder / "gguf" / "levels.svg").exists()
    assert resolve(str(life.folder)).path == life.folder / "gguf" / "model-Q8_0.gguf"


def test_the_end_of_a_run_shows_scores_times_and_what_to_try(life: Life) -> None:
    out, err = life.first.out, life.first.err
    assert all(task in out for task in TASKS)
    assert all(word in out for word in ("correct", "wrong", "unparsed", "truncated", "failed"))
    assert all(stage in out for stage in STAGES)
    assert f"formosa chat {life.folder}" in err
    assert f"formosa serve {life.folder}" in err


def test_the_card_verifies(life: Life) -> None:
    done = formosa("card", "verify", life.folder / "README.md")
    assert done.code == 0, done.out
    assert "verified" in done.out


def test_again_nothing_is_done_and_one_changed_setting_does_what_follows(life: Life) -> None:
    again = life.run(max_tokens=12, json=True)
    assert again.code == 0
    assert stages_of(again, "▶") == []
    assert stages_of(again, "✓") == STAGES
    rows = {(row["task"], row["scorer"]): row for row in again.json["scores"]}
    assert set(rows) == {
        ("mini-zh-tw", "box"), ("mini-zh-tw", "pattern"),
        ("bfcl-simple", "ast"), ("bfcl-simple", "ast_lenient"),
    }  # fmt: skip
    assert all(row["questions"] == 2 for row in rows.values())
    for row in rows.values():
        for who in ("base", "trained"):
            assert 0 <= row[who]["low"] <= row[who]["value"] <= row[who]["high"] <= 1
            assert sum(row[who]["outcomes"].values()) == 2 * row["repeats"]
    assert list(again.json["seconds"]) == STAGES

    before = {path: path.stat().st_mtime_ns for path in life.folder.glob("gguf/*")}
    changed = life.run(max_tokens=9)
    assert changed.code == 0, changed.err
    assert stages_of(changed, "▶") == ["eval", "card"]
    assert stages_of(changed, "✓") == STAGES[:5]
    assert before == {path: path.stat().st_mtime_ns for path in life.folder.glob("gguf/*")}
    assert (
        read_log(life.folder / "logs" / "base-bfcl-simple.jsonl").start["request"]["max_tokens"]
        == 9
    )
    assert (life.folder / ".previous" / "logs" / "base-bfcl-simple.jsonl").exists()
    assert formosa("card", "verify", life.folder / "README.md").code == 0


def test_a_task_that_is_asked_as_before_keeps_its_log(life: Life) -> None:
    """Another task in the recipe is no reason to ask the others again."""
    assert life.run(max_tokens=9).code == 0
    logs = life.folder / "logs"
    kept, cut, gone = (
        sorted(logs.glob(f"*-{name}.jsonl")) for name in ("bfcl-simple", "mini-zh-tw", "no-task")
    )
    assert (len(kept), len(cut), gone) == (2, 2, [])
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in kept}

    fewer = life.run(
        max_tokens=9, tasks="[{name: mini-zh-tw, limit: 1}, {name: bfcl-simple, limit: 2}]"
    )
    assert fewer.code == 0, fewer.err
    assert fewer.err.count("plan.samples: 2 in the log, 1 now. It is set aside.") == 2
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in kept} == before
    assert all(len(read_log(path).samples) == 1 for path in cut)

    without = life.run(max_tokens=9, tasks="[{name: bfcl-simple, limit: 2}]")
    assert without.code == 0, without.err
    assert stages_of(without, "▶") == ["data", "eval", "card"]
    assert sorted(logs.glob("*.jsonl")) == kept
    assert all((life.folder / ".previous" / "logs" / path.name).exists() for path in cut)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in kept} == before
    assert formosa("card", "verify", life.folder / "README.md").code == 0
