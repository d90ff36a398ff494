"""Multiple-choice questions: asked in a seeded order of options, read by `box` and by `pattern`.

One reply, two readings: how the answer is read can move the score of a small model more than its
training does, so both stand side by side. What differs from the protocol that the F1 cards used
(Twinkle Eval, April 2025): the shuffle is seeded by (seed, sample, repeat); the right option is
followed by its position, so equal texts cannot be confused; any number of options from 2 to 26; the
last box counts; spaces, `\\text{}`, case and full width are tolerated; and a reply that cannot be
read, was cut, or never came is not called wrong.

The system prompt is that protocol's, word for word, with the letters of the question at hand. It
comes first and is the same for all questions with as many options, so an engine's prompt cache
serves it.

Knows the text of a question and its scoring. Knows nothing of data files: `mini.py` and others do.
Other ways of asking the same questions are in `logit.py` and `twinkle.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply, Sampling
from formosa.errors import DataError
from formosa.evals.extract import Reading, read_box, read_pattern
from formosa.evals.task import Ask, Asked, Sample, Scorer, ScoreRecord, Task, shuffled, unread

VERSION = 2  # 2: 本題選 B, B 是對的, Ans: B and <answer>B</answer> are read by `pattern`, too

Language = Literal["zh", "en"]

# Raw strings: the model is to see one backslash.
BOX_PROMPTS: Mapping[Language, str] = {
    "zh": r"""使用者將提供一個題目，並附上選項 {letters}
請仔細閱讀題目要求，根據題意選出最符合的選項，並將選項以以下格式輸出：
\box{選項}
請確保僅將選項包含在 { } 中，否則將不計算為有效答案。
務必精確遵循輸出格式，避免任何多餘內容或錯誤格式。""",
    "en": r"""The user will provide a question along with options {letters}.
Please read the question carefully and select the option that best fits the requirements.
Output the selected option in the following format:
\box{Option}
Make sure to include only the option within the curly braces; otherwise, it will not be considered a valid answer.
Strictly follow the output format and avoid any extra content or incorrect formatting.""",  # noqa: E501
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A question, its options in the order of the data, and the position of the right one.

    Raises:
        DataError: fewer than 2 or more than 26 options, or no right one.
    """

    question: str
    options: tuple[str, ...]
    right: int

    def __post_init__(self) -> None:
        if not 2 <= len(self.options) <= len(ascii_uppercase):
            raise DataError(
                f"A question must have 2 to 26 options, not {len(self.options)}: {self.question!r}"
            )
        if not 0 <= self.right < len(self.options):
            raise DataError(f"The right option of {self.question!r} is none of its options.")

    @property
    def letters(self) -> str:
        return ascii_uppercase[: len(self.options)]


@dataclass(frozen=True)
class ChoiceSet:
    """A data set of such questions, before it is decided how they are asked.

    Attributes:
        name: of the task that asks them by the protocol of this module.
        prompt: the language of our system prompts.
        source, revision, licence, language: see `Task`.
    """

    name: str
    samples: Sequence[Sample[Choice]]
    prompt: Language
    source: str
    revision: str
    licence: str
    language: str

    def task(
        self,
        name: str,
        *,
        version: int,
        ask: Ask[Choice],
        scorers: Mapping[str, Scorer[Choice]],
        decoder: str,
        needs: Callable[[Sampling], Sampling] | None = None,
    ) -> Task[Choice]:
        """These questions, asked and scored in some way."""
        return Task(
            name=name,
            version=version,
            source=self.source,
            revision=self.revision,
            licence=self.licence,
            language=self.language,
            samples=self.samples,
            ask=ask,
            scorers=scorers,
            decoder=decoder,
            needs=needs,
        )


def choice_task(questions: ChoiceSet, name: str = "") -> Task[Choice]:
    """The questions with the system prompt that asks for a box, read as `box` and as `pattern`."""

    def ask(sample: Sample[Choice], repeat: int, seed: int) -> Asked:
        return ask_choice(sample, repeat, seed, questions.prompt)

    return questions.task(
        name or questions.name,
        version=VERSION,
        ask=ask,
        scorers=own_scorers(),
        decoder="last box; last announced letter",
    )


def own_scorers() -> dict[str, Scorer[Choice]]:
    """Our two readings of one reply; `box` is the main one."""
    return {"box": _scorer(read_box), "pattern": _scorer(read_pattern)}


def order(sample: Sample[Choice], repeat: int, seed: int) -> list[int]:
    """The position in the data of the option that stands under A, B, …"""
    return shuffled(range(len(sample.content.options)), seed, sample.id, repeat)


def right_letter(sample: Sample[Choice], repeat: int, seed: int) -> str:
    """The letter under which the right option stands this time."""
    return ascii_uppercase[order(sample, repeat, seed).index(sample.content.right)]


def ask_choice(sample: Sample[Choice], repeat: int, seed: int, prompt: Language) -> Asked:
    """The system prompt, and the question with its options, one a line."""
    return Asked(
        (
            Message("system", system_prompt(sample.content.letters, prompt)),
            Message("user", user_text(sample, repeat, seed)),
        ),
        gold=right_letter(sample, repeat, seed),
    )


def user_text(sample: Sample[Choice], repeat: int, seed: int) -> str:
    """The question with its options in this time's order, one a line."""
    choice = sample.content
    places = order(sample, repeat, seed)
    lines = [
        f"{letter}: {choice.options[i]}" for letter, i in zip(choice.letters, places, strict=True)
    ]
    return "\n".join([choice.question, *lines])


def system_prompt(letters: str, prompt: Language) -> str:
    """The instruction to answer in a box, naming the letters."""
    return BOX_PROMPTS[prompt].replace("{letters}", named_letters(letters, prompt))


def named_letters(letters: str, prompt: Language) -> str:
    """`A、B、C、D` or `A, B, C, and D`."""
    if prompt == "zh":
        return "、".join(letters)
    if len(letters) == 2:
        return " and ".join(letters)
    return ", ".join(letters[:-1]) + f", and {letters[-1]}"


def _scorer(read: Callable[[str, str], Reading]) -> Scorer[Choice]:
    def scorer(sample: Sample[Choice], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
        if not reply.message.content.strip():
            return unread(reply, "the reply has no text outside its reasoning")
        letter, where = read(reply.message.content, sample.content.letters)
        if letter is None:
            return unread(reply, where)
        gold = right_letter(sample, repeat, seed)
        outcome: Literal["correct", "wrong"] = "correct" if letter == gold else "wrong"
        return ScoreRecord(outcome, letter, f"read {letter} from “{where}”; {gold} is right")

    return scorer
