"""How each server wants to be told the same thing: sampling, grammars, log-probabilities.

What a server is not known to honour is refused. Most of them answer 200 to anything and leave out
what they do not know, and a reply that was not made as asked looks like one that was.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from formosa.engines.endpoint import Server
from formosa.engines.protocol import Sampling
from formosa.errors import UnsupportedError

GRAMMAR = "%llguidance {}\n"  # how llama.cpp tells our grammars from its own
# llama.cpp's samplers in the usual order (transformers, vLLM): temperature first, then the cuts.
SAMPLERS = ["penalties", "temperature", "top_k", "top_p", "min_p"]
# The likeliest token alone (top_k 1): temperature 0 says the same, and computes the probability of
# every token of the vocabulary meanwhile, which a small model with a large one feels.
GREEDY_SAMPLERS = ["penalties", "top_k"]
PROBE = "\u2603"  # a snowman: no model begins a reply with one unless it has to
PROBE_TOKENS = 4  # a character may be several tokens
KEPT = 1000  # grammars that are remembered
_START = re.compile(r"^start\s*:", re.MULTILINE)

_BEYOND_OPENAI = ("top_k", "min_p", "repetition_penalty")


def asks_for_more(sampling: Sampling) -> bool:
    """Whether it matters which program answers."""
    values = [getattr(sampling, name) for name in (*_BEYOND_OPENAI, "grammar", "logprobs")]
    return any(value is not None for value in values)


def sampling_fields(sampling: Sampling, server: Server, *, who: str) -> dict[str, Any]:
    """What was asked for, and nothing else: the rest is the server's default.

    Raises:
        UnsupportedError: the server is not known to honour something.
    """
    body: dict[str, Any] = {"temperature": sampling.temperature}
    for name in ("top_p", "seed", "max_tokens", "presence_penalty", "frequency_penalty"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias.items()}
    for name in _BEYOND_OPENAI:
        value = getattr(sampling, name)
        if value is not None:
            if server.kind == "unknown":
                raise UnsupportedError(name, f"{who} is not known to honour it")
            theirs = server.kind == "llama.cpp" and name == "repetition_penalty"
            body["repeat_penalty" if theirs else name] = value
            if theirs:
                body["repeat_last_n"] = -1
    return body


def neutral_fields(server: Server) -> dict[str, Any]:
    """What "nothing was asked for" is to a server with defaults of its own.

    llama.cpp cuts where nothing is said (top_k 40, top_p 0.95, min_p 0.05) and has temperature
    last; vLLM takes what a model folder's generation_config.json says, penalties included.
    """
    if server.kind == "llama.cpp":
        return {
            "samplers": SAMPLERS,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
        }
    if server.kind == "vllm":
        return {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
    return {}


def grammar_fields(grammar: str, server: Server, *, who: str) -> dict[str, Any]:
    """How a server of this kind is told a grammar.

    Raises:
        UnsupportedError: it is not known to follow grammars of ours.
    """
    if server.kind == "llama.cpp":
        return {"grammar": GRAMMAR + grammar}
    if server.kind == "vllm" and server.version < (0, 11):
        return {"guided_grammar": grammar}  # ignored without a word from 0.12 on
    if server.kind in ("vllm", "formosa"):
        return {"structured_outputs": {"grammar": grammar}}
    raise UnsupportedError(
        "grammar",
        f"{who} is not known to follow grammars",
        "serve the model with llama.cpp, vLLM or Formosa",
    )


def text_logprob_fields(sampling: Sampling, server: Server, *, ids: bool) -> dict[str, Any]:
    """How `/v1/completions` is asked for log-probabilities. `ids`: tokens are known by number.

    Raises:
        UnsupportedError: the server would not report the model's own.
    """
    if sampling.logprobs is None:
        return {}
    if server.kind == "vllm" and sampling.grammar is not None:
        raise UnsupportedError(
            "logprobs", "vLLM reports what the grammar left over, not what the model thinks"
        )
    # llama.cpp takes 0 for "none"
    fields: dict[str, Any] = {"logprobs": max(sampling.logprobs, server.kind == "llama.cpp")}
    if server.kind == "vllm" and ids:
        fields["return_tokens_as_token_ids"] = True
    return fields


def probe(grammar: str) -> str:
    """The same grammar with a snowman in front: what a server writes under it shows whether it
    follows. llama.cpp says nothing when it can't read a grammar, and writes freely.

    Raises:
        UnsupportedError: it has no rule `start`.
    """
    begun, found = _START.subn(f'start: "{PROBE}" formosa_start\nformosa_start:', grammar, count=1)
    if not found:
        raise UnsupportedError("grammar", "it has no rule called start")
    return begun


def with_end(grammar: str, ends: Iterable[str]) -> str:
    """The same grammar, behind which the model may write a control token that ends its turn.

    llama.cpp lets through one token as the end of a grammar, and where a file does not say which
    (`eot_token_id`, which few have) it takes what it finds first: `<|endoftext|>` for SmolLM2. Then
    a model that ends its turns with `<|im_end|>` can't end, and writes call after call.

    Args:
        grammar: in llguidance's Lark; one without a rule `start` is left as it is.
        ends: names of control tokens.
    """
    tokens = " | ".join(ends)
    if not tokens:
        return grammar
    return _START.sub(f"start: formosa_reply ({tokens})?\nformosa_reply:", grammar, count=1)


class FollowedGrammars:
    """The grammars that a llama.cpp was seen to follow, so that each is tried once."""

    def __init__(self) -> None:
        self._followed: set[str] = set()

    async def check(self, grammar: str, write: Callable[[str], Awaitable[object]]) -> None:
        """Try a grammar that was not tried yet.

        Args:
            grammar: in llguidance's Lark.
            write: writes up to `PROBE_TOKENS` tokens, the likeliest ones, under the grammar that it
                is given, and returns them as text. Where its prompt is that of the request, it
                need not be read again.

        Raises:
            UnsupportedError: the snowman did not come, so the grammar is not followed.
        """
        if grammar in self._followed:
            return
        if not str(await write(probe(grammar))).startswith(PROBE):
            raise UnsupportedError(
                "grammar",
                "llama.cpp can't follow it",
                "a JSON schema with fewer keywords may help, such as a simpler `pattern`",
            )
        if len(self._followed) >= KEPT:
            self._followed.clear()
        self._followed.add(grammar)
