"""From the files of a run to the text of one figure.

`Sources.printed` is the step from a claim to its text. The writer fills the cell with it and the
check calls it again, so a figure can't be rounded, worded or computed in two ways. Scores come
from the samples of a log, never from its last record. Where an evaluation was made in shards, a
claim names the logs of all of them.

A metric keeps its name and its text for ever: cards that are out there are checked by it. A few
say a word, which is that of the claim's language.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from formosa.card.claims import Claim
from formosa.card.index_entry import entry_of, percent
from formosa.card.markdown import escaped
from formosa.card.run_files import RunFiles, at_pointer, role_of
from formosa.errors import CardError
from formosa.results.effort import purity
from formosa.results.log import OUTCOMES, EvalLog
from formosa.results.metrics import Difference, outcomes, paired_difference, score

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

NOTHING = "–"
ALPHA = 0.05  # beside intervals of 95 %

# What a file of another shape raises where it is read.
_MISFITS = (KeyError, IndexError, ValueError, TypeError, AttributeError, RecursionError)


class Sources(RunFiles):
    """The files beside a card, and the figures that they lead to."""

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
        """The entry of the model-index for one evaluation and scorer.

        Raises:
            UserError: as `printed`.
        """
        try:
            return entry_of(self.evaluation(claim.files), claim.scorer)
        except _MISFITS as error:
            raise _misfit(claim, error) from error


def _misfit(claim: Claim, error: Exception) -> CardError:
    names = " and ".join(claim.files)
    return CardError(f"{names} holds no {claim.metric}: {type(error).__name__} {error}.")


def _points(share: float) -> str:
    return f"{100 * share:+z.1f}"


def _log(sources: Sources, claim: Claim) -> EvalLog:
    return sources.evaluation(claim.files)


def _score(sources: Sources, claim: Claim) -> str:
    # Low and high, not "±": the interval is not symmetric near 0 and 100.
    found = score(_log(sources, claim), claim.scorer)
    return f"{percent(found.value)} [{percent(found.low)}, {percent(found.high)}]"


def _runs(sources: Sources, claim: Claim) -> str:
    """As the F1 cards show a score, with ± in its own unit, and what they leave out."""
    log = _log(sources, claim)
    found = score(log, claim.scorer)
    spread = f" ±{percent(_deviation(log, claim.scorer))}" if found.repeats > 1 else ""
    shown = f"{percent(found.value)}{spread} [{percent(found.low)}, {percent(found.high)}]"
    return f"{shown} n={found.questions}"


def _deviation(log: EvalLog, scorer: str) -> float:
    """The population standard deviation of the accuracies of the runs through all questions."""
    place = log.scorers.index(scorer)
    runs: dict[int, list[bool]] = {}
    for short in log.briefs:
        runs.setdefault(short.repeat, []).append(short.outcomes[place] == "correct")
    shares = [sum(right) / len(right) for right in runs.values()]
    mean = math.fsum(shares) / len(shares)
    return math.sqrt(math.fsum((share - mean) ** 2 for share in shares) / len(shares))


def _mean(sources: Sources, claim: Claim) -> str:
    """The plain mean of the evaluations' scores, from the unrounded ones."""
    found = [score(log, claim.scorer).value for log in sources.evaluations(claim.files)]
    return percent(math.fsum(found) / len(found))


def _difference(sources: Sources, claim: Claim) -> Difference:
    before, after = sources.evaluations(claim.files)
    return paired_difference(before, after, claim.scorer)


def _difference_text(sources: Sources, claim: Claim) -> str:
    found = _difference(sources, claim)
    return f"{_points(found.value)} [{_points(found.low)}, {_points(found.high)}]"


def _p(sources: Sources, claim: Claim) -> str:
    p = _difference(sources, claim).p
    return f"{p:.3f}" if p >= 0.001 else "&lt; 0.001"


VERDICTS = {
    "zh": ("無法區分", "較好", "較差"),
    "en": ("cannot be told apart", "better", "worse"),
    "both": ("無法區分 cannot be told apart", "較好 better", "較差 worse"),
}
YES_NO = {"zh": ("是", "否"), "en": ("yes", "no"), "both": ("是 yes", "否 no")}


def _verdict(sources: Sources, claim: Claim) -> str:
    # Both must say so: with few questions the interval can leave 0 while the test does not.
    same, better, worse = VERDICTS[claim.language]
    found = _difference(sources, claim)
    if found.p >= ALPHA or found.low <= 0 <= found.high:
        return same
    return better if found.value > 0 else worse


def _outcome(name: str) -> Callable[[Sources, Claim], str]:
    return lambda sources, claim: str(getattr(outcomes(_log(sources, claim), claim.scorer), name))


def _asked(sources: Sources, claim: Claim) -> str:
    found = score(_log(sources, claim), claim.scorer)
    return f"{found.questions} × {found.repeats}"


def _each(part: str, key: str) -> Callable[[Sources, Claim], str]:
    """What the plans of all files say, each value once."""

    def each(sources: Sources, claim: Claim) -> str:
        found = [sources.log(name).start[part].get(key) for name in claim.files]
        return ", ".join(dict.fromkeys(escaped(_shown(value)) for value in found))

    return each


def _plan(sources: Sources, claim: Claim) -> str:
    plan = sources.log(claim.files[0]).start["plan"]
    shard = plan.get("shard")
    part = f" ({shard['number']}/{shard['of']})" if shard else ""
    return f"{plan.get('samples')} / {plan.get('original')} × {plan.get('repeats')}{part}"


def _shown(value: Any) -> str:
    return NOTHING if value in (None, "") else plain(value)


def _start(part: str, key: str) -> Callable[[Sources, Claim], str]:
    return lambda sources, claim: escaped(_shown(sources.log(claim.files[0]).start[part].get(key)))


def _details(sources: Sources, claim: Claim) -> Any:
    """How the model ran, as the log says it."""
    return sources.log(claim.files[0]).start["model"].get("details") or {}


def _engine(sources: Sources, claim: Claim) -> str:
    details = _details(sources, claim)
    words = [str(details[key]) for key in ("engine", "version") if details.get(key)]
    return escaped(" ".join(words)) or NOTHING


def _calls(sources: Sources, claim: Claim) -> str:
    return escaped(str(_details(sources, claim).get("calls") or "free"))


def _scorer(sources: Sources, claim: Claim) -> str:
    score(_log(sources, claim), claim.scorer)  # it must have it
    return escaped(claim.scorer)


def _finished(sources: Sources, claim: Claim) -> str:
    return escaped(str((sources.log(claim.files[0]).end or {}).get("finished") or NOTHING))


def _purity(field: str) -> Callable[[Sources, Claim], str]:
    def part(sources: Sources, claim: Claim) -> str:
        found = getattr(purity(_log(sources, claim)), field)
        if isinstance(found, int):
            return str(found)
        return NOTHING if found is None else f"{100 * found:.2f}"

    return part


def _value(sources: Sources, claim: Claim) -> str:
    found = at_pointer(sources.json(claim.files[0]), claim.pointer)
    if isinstance(found, bool):
        return YES_NO[claim.language][not found]
    return escaped(plain(found))


def _interval(sources: Sources, claim: Claim) -> str:
    """Shares of 1 that another stage worked out, in percent."""
    found = at_pointer(sources.json(claim.files[0]), claim.pointer)
    value, low, high = (percent(float(found[key])) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _links(sources: Sources, claim: Claim) -> str:
    return ", ".join(f"[`{sources.sha256(name)[:12]}`]({quote(name)})" for name in claim.files)


METRICS: dict[str, Callable[[Sources, Claim], str]] = {
    "value": _value,
    "interval": _interval,
    "score": _score,
    "runs": _runs,
    "mean": _mean,
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
    "temperature": _start("request", "temperature"),
    "max-tokens": _start("request", "max_tokens"),
    "engine": _engine,
    "calls": _calls,
    "seeds": _each("plan", "seed"),
    "repeats": _each("plan", "repeats"),
    "plan": _plan,
    "finished": _finished,
    # The two roles are in the name of the log: base-TASK.jsonl and trained-TASK.jsonl.
    "role": lambda sources, claim: escaped(role_of(claim.files[0])),
    "sha256": lambda sources, claim: sources.sha256(claim.files[0]),
    "link": _links,
    "path": lambda sources, claim: f"[{escaped(claim.files[0])}]({quote(claim.files[0])})",
    "difference": _difference_text,
    "better": lambda sources, claim: str(_difference(sources, claim).better),
    "worse": lambda sources, claim: str(_difference(sources, claim).worse),
    "shared": lambda sources, claim: str(_difference(sources, claim).questions),
    "p": _p,
    "verdict": _verdict,
    "han": _purity("han"),
    "simplified": _purity("simplified"),
    "mainland": _purity("mainland"),
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
