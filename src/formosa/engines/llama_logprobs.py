"""Log-probabilities of every token that llama.cpp wrote, also of those that it does not report.

Its server keeps a token to itself while the text ends inside a character, and reports only the one
that completes it. In Chinese text that is every second or third token. How many were kept back is
known (`timings_per_token`), and so are their bytes: what is missing before the token that completes
the character. So they are asked for afterwards, one evaluated token each, since everything before
is in the prompt cache. From the first gap on, log-probabilities come with the last piece.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from formosa.engines.logprobs import Ledger, from_content
from formosa.engines.protocol import Logprob
from formosa.engines.vocabulary import Vocabulary
from formosa.errors import EngineError

# What llama.cpp answers to a body with a prompt of token ids.
Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
_UNKNOWN = "llama.cpp does not tell which tokens it wrote here."
_DEPTHS = (20, 2000, 1_000_000)  # how many alternatives are looked through for a token


class WrittenTokens:
    """The tokens of one reply.

    Args:
        vocabulary: what each of them writes.
        top: how many alternatives were asked for.
    """

    def __init__(self, vocabulary: Vocabulary, top: int) -> None:
        self._vocabulary = vocabulary
        self._top = top
        self._ledger = Ledger()
        self._tokens: list[Logprob | None] = []  # None: kept back
        self._text = b""
        self._first_gap: int | None = None

    def feed(self, event: dict[str, Any], text: str) -> tuple[Logprob, ...]:
        """The tokens of an event of llama.cpp's stream that can be handed on."""
        self._text += text.encode()
        sent = event.get("completion_probabilities")
        new = from_content(sent, self._top, self._vocabulary.written)
        count = (event.get("timings") or {}).get("predicted_n") or 0
        missing = max(count - len(self._tokens) - len(new), 0) if new else 0
        if missing and self._first_gap is None:
            self._first_gap = len(self._tokens)
        self._tokens += [None] * missing
        self._tokens += new
        return self._ledger.feed(new if self._first_gap is None else (), text)

    async def rest(self, prompt: list[int], ask: Ask) -> tuple[Logprob, ...]:
        """The tokens from the first gap on, with those that were kept back.

        Raises:
            EngineError: which tokens those were can't be told from the text.
        """
        if self._first_gap is None:
            return ()
        ids = self._ids()
        whole: list[Logprob] = []
        # From the end, so that everything before is still in the cache.
        for i in reversed(range(self._first_gap, len(ids))):
            known = self._tokens[i]
            whole.append(known or await self._asked_for(ids[i], [*prompt, *ids[:i]], ask))
        return self._ledger.feed(reversed(whole), "")

    def _ids(self) -> list[int]:
        """The ids of all tokens; those that were kept back are found by their bytes."""
        ids: list[int] = []
        place = waiting = 0
        for token in self._tokens:
            if place >= len(self._text):  # a stop text, or the end
                break
            if token is None:
                waiting += 1
                continue
            data = token.chosen.bytes
            if waiting:
                gap = self._gap(place, waiting, data)
                found = next(self._splits(gap, waiting), None)
                if found is None:
                    raise EngineError(_UNKNOWN)
                ids += found
                place += len(gap)
                waiting = 0
            ids.append(-1 if token.chosen.id is None else token.chosen.id)
            place += len(data)
        return ids

    def _gap(self, place: int, count: int, completes: bytes) -> bytes:
        """The bytes of `count` tokens before the one that completes a character."""
        for length in range(count, 4 * count + 1):
            end = place + length + len(completes)
            begins = end >= len(self._text) or self._text[end] & 0xC0 != 0x80
            if begins and self._text[place + length : end] == completes:
                return self._text[place : place + length]
        raise EngineError(_UNKNOWN)

    def _splits(self, data: bytes, count: int) -> Iterator[list[int]]:
        """Each way to write `data` with so many tokens, long ones first."""
        if count == 0:
            if not data:
                yield []
            return
        for length in range(len(data), 0, -1):
            id = self._vocabulary.ids.get(data[:length])
            if id is not None:
                for rest in self._splits(data[length:], count - 1):
                    yield [id, *rest]

    async def _asked_for(self, id: int, before: list[int], ask: Ask) -> Logprob:
        """What the model thought of a token there. Another one is written, which gets reported."""
        other = self._vocabulary.ids.get(b".", 0)
        for depth in _DEPTHS:
            answer = await ask(
                {
                    "prompt": before,
                    "n_predict": 1,
                    "n_probs": max(depth, self._top),
                    "temperature": 0.0,
                    "logit_bias": [[other, 1000.0]],
                    "grammar": "",
                    "stop": [],
                }
            )
            sent = answer.get("completion_probabilities")
            for found in from_content(sent, depth, self._vocabulary.written):
                match = [token for token in found.top if token.id == id]
                if match:
                    return Logprob(match[0], found.top[: self._top])
        raise EngineError(_UNKNOWN)
