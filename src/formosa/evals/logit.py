"""Multiple choice read from the model's own probabilities: the likeliest letter of the options.

No text is read: what is compared is the log-probability of each option's letter as the first token
of the reply, after a prompt that asks for the letter alone. Four tokens are generated, since
engines tell of a token when its characters are there, and the first may be a quarter of one. It is
the quickest reading, it has no format to fail, and it tells a model that knows from one that can
follow the format. It is another question than `box`, so their scores are not to be compared as if
only the reading differed; nor with published log-likelihood scores that continue a plain text
`Answer:` (lm-eval, Twinkle Eval 2.x), since a chat template stands around ours.

A letter may be several tokens (`B`, ` B`); the likeliest one counts. Servers tell only the `TOP`
likeliest tokens. A letter that is not among them is less likely than each that is, so it cannot be
the answer as long as one letter is there: that is no guess, and `why` names the missing ones. If
none is there, or two share the first place, the reply is `unparsed`; so it is with models that
begin every reply with a thought.

Knows log-probabilities. An engine that cannot give them refuses the request.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply, Sampling
from formosa.evals.choice import Choice, ChoiceSet, Language, named_letters, right_letter, user_text
from formosa.evals.task import Asked, Sample, ScoreRecord, Task

VERSION = 1

TOKENS = 4  # of UTF-8 in one character, at most
TOP = 20  # tokens beside the chosen one; the most that OpenAI's protocol allows

PROMPTS: Mapping[Language, str] = {
    "zh": "使用者將提供一個題目，並附上選項 {letters}\n請只輸出正確選項的字母，不要輸出其他內容。",
    "en": "The user will provide a question along with options {letters}.\n"
    "Output only the letter of the correct option and nothing else.",
}


def logit_task(questions: ChoiceSet, name: str) -> Task[Choice]:
    """The questions, with the scorer `logit`."""

    def ask(sample: Sample[Choice], repeat: int, seed: int) -> Asked:
        prompt = PROMPTS[questions.prompt].replace(
            "{letters}", named_letters(sample.content.letters, questions.prompt)
        )
        return Asked(
            (Message("system", prompt), Message("user", user_text(sample, repeat, seed))),
            gold=right_letter(sample, repeat, seed),
        )

    return questions.task(
        name,
        version=VERSION,
        ask=ask,
        scorers={"logit": logit_scorer},
        decoder=f"log-probability of the letter among the {TOP} likeliest first tokens",
        needs=first_character,
    )


def first_character(sampling: Sampling) -> Sampling:
    """What the reading needs: the tokens of one character, and the likeliest beside each."""
    return replace(
        sampling, temperature=0.0, max_tokens=TOKENS, logprobs=TOP, stop=(), grammar=None
    )


def letter_logprobs(reply: ChatReply, letters: str) -> dict[str, float]:
    """Letter → its natural log-probability as the first token, best first; those that were told."""
    if not reply.logprobs:
        return {}
    first = reply.logprobs[0]
    best: dict[str, float] = {}
    for token in (first.chosen, *first.top):
        letter = unicodedata.normalize("NFKC", token.text).strip()
        if len(letter) == 1 and letter in letters:
            best[letter] = max(token.logprob, best.get(letter, token.logprob))
    return dict(sorted(best.items(), key=lambda item: (-item[1], item[0])))


def logit_scorer(sample: Sample[Choice], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
    """The likeliest letter, against the right one."""
    letters = sample.content.letters
    if not reply.logprobs:
        return ScoreRecord(
            "unparsed", None, "nothing was written, or the engine told no log-probabilities"
        )
    told = letter_logprobs(reply, letters)
    missing = [letter for letter in letters if letter not in told]
    if not told:
        why = f"none of {', '.join(letters)} is among the {TOP} likeliest first tokens"
        return ScoreRecord("unparsed", None, why)
    figures = ", ".join(f"{letter} {value:.3f}" for letter, value in told.items())
    if missing:
        figures += f"; {', '.join(missing)} not among the {TOP} likeliest"
    first, *others = told.items()
    if others and others[0][1] == first[1]:
        return ScoreRecord("unparsed", None, f"two letters are equally likely: {figures}")
    gold = right_letter(sample, repeat, seed)
    outcome: Literal["correct", "wrong"] = "correct" if first[0] == gold else "wrong"
    return ScoreRecord(outcome, first[0], f"{figures}; {gold} is right")
