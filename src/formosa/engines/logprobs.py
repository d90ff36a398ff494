"""Log-probabilities as servers send them, in the shapes of vLLM, OpenAI and llama.cpp.

Knows JSON only. What is handed on are the tokens of the text: `Ledger` leaves out the token that
ends a reply, and those of a stop text, which servers report and do not write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from formosa.engines.protocol import Logprob, TokenLogprob

Written = Callable[[int], bytes]


class Ledger:
    """Holds tokens back until the text has reached them.

    A token belongs to the text if it begins inside of it.
    """

    def __init__(self) -> None:
        self._text = 0  # bytes that were written
        self._tokens = 0  # bytes of the tokens that were handed on
        self._waiting: deque[Logprob] = deque()

    def feed(self, tokens: Iterable[Logprob], text: str) -> tuple[Logprob, ...]:
        """The tokens that `text`, which follows what was fed before, has reached."""
        self._text += len(text.encode())
        self._waiting.extend(tokens)
        reached = []
        while self._waiting and self._tokens < self._text:
            token = self._waiting.popleft()
            self._tokens += len(token.chosen.bytes)
            reached.append(token)
        return tuple(reached)


def from_content(items: Any, top: int, written: Written | None = None) -> tuple[Logprob, ...]:
    """The list in `logprobs.content` (chat, llama.cpp) or `completion_probabilities` (llama.cpp).

    Args:
        items: what the server sent.
        top: how many alternatives were asked for.
        written: the bytes of a token id, where the vocabulary is known: llama.cpp does not say
            what a token wrote that it held back.
    """
    found = []
    for item in _objects(items):
        others = tuple(_token(other, written) for other in _objects(item.get("top_logprobs")))
        found.append(Logprob(_token(item, written), others[:top]))
    return tuple(found)


def from_columns(value: Any, top: int, written: Written | None = None) -> tuple[Logprob, ...]:
    """The columns of `/v1/completions`: `tokens`, `token_logprobs`, `top_logprobs`."""
    if not isinstance(value, Mapping):
        return ()
    columns = (value.get(key) or () for key in ("tokens", "token_logprobs", "top_logprobs"))
    found = []
    for text, logprob, others in zip_longest(*columns):
        if isinstance(text, str) and isinstance(logprob, int | float):
            pairs = others.items() if isinstance(others, Mapping) else ()
            best = sorted((pair for pair in pairs), key=lambda pair: -pair[1])[:top]
            tokens = tuple(_plain(other, p, written) for other, p in best)
            found.append(Logprob(_plain(text, logprob, written), tokens))
    return tuple(found)


def _plain(text: str, logprob: float, written: Written | None) -> TokenLogprob:
    """A token as text; as `token_id:33` where vLLM was asked for numbers."""
    number = text.removeprefix("token_id:")
    if number != text and number.isdecimal() and written is not None:
        data = written(int(number))
        return TokenLogprob(data.decode(errors="replace"), logprob, data, int(number))
    return TokenLogprob(text, logprob, text.encode())


def _token(item: Mapping[str, Any], written: Written | None) -> TokenLogprob:
    id = item.get("id")
    id = id if isinstance(id, int) else None
    if written is not None and id is not None:
        data = written(id)
        text = data.decode(errors="replace")
    else:
        text = str(item.get("token") or "")
        sent = item.get("bytes")
        data = bytes(sent) if isinstance(sent, list) else text.encode()
    return TokenLogprob(text, float(item.get("logprob") or 0.0), data, id)


def _objects(items: Any) -> Sequence[Mapping[str, Any]]:
    return [item for item in items or () if isinstance(item, Mapping)]
