r"""The protocol behind the F1 cards: Twinkle Eval of April 2025, and what its version 2.10 changed.

For checking published tables only. It asks, reads, scores and adds up as that program did, also
where our own protocol (`choice.py`) does better:

- `twinkle-box` puts the Chinese system prompt first; `twinkle-pattern` sends the user's message
  alone. So the two tables of a card come from two questions, not from two readings of one.
- A reply is read by `re.search`, so the first match counts, one expression after the other. Only
  the capital letters A to D, only as written: `\boxed{ B }`, `\boxed{\text{B}}` and `\boxed{b}` are
  unparsed. The last two expressions of `pattern` take any capital letter with a character behind
  it: `Answer: B` is read as A.
- The right letter is found by the text of the option. Of two equal texts the last one is right.
- The figure of a file is the mean of its runs' accuracies; that of a data set the plain mean over
  its files; ± the plain mean over files of the population standard deviation over runs. It
  measures the shuffling and the sampling, and says nothing of how few questions there are. Cards
  print it as a share beside a percentage.

What is not the same: the order of options is ours, seeded, since theirs came from an unseeded
generator; a request that failed for good makes us leave its file out, by name, where April 2025
stopped; columns beside the options are not shown (nor are they by 2.10); cells are text, where
pandas turned `None` into `nan` and `1.0` of a column of numbers into a number. An unparsed reply is
`unparsed` here, and wrong there: the figure is the same.

The later version reads any capital letter (`The answer is B.` gives T), cuts finished
`<think>…</think>` blocks off, and falls back to the reasoning where there is no content; equal
options are told apart. It is scored beside, as `twinkle-2.10`, and so is our own reading of the
same reply. Both versions read what the server calls content: whether thoughts are in it depends on
the server, there as here.

Source: https://github.com/ai-twinkle/Eval at 0bc4522 (2025-04-27), and twinkle-eval 2.10.0 (PyPI).
The agreement with the latter is checked by `benchmarks/twinkle_agreement.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from string import ascii_uppercase
from typing import Literal, NamedTuple

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply
from formosa.errors import DataError, LogError
from formosa.evals.choice import (
    Choice,
    ChoiceSet,
    order,
    own_scorers,
    right_letter,
    system_prompt,
    user_text,
)
from formosa.evals.task import Asked, Sample, Scorer, ScoreRecord, Task, unread
from formosa.results.log import EvalLog, Outcome

VERSION = 1

Method = Literal["box", "pattern"]

OPTIONS = 4

_EXPRESSIONS: Mapping[Method, tuple[str, ...]] = {
    "box": (r"\\{1,2}box{([A-D])}", r"\\{1,2}boxed{([A-D])}"),
    "pattern": (
        r"correct answer is:\n\n\n([A-D]).",
        r"correct answer is:\n\n([A-D]).",
        r"correct answer is:\n([A-D]).",
        r"正確的答案應該是:.*?\b([A-D])\b",
        r"正确的答案应该是:.*?\b([A-D])\b",
        r"正確的選項應為:.*?\b([A-D])\b",
        r"正确的选项应为:.*?\b([A-D])\b",
        r"正確的答案是（([A-D])）",
        r"正确的答案是（([A-D])）",
        r"答案應該是:\s?選?項?\s?([A-D])",
        r"答案应该是:\s?选?项?\s?([A-D])",
        r"答案是:\s?選?項?\s?([A-D])",
        r"答案是:\s?选?项?\s?([A-D])",
        r"答案應為:\s?選?項?\s?([A-D])",
        r"答案应为:\s?选?项?\s?([A-D])",
        r"答案為:\s?([A-D])",
        r"答案应为：\s?([A-D])",
        r"答案為：\s?([A-D])",
        r"答案應該是:\s?([A-D])",
        r"正確答案為 \*\*([A-D])",
        r"正確答案為\(([A-D])\)",
        r"答案應為:\s?([A-D])",
        r"答案应为:\s?([A-D])",
        r"答案是 \*\*([A-D])",
        r"答案 ([A-D]) 正確",
        r"選項 ([A-D]) 正確",
        r"所以答案為([A-D])",
        r"答案：\(([A-D])\)",
        r"答案:\s?([A-D])",
        r"答案：\s?([A-D])",
        r"答案: ([A-D]) ",
        r"答案([A-D]) ",
        r"^選項([A-D])",
        r"^选项([A-D])",
        r"^選([A-D])",
        r"^选([A-D])",
        r"([A-D]). ",
        r"([A-D]).",
    ),
}

APRIL_2025: Mapping[Method, tuple[re.Pattern[str], ...]] = {
    method: tuple(re.compile(expression) for expression in expressions)
    for method, expressions in _EXPRESSIONS.items()
}
"""Method → its expressions, in the order in which they are tried."""

V2_10: Mapping[Method, tuple[re.Pattern[str], ...]] = {
    method: tuple(re.compile(expression.replace("[A-D]", "[A-Z]")) for expression in expressions)
    for method, expressions in _EXPRESSIONS.items()
}

_THOUGHTS = (("<think>", "</think>"), ("<reason>", "</reason>"), ("<reasoning>", "</reasoning>"))


def extract(text: str, method: Method) -> str | None:
    """The letter that Twinkle Eval of April 2025 reads from a reply's content, or None."""
    return _first(text, APRIL_2025[method])


def extract_v2_10(content: str, reasoning: str, method: Method) -> str | None:
    """The letter that version 2.10 reads, which may be any from A to Z, or None."""
    if content:
        content = cut_thoughts(content)
    return _first(content or reasoning, V2_10[method])


def cut_thoughts(text: str) -> str:
    """What follows the last end of the first kind of tag of which both ends are there."""
    lower = text.lower()
    for begin, end in _THOUGHTS:
        if begin in lower and end in lower:
            return text[lower.rfind(end) + len(end) :].strip()
    return text


def _first(text: str, expressions: Iterable[re.Pattern[str]]) -> str | None:
    if not text.strip():
        return None
    for expression in expressions:
        if match := expression.search(text):
            return match.group(1)
    return None


def twinkle_task(questions: ChoiceSet, method: Method, name: str) -> Task[Choice]:
    """The questions as April 2025 asked them; scored by `twinkle` (the main one), `twinkle-2.10`,
    and by our own two readings of the same reply.

    Raises:
        DataError: a question has another number of options than four.
    """
    for sample in questions.samples:
        count = len(sample.content.options)
        if count != OPTIONS:
            raise DataError(
                f"{sample.id} has {count} options, and Twinkle Eval of April 2025 knows four.",
                f"ask them by our own protocol: {questions.name}",
            )

    def ask(sample: Sample[Choice], repeat: int, seed: int) -> Asked:
        user = Message("user", user_text(sample, repeat, seed))
        system = Message("system", system_prompt(sample.content.letters, "zh"))
        return Asked(
            (system, user) if method == "box" else (user,),
            gold=gold_letter(sample, repeat, seed),
        )

    return questions.task(
        name,
        version=VERSION,
        ask=ask,
        scorers={
            "twinkle": _april_scorer(method),
            "twinkle-2.10": _v2_10_scorer(method),
            **own_scorers(),
        },
        decoder=f"twinkle-eval {method}: 0bc4522 (2025-04-27)",
    )


def gold_letter(sample: Sample[Choice], repeat: int, seed: int) -> str:
    """The last letter under which the text of the right option stands."""
    options = sample.content.options
    shown = [options[i] for i in order(sample, repeat, seed)]
    right = options[sample.content.right]
    return ascii_uppercase[max(i for i, text in enumerate(shown) if text == right)]


def _april_scorer(method: Method) -> Scorer[Choice]:
    def scorer(sample: Sample[Choice], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
        letter = extract(reply.message.content, method)
        return _scored(reply, letter, gold_letter(sample, repeat, seed))

    return scorer


def _v2_10_scorer(method: Method) -> Scorer[Choice]:
    def scorer(sample: Sample[Choice], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
        letter = extract_v2_10(reply.message.content, reply.message.reasoning, method)
        return _scored(reply, letter, right_letter(sample, repeat, seed))

    return scorer


def _scored(reply: ChatReply, letter: str | None, gold: str) -> ScoreRecord:
    if letter is None:
        return unread(reply, "no expression of Twinkle Eval matches, which counts as wrong there")
    outcome: Literal["correct", "wrong"] = "correct" if letter == gold else "wrong"
    return ScoreRecord(outcome, letter, f"Twinkle Eval reads {letter}; {gold} is right")


class FileFigures(NamedTuple):
    """One file (subject), as shares of 1."""

    mean: float
    deviation: float  # population standard deviation over the runs
    runs: tuple[float, ...]


class Figures(NamedTuple):
    """A data set as a card prints it, as shares of 1."""

    accuracy: float  # plain mean over files of their means
    plus_minus: float  # plain mean over files of their deviations
    files: Mapping[str, FileFigures]
    left_out: tuple[str, ...]  # files in which a request failed for good

    def card(self) -> str:
        """`44.11 (±0.0179)`: a percentage with a share beside it, as the cards have it."""
        return f"{100 * self.accuracy:.2f} (±{self.plus_minus:.4f})"


def figures(log: EvalLog, scorer: str = "twinkle") -> Figures:
    """The figures of a log.

    Raises:
        LogError: the log has no such scorer, answers are missing, or a request failed in every
            file.
    """
    if scorer not in log.scorers:
        raise LogError(
            f"{log.path} has no scorer {scorer!r}.", "run a task whose name ends in -twinkle-box"
        )
    if len(log.samples) < log.planned:
        raise LogError(
            f"{log.path} holds {len(log.samples)} of {log.planned} answers; a mean over files "
            "needs them all.",
            "run the same command again",
        )
    place = log.scorers.index(scorer)
    made = figures_of((b.subject, b.repeat, b.outcomes[place]) for b in log.briefs)
    if not made.files:
        raise LogError(f"{log.path}: a request failed in every file.", "run: formosa eval retry")
    return made


def figures_of(answers: Iterable[tuple[str, int, Outcome]]) -> Figures:
    """The figures of (file, run, outcome) in any order."""
    runs: dict[str, dict[int, list[Outcome]]] = {}
    for file, run, outcome in answers:
        runs.setdefault(file, {}).setdefault(run, []).append(outcome)
    left_out = sorted(
        file for file, parts in runs.items() if any("failed" in part for part in parts.values())
    )
    files = {
        file: _file_figures([_accuracy(parts[run]) for run in sorted(parts)])
        for file, parts in sorted(runs.items())
        if file not in left_out
    }
    return Figures(
        _mean([part.mean for part in files.values()]),
        _mean([part.deviation for part in files.values()]),
        files,
        tuple(left_out),
    )


def _file_figures(accuracies: list[float]) -> FileFigures:
    mean = _mean(accuracies)
    spread = math.sqrt(_mean([(accuracy - mean) ** 2 for accuracy in accuracies]))
    return FileFigures(mean, spread, tuple(accuracies))


def _accuracy(outcomes: list[Outcome]) -> float:
    return outcomes.count("correct") / len(outcomes)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
