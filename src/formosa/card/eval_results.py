"""`.eval_results/TASK.yaml`: the scores that the hub shows beside a benchmark's own page.

One entry for each finished log of the trained model whose questions came from a data set on the
hub, all of them asked: a part of a benchmark is no score of it. The value is in percent, by the
task's first scorer, which the notes name with the interval. We never set a verification token.

Format: https://huggingface.co/docs/hub/eval-results, as `huggingface_hub` writes it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from formosa import __version__
from formosa.card.figures import Sources
from formosa.card.ledger import LogFile
from formosa.files import write_text
from formosa.results.log import EvalLog
from formosa.results.metrics import score

FOLDER = ".eval_results"
_DATA_SET = re.compile(r"https://huggingface\.co/datasets/([\w.-]+/[\w.-]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TASK_IDS = {"gpqa-diamond": "gpqa_diamond"}  # others have one task, which the hub calls default


def write_eval_results(sources: Sources, logs: list[LogFile]) -> list[Path]:
    """Write the files of a run folder, and return them; none where no benchmark is on the hub.

    Args:
        sources: the run folder's files, each of which is read once.
        logs: those of the run.

    Raises:
        LogError: a log can't be read.
    """
    from huggingface_hub import eval_result_entries_to_yaml

    written = []
    for log in logs:
        entry = _entry(sources.evaluation(log.names)) if log.role == "trained" else None
        if entry is not None:
            path = sources.root / FOLDER / f"{log.task}.yaml"
            value = eval_result_entries_to_yaml([entry])
            write_text(path, yaml.safe_dump(value, allow_unicode=True, sort_keys=False))
            written.append(path)
    return written


def _entry(log: EvalLog) -> Any:
    """The hub's entry for a log; None where the hub has no such benchmark, or not all was asked."""
    from huggingface_hub import EvalResultEntry

    task, plan = log.start["task"], log.start["plan"]
    found = _DATA_SET.fullmatch(str(task["source"]))
    if not found or log.end is None or plan["samples"] < plan["original"]:
        return None
    scorer = log.start["scorers"][0]
    result = score(log, scorer)
    low, high = 100 * result.low, 100 * result.high
    revision = str(task["revision"])
    return EvalResultEntry(
        dataset_id=found[1],
        task_id=_TASK_IDS.get(task["name"], "default"),
        value=round(100 * result.value, 2),
        dataset_revision=revision if _COMMIT.fullmatch(revision) else None,
        date=str(log.end["finished"]),
        notes=(
            f"Formosa {__version__}, {task['name']} version {task['version']}, scorer {scorer}, "
            f"{plan['repeats']} repeats, 95 % interval {low:.1f} to {high:.1f}"
        ),
    )
