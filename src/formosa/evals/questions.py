"""Multiple-choice questions out of the rows of a table.

A question is a row with `question`, its options, and `answer`. The options are columns `A`, `B`, …
without a gap, or one list `choices` (or `options`). The answer is a letter; beside a list it may be
a position from 0 too, as in MMLU on the hub. `id` and `subject` are read where they are there; all
other columns are left alone. One file is one subject unless its rows name one.

Every problem stops the reading, with the file and the line: a question that is left out or guessed
at moves a score, and nobody sees it. Two exceptions for published sets, which are as they are
(`published=True`): options with equal texts and options without a text are kept, and counted in a
remark. In other files they are errors, and empty cells at the end of a row are no options, so that
questions with four and with five options fit in one csv file.

Knows rows and questions. Knows nothing of prompts and scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from formosa.errors import DataError
from formosa.evals.choice import Choice
from formosa.evals.tables import Table, Values
from formosa.evals.task import Sample

LISTS = ("choices", "options")  # names of a column that holds all options


@dataclass
class Questions:
    """What was read, and what there is to say about it."""

    samples: list[Sample[Choice]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def read_questions(
    tables: Sequence[Table], *, published: bool = False, subject_suffix: str = ""
) -> Questions:
    """The questions of all tables.

    Args:
        tables: one subject each, unless a column `subject` says otherwise.
        published: keep equal and empty options, and say so; see above.
        subject_suffix: cut from the names of files, as in `law_test.csv`.

    Raises:
        DataError: a column is missing; the answer is no option or there are several; options are
            equal or empty (unless `published`); an id is there twice; there are no questions.
    """
    names = _subjects([table.path for table in tables], subject_suffix)
    made = Questions()
    places: dict[str, str] = {}
    numbers: Counter[str] = Counter()
    doubtful: dict[str, list[str]] = {}
    for table, name in zip(tables, names, strict=True):
        for row in table.rows:
            where = f"{table.path}:{row.line}"
            choice = _choice(row.values, where, published, doubtful)
            subject = _text(row.values.get("subject")).strip() or name
            numbers[subject] += 1
            own = _text(row.values.get("id")).strip()
            id = f"{subject}/{own or numbers[subject]}"
            if id in places:
                raise DataError(f"The id {own or id} is there twice: {places[id]} and {where}.")
            places[id] = where
            made.samples.append(Sample(id, choice, subject))
    if not made.samples:
        raise DataError("There are no questions.")
    # Neighbours share a subject: `limit` takes an evenly spread part.
    first = {subject: i for i, subject in enumerate(numbers)}
    made.samples.sort(key=lambda sample: first[sample.subject])
    for problem, found in doubtful.items():
        count = "1 question has" if len(found) == 1 else f"{len(found)} questions have"
        made.remarks.append(f"{count} {problem}, such as {found[0]}; kept as is")
    return made


def _choice(values: Values, where: str, published: bool, doubtful: dict[str, list[str]]) -> Choice:
    question = _text(_column(values, "question", where))
    answer = _column(values, "answer", where)
    options, listed = _options(values, where, keep_empty=published)
    problems = []
    if len(set(options)) < len(options):
        equal = next(text for text, count in Counter(options).items() if count > 1)
        problems.append(("options with equal texts", f"two options are {equal!r}"))
    if not all(option.strip() for option in options):
        problems.append(("options without a text", "an option has no text"))
    for kind, problem in problems:
        if not published:
            raise DataError(
                f"{where}: {problem}.",
                "correct the row or take it out; every option needs a text of its own",
            )
        doubtful.setdefault(kind, []).append(where)
    if not question.strip():
        raise DataError(f"{where}: the question is empty.")
    right = _right(answer, len(options), listed, where)
    try:
        return Choice(question, tuple(options), right)
    except DataError as error:
        raise DataError(f"{where}: {error.message}", error.hint) from None


def _column(values: Values, name: str, where: str) -> Any:
    if name not in values:
        raise DataError(
            f"{where}: there is no column `{name}`; the columns are {_listed(values)}.",
            "a question has the columns question, A, B, …, answer",
        )
    return values[name]


def _options(values: Values, where: str, *, keep_empty: bool) -> tuple[list[str], bool]:
    """The texts, and whether they came as a list."""
    for name in LISTS:
        found = values.get(name)
        if isinstance(found, list | tuple):
            return [_text(option) for option in found], True
    letters = []
    for letter in ascii_uppercase:
        if letter not in values:
            break
        letters.append(letter)
    beyond = [c for c in ascii_uppercase[len(letters) :] if c in values and len(letters) > 0]
    if len(letters) < 2 or beyond:
        missing = ascii_uppercase[len(letters)]
        raise DataError(
            f"{where}: there is no column `{missing}`; the columns are {_listed(values)}.",
            "options are columns A, B, … without a gap, or one list `choices`",
        )
    texts = [_text(values[letter]) for letter in letters]
    while not keep_empty and texts and not texts[-1].strip():
        texts.pop()
    return texts, False


def _right(answer: Any, count: int, listed: bool, where: str) -> int:
    """The position of the right option."""
    if isinstance(answer, list | tuple):
        if len(answer) != 1:
            raise DataError(
                f"{where}: {len(answer)} answers ({', '.join(map(str, answer))}); "
                "a question has one right answer."
            )
        answer = answer[0]
    letters = ascii_uppercase[:count]
    if isinstance(answer, int) and not isinstance(answer, bool) and listed:
        if 0 <= answer < count:
            return answer
    else:
        text = _text(answer).strip().upper()
        if text and text in letters and len(text) == 1:
            return letters.index(text)
        several = [part for part in text.replace(",", " ").replace("、", " ").split() if part]
        if len(several) == 1 and len(several[0]) > 1 and set(several[0]) <= set(letters):
            several = list(several[0])
        if len(several) > 1 and set(several) <= set(letters):
            raise DataError(
                f"{where}: {len(several)} answers ({', '.join(several)}); "
                "a question has one right answer."
            )
    raise DataError(
        f"{where}: the answer {answer!r} is none of the options {', '.join(letters)}.",
        "the answer is the letter of an option, or beside a list its position from 0",
    )


def _subjects(paths: Sequence[Path], suffix: str) -> list[str]:
    """A name for each file: the shortest end of its path that tells them all apart."""
    stems = [path.with_suffix("") for path in paths]
    deepest = max((len(stem.parts) for stem in stems), default=1)
    names: list[str] = []
    for depth in range(1, deepest + 1):
        names = ["/".join(stem.parts[-depth:]).removesuffix(suffix) for stem in stems]
        if len(set(names)) == len(names):
            break
    return names


def _listed(values: Values) -> str:
    return ", ".join(str(name) for name in values) or "none"


def _text(value: Any) -> str:
    return "" if value is None else str(value)
