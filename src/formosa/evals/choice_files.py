"""Your own multiple-choice questions: `file:PATH` is a task.

Source:   csv, tsv, json, jsonl or parquet; a file, or a folder with several (each one a subject)
Licence:  yours
Version:  that of the protocol: `choice.py`, `logit.py`, `twinkle.py`

    formosa eval run file:law.csv --model f1
    formosa eval run file-logit:exams/ --model f1

Rows, invented, in csv and in jsonl (see `questions.py` for all that a row may have):
    question,A,B,C,D,answer
    臺灣最高的山是哪一座？,雪山,玉山,合歡山,大屯山,B
    {"question": "1 + 1 = ?", "choices": ["2", "3"], "answer": 0}

The revision is the sha256 of the files. The system prompt is in the language of the questions:
Chinese if any of the first hundred holds a Han character.
"""

from __future__ import annotations

from pathlib import Path

from formosa.errors import DataError
from formosa.evals.choice import Choice, ChoiceSet
from formosa.evals.questions import read_questions
from formosa.evals.tables import find_files, read_table, revision_of
from formosa.evals.task import Task
from formosa.evals.variants import SUFFIXES, task_in
from formosa.wheels import Say
from formosa.zh.script import count_han

PREFIX = tuple(f"file{suffix}:" for suffix in SUFFIXES)
"""What the names of these tasks begin with."""

TASKS = {
    "file:PATH": "your own questions in csv, tsv, json, jsonl or parquet: question, A, B, …, answer"
}


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    revision: str | None = None,
    say: Say | None = None,
) -> Task[Choice]:
    """The task of the files that `name` says.

    Args:
        name: as in `file:law.csv`; `file-logit:law.csv` asks the same in another way.
        data_dir: where a relative path begins; here, when left out.
        revision: refused, since files have none.
        say: not used: whatever looks wrong is an error.

    Raises:
        DataError: the files cannot be read as questions; the sentence names file and line.
    """
    kind, _, rest = name.partition(":")
    if f"{kind}:" not in PREFIX or not rest:
        raise DataError(f"{name} names no file.", "write file:PATH")
    if revision is not None:
        raise DataError(f"{name} is a file, which has no --revision.", "leave --revision out")
    paths = find_files((data_dir or Path()) / Path(rest).expanduser())
    samples = read_questions([read_table(path) for path in paths]).samples
    zh = any(count_han(sample.content.question) for sample in samples[:100])
    questions = ChoiceSet(
        f"file:{rest}",
        samples,
        prompt="zh" if zh else "en",
        source=f"file:{rest}",
        revision=revision_of(paths),
        licence="",
        language="zh-TW" if zh else "en",
    )
    return task_in(questions, name, kind.removeprefix("file"))
