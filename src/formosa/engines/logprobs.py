"""Log-probabilities as servers send them, in the shapes of vLLM, OpenAI and llama.cpp.

Knows JSON only. The token that ends a reply writes nothing, and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from formosa.engines.protocol import Logprob, TokenLogprob

Written = Callable[[int], bytes]


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


def from_columns(value: Any, top: int) -> tuple[Logprob, ...]:
    """The columns of `/v1/completions`: `tokens`, `token_logprobs`, `top_logprobs`."""
    if not isinstance(value, Mapping):
        return ()
    rows = zip_longest(
        value.get("tokens") or (),
        value.get("token_logprobs") or (),
        value.get("top_logprobs") or (),
    )
    return tuple(
        Logprob(_plain(text, logprob), _best(others, top))
        for text, logprob, others in rows
        if isinstance(text, str) and isinstance(logprob, int | float)
    )


def _best(others: Any, top: int) -> tuple[TokenLogprob, ...]:
    if not isinstance(others, Mapping):
        return ()
    known = [(text, p) for text, p in others.items() if isinstance(p, int | float)]
    ordered = sorted(known, key=lambda pair: -pair[1])
    return tuple(_plain(text, p) for text, p in ordered[:top])


def _plain(text: str, logprob: float) -> TokenLogprob:
    """vLLM writes a token that is no whole character as `bytes:\\xe5\\x8f`."""
    if text.startswith("bytes:"):
        data = text.removeprefix("bytes:").encode("ascii", "replace")
        raw = data.decode("unicode_escape").encode("latin-1", "replace")
        return TokenLogprob(raw.decode(errors="replace"), logprob, raw)
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
