"""Published sets of multiple-choice questions: from the hub at a commit, or from a folder.

Knows where files come from. `tmmluplus.py`, `mmlu.py` and `tw_legal.py` say what they are.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from formosa.errors import DataError
from formosa.evals.choice import Choice, ChoiceSet, Language
from formosa.evals.hub import fetch
from formosa.evals.questions import read_questions
from formosa.evals.tables import Table, find_files, read_table, revision_of
from formosa.evals.task import Task
from formosa.evals.variants import SUFFIXES, task_in
from formosa.wheels import Say


@dataclass(frozen=True)
class Published:
    """A data set.

    Attributes:
        name: of its task.
        repo: on the hub.
        revision: a commit of it.
        patterns: globs in a folder; the files of the first one that any file fits are taken.
        download: what of the repository is fetched, as `huggingface_hub` writes patterns.
        subject_suffix: cut from the names of files.
        prompt, licence, language: see `ChoiceSet`.
        unnamed: the columns of its csv files without a line of names, if it has such.
    """

    name: str
    repo: str
    revision: str
    patterns: Sequence[str]
    download: Sequence[str]
    subject_suffix: str
    prompt: Language
    licence: str
    language: str
    unnamed: Sequence[str] = ()

    def load(
        self,
        name: str,
        *,
        data_dir: Path | None = None,
        revision: str | None = None,
        say: Say | None = None,
    ) -> Task[Choice]:
        """A variant of the data set's task.

        Args:
            name: the set's name with one of `SUFFIXES`.
            data_dir: a folder with its files, or one file; the hub is asked when left out.
            revision: another commit, branch or tag of the hub.
            say: told about a download, and about questions that look wrong.

        Raises:
            DataError: no such task; the hub refuses; a file cannot be read as questions; both a
                folder and a revision are given.
        """
        if name.removeprefix(self.name) not in SUFFIXES or not name.startswith(self.name):
            raise DataError(f"There is no task called {name}.", f"such as {self.name}")
        if data_dir is not None and revision is not None:
            raise DataError(
                f"{name}: --revision is for the hub, and the files of {data_dir} have none.",
                "leave one of --revision and --data-dir out",
            )
        if data_dir is None:
            fetched = fetch(self.repo, self.download, revision or self.revision, say)
            paths = find_files(fetched.folder, self.patterns)
            source, commit = f"https://huggingface.co/datasets/{self.repo}", fetched.commit
        else:
            paths = find_files(data_dir, self.patterns)
            source, commit = f"{self.repo}, from files", revision_of(paths)
        made = read_questions(
            [_read(path, self.unnamed) for path in paths],
            published=True,
            subject_suffix=self.subject_suffix,
        )
        for remark in made.remarks:
            if say:
                say(f"{self.name}: {remark}")
        questions = ChoiceSet(
            self.name, made.samples, self.prompt, source, commit, self.licence, self.language
        )
        return task_in(questions, name)


def _read(path: Path, unnamed: Sequence[str]) -> Table:
    """A table; a csv file whose first line names no question has the columns `unnamed`."""
    if unnamed and path.suffix.lower() == ".csv" and "question" not in _first_cells(path):
        return read_table(path, unnamed)
    return read_table(path)


def _first_cells(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return next(csv.reader([file.readline()]), [])
