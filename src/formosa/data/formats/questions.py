"""`squad` and `gsm8k`: a question that somebody wrote the answer to.

`squad`: a passage, a question below it, and the first of its answers, word for word from the
passage (SQuAD, DRCD). Either a row for each question, or SQuAD's own articles, which hold many. A
question without an answer is refused. Titles and places of the answers are left out.

`gsm8k`: `question` and `answer` with its last line `#### 72`. The `<<48/2=24>>` marks are notes for
a calculator, no words, and are taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from formosa.chat.message import Message
from formosa.data.formats.draft import Draft, Format, Row
from formosa.data.formats.fields import id_of, list_of, mapping_of, text_of
from formosa.data.formats.problems import NO_ANSWER, RowError

_CALCULATION = re.compile(r"<<[^<>\n]*>>")
_LAST_LINE = re.compile(r"\n####[ \t]*\S[^\n]*\s*\Z")


def _is_squad(value: Row) -> bool:
    if isinstance(value.get("paragraphs"), list):
        return True
    return (
        isinstance(value.get("context"), str)
        and isinstance(value.get("question"), str)
        and isinstance(value.get("answers"), list | Mapping)
    )


def _explode(value: Row, where: str) -> Iterator[tuple[str, Row]]:
    """The questions of an article; a row for one question is that row."""
    paragraphs = value.get("paragraphs")
    if not isinstance(paragraphs, list):
        yield where, value
        return
    others = {key: item for key, item in value.items() if key not in ("paragraphs", "id")}
    for i, paragraph in enumerate(paragraphs):
        place = f"{where} paragraph {i + 1}"
        listed = paragraph.get("qas") if isinstance(paragraph, Mapping) else None
        if not isinstance(listed, list):
            yield place, {"paragraphs": "without questions"}  # refused as no row of this format
            continue
        shared = {**others, **{k: v for k, v in paragraph.items() if k not in ("qas", "id")}}
        for j, question in enumerate(listed):
            row = {**shared, **question} if isinstance(question, Mapping) else {"qas": question}
            yield f"{place} question {j + 1}", row


def _convert_squad(value: Row, setting: Any) -> Draft:
    answers = value.get("answers")
    if isinstance(answers, Mapping):
        texts = list_of(answers.get("text"), "answers.text")
    else:
        texts = [
            mapping_of(item, f"answers[{i}]").get("text")
            for i, item in enumerate(list_of(answers, "answers"))
        ]
    if not texts or value.get("is_impossible"):
        raise RowError("answers", "there is no answer", NO_ANSWER)
    question = f"{value['context'].strip()}\n\n{value['question'].strip()}"
    return Draft(
        messages=(
            Message("user", question),
            Message("assistant", text_of(texts[0], "answers[0].text")),
        ),
        id=id_of(value.get("id")),
    )


def _is_gsm8k(value: Row) -> bool:
    answer = value.get("answer")
    return (
        isinstance(value.get("question"), str)
        and isinstance(answer, str)
        and bool(_LAST_LINE.search(answer))
    )


def _convert_gsm8k(value: Row, setting: Any) -> Draft:
    answer = _CALCULATION.sub("", value["answer"]).strip()
    return Draft(messages=(Message("user", value["question"]), Message("assistant", answer)))


SQUAD = Format(
    name="squad",
    about="passages with questions (SQuAD, DRCD)",
    fields=frozenset({"context", "question", "answers", "id", "paragraphs", "is_impossible"}),
    leaves=frozenset({"title", "answer_start", "plausible_answers"}),
    fits=_is_squad,
    convert=_convert_squad,
    explode=_explode,
)
GSM8K = Format(
    name="gsm8k",
    about="arithmetic problems with worked steps (GSM8K)",
    fields=frozenset({"question", "answer"}),
    fits=_is_gsm8k,
    convert=_convert_gsm8k,
)
