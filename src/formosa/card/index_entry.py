"""One entry of a card's model-index, from a log.

The value is in percent, `verified` is always false: only the hub's own service may say true.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from formosa.card.hub import is_hub_id
from formosa.results.log import EvalLog
from formosa.results.metrics import score

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_DATA_SET = re.compile(r"https://huggingface\.co/datasets/([^/]+/[^/]+)")
_MATH = ("math", "gsm8k")


def entry_of(log: EvalLog, scorer: str) -> EvalResult:
    """The entry for one evaluation and one of its scorers.

    Raises:
        LogError: the log has no such scorer, or no answers.
        KeyError, TypeError, ValueError, AttributeError: it is of another shape.
    """
    from huggingface_hub import EvalResult

    task, plan = log.start["task"], log.start["plan"]
    name, source = str(task["name"]), str(task.get("source") or "")
    hub = _DATA_SET.fullmatch(source)
    source = hub[1] if hub else source
    asked = {
        "version": task.get("version"),
        "questions": plan.get("samples"),
        "of": plan.get("original"),
        "repeats": plan.get("repeats"),
        "seed": plan.get("seed"),
    }
    return EvalResult(
        task_type="text-generation",
        # By the task, not the scorer: one entry of the model-index holds all of a task's.
        task_name=_kind(name),
        dataset_type=source if is_hub_id(source) else name,
        dataset_name=name,
        dataset_config=name,  # results are grouped by this, so tasks stay apart
        dataset_revision=str(task.get("revision") or "") or None,
        dataset_args={key: value for key, value in asked.items() if value is not None},
        metric_type="accuracy",
        metric_name=scorer,
        metric_value=float(percent(score(log, scorer).value)),
        verified=False,
    )


def _kind(task: str) -> str:
    if task.startswith("bfcl"):
        return "Function calling"
    return "Mathematics" if task.startswith(_MATH) else "Multiple choice"


def percent(share: float) -> str:
    """A share of 1 in percent with one decimal: the samples of a run carry no more."""
    return f"{100 * share:z.1f}"
