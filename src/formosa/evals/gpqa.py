"""GPQA Diamond: 198 questions of physics, chemistry and biology that experts find hard.

Source:  https://huggingface.co/datasets/Idavidrein/gpqa, `gpqa_diamond.csv`; gated
Licence: CC-BY-4.0, with the authors' request not to reveal examples in plain text or images online
Version: 1 — raise it when the prompt or the reading changes
Row:     Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3,…
         "Which is heaviest? (invented)",lead,air,wood,water,…

The prompt is that of lighteval 0.8.0, word for word. It puts the right answer at a place drawn from
a generator without a seed; here the place belongs to (seed, question, repeat). The three wrong
answers keep their order.

The questions must not become training data, which is what the canary in the files is for. So the
task is *private*: no text of a question, of an option or of a reply (which quotes them) is written
to a log or printed. The questions stay in the hub's own cache. A sample is named by the hash of its
question; of a reply the log keeps a hash, the length, and the letter that was read, written as a
line that is scored like the whole reply. No other reading can be tried on an old log: that is the
price.

198 questions: the interval is about ± 6.5 points.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply
from formosa.errors import DataError
from formosa.evals.extract import read_pattern
from formosa.evals.hub import fetch
from formosa.evals.tables import Row, find_files, read_table, revision_of
from formosa.evals.task import Asked, Sample, ScoreRecord, Task, seeded_key, unread
from formosa.files import sha256_text
from formosa.wheels import Say

REPO = "Idavidrein/gpqa"
FILE = "gpqa_diamond.csv"
LETTERS = "ABCD"
READER = "last letter/1"

PROMPT = """Answer the following multiple choice question. The last line of your response should be of the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by step before answering.

{Question}

A) {A}
B) {B}
C) {C}
D) {D}"""  # noqa: E501

TASKS: dict[str, str] = {
    "gpqa-diamond": "198 hard questions of science; gated, and nothing of them is logged",
}
"""Name → one line for people."""

_ANSWER = re.compile(r"\b(?i:answer)\b[\s*_]{0,4}[:：][\s*_$(\\]{0,6}([A-D])(?![A-Za-z0-9])")


@dataclass(frozen=True, slots=True)
class Secret:
    """A question; its texts are in no `repr`, so that no traceback prints them."""

    question: str = field(repr=False)
    right: str = field(repr=False)
    wrong: tuple[str, ...] = field(repr=False)


def load(
    name: str = "gpqa-diamond",
    *,
    data_dir: Path | None = None,
    revision: str | None = None,
    say: Say | None = None,
) -> Task[Secret]:
    """The task.

    Args:
        name: `gpqa-diamond`.
        data_dir: a folder with `gpqa_diamond.csv`; without it the file comes from the hub, with
            the token that huggingface_hub finds (HF_TOKEN, or `hf auth login`).
        revision: a commit, branch or tag on the hub; `main` when left out.
        say: told about a download.

    Raises:
        DataError: another name; the terms were not accepted; the file cannot be read.
    """
    if name not in TASKS:
        raise DataError(f"There is no task {name}.", f"one of {', '.join(TASKS)}")
    folder, commit = data_dir, ""
    if folder is None:
        try:
            folder, commit = fetch(REPO, [FILE], revision or "main", say)
        except DataError as error:
            raise DataError(
                error.message,
                f"accept the terms at https://huggingface.co/datasets/{REPO}, then: "
                f"hf auth login (or set HF_TOKEN); or name a folder with {FILE}: --data-dir DIR",
            ) from error
    paths = find_files(folder, (FILE, f"**/{FILE}"))
    samples = [
        _sample(row, f"{path}:{row.line}") for path in paths for row in read_table(path).rows
    ]
    return Task(
        name=name,
        version=1,
        source=f"https://huggingface.co/datasets/{REPO}" if commit else "own files",
        revision=commit or revision_of(paths),
        licence="CC-BY-4.0",
        language="en",
        samples=samples,
        ask=ask,
        scorers={"letter": score},
        decoder=READER,
        private=True,
        keep=keep,
    )


def _sample(row: Row, where: str) -> Sample[Secret]:
    texts = []
    wrong = [f"Incorrect Answer {i}" for i in (1, 2, 3)]
    for column in ("Question", "Correct Answer", *wrong):
        value = row.values.get(column)
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where}: the column {column} is missing or empty.")
        texts.append(value.strip())  # some have blanks around them
    domain = row.values.get("High-level domain")
    return Sample(
        f"gpqa-{sha256_text(texts[0])[:16]}",
        Secret(texts[0], texts[1], tuple(texts[2:])),
        domain if isinstance(domain, str) else "",
    )


def right_letter(sample: Sample[Secret], repeat: int, seed: int) -> str:
    """The letter under which the right answer stands this time."""
    return LETTERS[int(seeded_key(seed, sample.id, repeat, "place")[:8], 16) % len(LETTERS)]


def ask(sample: Sample[Secret], repeat: int, seed: int) -> Asked:
    """The question with the right answer at its seeded place."""
    secret, letter = sample.content, right_letter(sample, repeat, seed)
    options = list(secret.wrong)
    options.insert(LETTERS.index(letter), secret.right)
    texts = {"Question": secret.question, **dict(zip(LETTERS, options, strict=True))}
    # Not str.format, and in one pass: questions of chemistry are full of braces.
    prompt = re.sub(r"\{(\w+)\}", lambda match: texts[match[1]], PROMPT)
    return Asked((Message("user", prompt),), gold=letter)


def read_letter(text: str) -> str | None:
    """The letter of the last `Answer: X`; without one, what `extract.read_pattern` reads."""
    found = _ANSWER.findall(text)
    return str(found[-1]) if found else read_pattern(text, LETTERS).letter


def keep(reply: ChatReply) -> Mapping[str, Any]:
    """What a log may hold of a reply. `read` is scored like the reply itself."""
    text = reply.message.content
    # A reply may hold half a surrogate pair, which plain UTF-8 has no bytes for.
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    letter = read_letter(text)
    return {
        "read": f"Answer: {letter}" if letter else "",
        "sha256": sha256,
        "characters": len(text),
    }


def score(sample: Sample[Secret], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
    """Whether the letter is the right one. The reason quotes nothing."""
    letter = read_letter(reply.message.content)
    if letter is None:
        return unread(reply, "no words announce a letter")
    gold = right_letter(sample, repeat, seed)
    return ScoreRecord(
        "correct" if letter == gold else "wrong", letter, f"read {letter}; {gold} is right"
    )
