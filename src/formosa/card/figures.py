"""From the files of a run to the text of one figure.

`Sources.printed` is the step from a claim to its text. The writer fills the cell with it and the
check calls it again, so a figure can't be rounded, worded or computed in two ways. Scores come
from the samples of a log, never from its last record.

The files may be anybody's: they are read only inside the card's folder, and whatever is wrong in
them is a CardError or LogError, never a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from formosa.card.claims import Claim
from formosa.card.hub import is_hub_id
from formosa.card.markdown import escaped
from formosa.errors import CardError
from formosa.files import read_json, sha256_file
from formosa.results.log import OUTCOMES, EvalLog, read_log
from formosa.results.metrics import Difference, outcomes, paired_difference, score

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

NOTHING = "–"
ALPHA = 0.05  # beside intervals of 95 %

# What a file of another shape raises where it is read.
_MISFITS = (KeyError, IndexError, ValueError, TypeError, AttributeError, RecursionError)


class Sources:
    """The files beside a card, each read once.

    Every method raises UserError where a file is missing, damaged or outside the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: Callable[[str], EvalLog] = cache(lambda name: read_log(self.path(name)))
        self.json: Callable[[str], Any] = cache(lambda name: read_json(self.path(name)))
        self.sha256: Callable[[str], str] = cache(lambda name: sha256_file(self.path(name)))

    def path(self, name: str) -> Path:
        """The file `name`, which must lie in the card's folder, links followed.

        Raises:
            CardError: it is absolute, leads out of the folder, or is no file.
        """
        path = self.root / name
        try:
            inside = path.resolve().is_relative_to(self.root.resolve())
            is_file = path.is_file()
        except (OSError, ValueError, RuntimeError) as error:
            raise CardError(f"{name!r} is no path: {error}.") from error
        if PurePosixPath(name).is_absolute() or not inside:
            raise CardError(f"{name} lies outside of the card's folder.")
        if not is_file:
            raise CardError(
                f"{name} does not exist beside the card.",
                "keep the run folder's files with the card",
            )
        return path

    def printed(self, claim: Claim) -> str:
        """The text that the claim's files lead to.

        Raises:
            UserError: a file or what is asked of it is missing, or the metric is unknown.
        """
        if claim.metric not in METRICS:
            raise CardError(f"This Formosa knows no metric {claim.metric!r}.")
        try:
            return METRICS[claim.metric](self, claim)
        except _MISFITS as error:
            raise _misfit(claim, error) from error

    def result(self, claim: Claim) -> EvalResult:
        """The entry of the model-index for one log and scorer.

        Raises:
            UserError: as `printed`.
        """
        try:
            return self._result(claim)
        except _MISFITS as error:
            raise _misfit(claim, error) from error

    def _result(self, claim: Claim) -> EvalResult:
        from huggingface_hub import EvalResult

        log = self.log(claim.files[0])
        task, plan = log.start["task"], log.start["plan"]
        source = str(task.get("source") or "")
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
            task_name="Function calling" if task["name"].startswith("bfcl") else "Multiple choice",
            dataset_type=source if is_hub_id(source) else str(task["name"]),
            dataset_name=str(task["name"]),
            dataset_config=str(task["name"]),  # results are grouped by this, so tasks stay apart
            dataset_revision=str(task.get("revision") or "") or None,
            dataset_args={key: value for key, value in asked.items() if value is not None},
            metric_type="accuracy",
            metric_name=claim.scorer,
            metric_value=float(percent(score(log, claim.scorer).value)),
            verified=False,  # only the hub's own service may say true
        )


def _misfit(claim: Claim, error: Exception) -> CardError:
    names = " and ".join(claim.files)
    return CardError(f"{names} holds no {claim.metric}: {type(error).__name__} {error}.")


def percent(share: float) -> str:
    """A share of 1 in percent with one decimal: the samples of a run carry no more."""
    return f"{100 * share:z.1f}"


def _points(share: float) -> str:
    return f"{100 * share:+z.1f}"


def _score(sources: Sources, claim: Claim) -> str:
    # Low and high, not "±": the interval is not symmetric near 0 and 100.
    found = score(sources.log(claim.files[0]), claim.scorer)
    return f"{percent(found.value)} [{percent(found.low)}, {percent(found.high)}]"


def _difference(sources: Sources, claim: Claim) -> Difference:
    before, after = (sources.log(name) for name in claim.files)
    return paired_difference(before, after, claim.scorer)


def _difference_text(sources: Sources, claim: Claim) -> str:
    found = _difference(sources, claim)
    return f"{_points(found.value)} [{_points(found.low)}, {_points(found.high)}]"


def _p(sources: Sources, claim: Claim) -> str:
    p = _difference(sources, claim).p
    return f"{p:.3f}" if p >= 0.001 else "&lt; 0.001"


def _verdict(sources: Sources, claim: Claim) -> str:
    # Both must say so: with few questions the interval can leave 0 while the exact test does not.
    found = _difference(sources, claim)
    if found.p >= ALPHA or found.low <= 0 <= found.high:
        return "無法區分 cannot be told apart"
    return "較好 better" if found.value > 0 else "較差 worse"


def _outcome(name: str) -> Callable[[Sources, Claim], str]:
    return lambda sources, claim: str(
        getattr(outcomes(sources.log(claim.files[0]), claim.scorer), name)
    )


def _asked(sources: Sources, claim: Claim) -> str:
    found = score(sources.log(claim.files[0]), claim.scorer)
    return f"{found.questions} × {found.repeats}"


def _plan(sources: Sources, claim: Claim) -> str:
    plan = sources.log(claim.files[0]).start["plan"]
    return f"{plan.get('samples')} / {plan.get('original')} × {plan.get('repeats')}"


def _start(part: str, key: str) -> Callable[[Sources, Claim], str]:
    return lambda sources, claim: escaped(
        plain(sources.log(claim.files[0]).start[part].get(key) or NOTHING)
    )


def _scorer(sources: Sources, claim: Claim) -> str:
    score(sources.log(claim.files[0]), claim.scorer)  # it must have it
    return escaped(claim.scorer)


def _finished(sources: Sources, claim: Claim) -> str:
    return escaped(str((sources.log(claim.files[0]).end or {}).get("finished") or NOTHING))


def _value(sources: Sources, claim: Claim) -> str:
    return escaped(plain(at_pointer(sources.json(claim.files[0]), claim.pointer)))


METRICS: dict[str, Callable[[Sources, Claim], str]] = {
    "value": _value,
    "score": _score,
    **{name: _outcome(name) for name in OUTCOMES},
    "asked": _asked,
    "scorer": _scorer,
    "task": _start("task", "name"),
    "version": _start("task", "version"),
    "source": _start("task", "source"),
    "revision": _start("task", "revision"),
    "licence": _start("task", "licence"),
    "language": _start("task", "language"),
    "model": _start("model", "name"),
    "model-sha256": _start("model", "sha256"),
    "seed": _start("plan", "seed"),
    "plan": _plan,
    "finished": _finished,
    # The two roles are in the name of the log: base-TASK.jsonl and trained-TASK.jsonl.
    "role": lambda sources, claim: escaped(PurePosixPath(claim.files[0]).name.split("-")[0]),
    "sha256": lambda sources, claim: sources.sha256(claim.files[0]),
    "link": lambda sources, claim: (
        f"[`{sources.sha256(claim.files[0])[:12]}`]({quote(claim.files[0])})"
    ),
    "path": lambda sources, claim: f"[{escaped(claim.files[0])}]({quote(claim.files[0])})",
    "difference": _difference_text,
    "better": lambda sources, claim: str(_difference(sources, claim).better),
    "worse": lambda sources, claim: str(_difference(sources, claim).worse),
    "shared": lambda sources, claim: str(_difference(sources, claim).questions),
    "p": _p,
    "verdict": _verdict,
    "accuracy": lambda sources, claim: str(sources.result(claim).metric_value),
}


def plain(value: Any) -> str:
    """A JSON value as a reader wants it in a cell; a number with at most six digits."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items()) or NOTHING
    if isinstance(value, list):
        return ", ".join(plain(item) for item in value) or NOTHING
    return str(value)


def at_pointer(value: Any, pointer: str) -> Any:
    """What stands at a JSON pointer (RFC 6901), such as `/rows/train`.

    Raises:
        CardError: nothing stands there.
    """
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise CardError(f"Nothing stands at {pointer}.") from error
    return value


def pointer_to(*steps: str | int) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
