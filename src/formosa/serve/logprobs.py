"""Log-probabilities in OpenAI's two shapes: that of chat completions, and the old one.

They are of every token that the model wrote, tags included, so they add up to what it was counted
for. `bytes` says what a token holds where it is half a character.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formosa.engines.protocol import Logprob, TokenLogprob

LOWEST = -9999.0  # for minus infinity, which JSON can't hold; other servers send the same


def chat_logprobs(tokens: Sequence[Logprob]) -> dict[str, Any]:
    """As in `choices[0].logprobs` of a chat completion."""
    content = [
        {**_token(token.chosen), "top_logprobs": [_token(other) for other in token.top]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def text_logprobs(tokens: Sequence[Logprob], offset: int) -> dict[str, Any]:
    """As in `choices[0].logprobs` of a text completion; `offset` is where the text begins, in
    characters."""
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.chosen.text)
    return {
        "tokens": [token.chosen.text for token in tokens],
        "token_logprobs": [_finite(token.chosen.logprob) for token in tokens],
        "top_logprobs": [
            {other.text: _finite(other.logprob) for other in token.top} for token in tokens
        ],
        "text_offset": offsets,
    }


def _token(token: TokenLogprob) -> dict[str, Any]:
    return {
        "token": token.text,
        "logprob": _finite(token.logprob),
        "bytes": list(token.bytes),
    }


def _finite(value: float) -> float:
    return value if value > LOWEST else LOWEST
