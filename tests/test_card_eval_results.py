"""The scores that the hub shows beside a benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from card_run import write_log
from formosa.card.eval_results import write_eval_results
from formosa.card.figures import Sources
from formosa.card.ledger import LogFile

COMMIT = "b" * 40


def run_with(
    folder: Path,
    *,
    task: str = "gpqa-diamond",
    source: str = "https://huggingface.co/datasets/Idavidrein/gpqa",
    revision: str = COMMIT,
    original: int = 4,
    role: str = "trained",
) -> list[LogFile]:
    path = folder / "logs" / f"{role}-{task}.jsonl"
    write_log(path, task=task, model=role, outcomes={"letter": ["CCWT"], "other": ["WWWW"]})
    lines = path.read_text(encoding="utf-8").splitlines()
    start: dict[str, Any] = json.loads(lines[0])
    start["task"] |= {"source": source, "revision": revision}
    start["plan"]["original"] = original
    path.write_text("\n".join([json.dumps(start), *lines[1:]]) + "\n", encoding="utf-8")
    return [LogFile(role, task, f"logs/{path.name}", ("letter", "other"))]


def test_a_whole_benchmark_of_the_hub_is_an_entry_that_its_library_reads(tmp_path: Path) -> None:
    (path,) = write_eval_results(Sources(tmp_path), run_with(tmp_path))
    assert path == tmp_path / ".eval_results" / "gpqa-diamond.yaml"
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert (entry.dataset_id, entry.task_id) == ("Idavidrein/gpqa", "gpqa_diamond")
    assert (entry.value, entry.dataset_revision) == (50.0, COMMIT)
    assert entry.notes is not None
    assert "scorer letter" in entry.notes and "95 % interval" in entry.notes
    assert entry.verify_token is None, "that is the hub's to give"


def test_another_benchmark_has_the_hub_s_default_task(tmp_path: Path) -> None:
    source = "https://huggingface.co/datasets/ikala/tmmluplus"
    (path,) = write_eval_results(
        Sources(tmp_path), run_with(tmp_path, task="tmmluplus", source=source)
    )
    (entry,) = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert entry["dataset"] == {"id": "ikala/tmmluplus", "task_id": "default", "revision": COMMIT}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"original": 5}, id="a part of the questions"),
        pytest.param({"source": "own files"}, id="no data set of the hub"),
        pytest.param({"source": "bfcl-eval==2026.3.23"}, id="a wheel"),
        pytest.param({"role": "base"}, id="the model before training"),
    ],
)
def test_what_is_no_score_of_a_hub_benchmark_is_not_written(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    assert write_eval_results(Sources(tmp_path), run_with(tmp_path, **change)) == []
    assert not (tmp_path / ".eval_results").exists()


def test_a_revision_that_is_no_commit_is_left_out(tmp_path: Path) -> None:
    (path,) = write_eval_results(Sources(tmp_path), run_with(tmp_path, revision="main"))
    (entry,) = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert "revision" not in entry["dataset"]
