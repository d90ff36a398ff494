"""Tokens and money: an upper estimate before the first request, the sum after the last.

Prices are for a million tokens, in whatever currency they were given. What an endpoint charges less
for (a cached prompt) is counted in full, so the sum is never too low; answers whose endpoint does
not say their tokens are counted apart. The estimate takes a token for two bytes of what is sent,
which is more than current tokenizers make of English, JSON or Chinese, and takes every reply to be
as long as it may be. Requests that failed and were sent again are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from formosa.chat.message import Message
from formosa.data.teacher.checks import LONGEST
from formosa.data.teacher.config import TeacherConfig
from formosa.data.teacher.prompts import answer_request, question_request, reply_request
from formosa.data.teacher.seeds import Seed
from formosa.engines.protocol import ChatRequest

BYTES = 2  # of what is sent, for a token
AROUND = 16  # tokens that a chat template puts around a message or a tool
RESULT = 2000  # characters of a tool's result that the teacher is shown
MILLION = 1_000_000


@dataclass(slots=True)
class Tokens:
    """Tokens of requests and of replies, as the endpoint counted them.

    Attributes:
        unknown: answers whose endpoint did not say.
    """

    prompt: int = 0
    reply: int = 0
    requests: int = 0
    unknown: int = 0

    def add(self, prompt: int | None, reply: int | None) -> None:
        """One answer."""
        self.requests += 1
        if prompt is None or reply is None:
            self.unknown += 1
        else:
            self.prompt += prompt
            self.reply += reply


@dataclass(frozen=True, slots=True)
class Prices:
    """For a million tokens; None where nobody said."""

    prompt: float | None = None
    reply: float | None = None

    def of(self, tokens: Tokens) -> float | None:
        """The money for these tokens; None without both prices."""
        if self.prompt is None or self.reply is None:
            return None
        return (tokens.prompt * self.prompt + tokens.reply * self.reply) / MILLION


def estimate(seeds: Iterable[Seed], config: TeacherConfig) -> Tokens:
    """The most that the seeds are thought to take."""
    found = Tokens()
    for seed in seeds:
        words = "字" * LONGEST
        asked = [question_request(seed, config), *(
            reply_request(seed, config, words, sample) for sample in (1, 2)
        )]  # fmt: skip
        for request in asked:
            found.add(_upper(request), config.max_tokens)
        if seed.calls and all(offer.execute for offer in seed.needed):
            request = answer_request(seed, config, (Message("user", words),))
            more = seed.calls * (RESULT * 3 // BYTES + AROUND) + config.max_tokens
            found.add(_upper(request) + more, config.max_tokens)
    return found


def _upper(request: ChatRequest) -> int:
    sent: list[Any] = [message.to_openai() for message in request.messages]
    sent += [tool.to_openai() for tool in request.tools]
    size = len(json.dumps(sent, ensure_ascii=False).encode())
    return size // BYTES + AROUND * (len(sent) + 1)
