"""Make a server's model say exactly given words, by what its API allows.

Tried in this order, each with a sentence that no model says by itself:

- `structured_outputs: {"choice": [text]}` (vLLM, Formosa), or `guided_choice` (vLLM before 0.12);
- `logit_bias`, where the server's model is the parrot of `parrot.py`.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from formosa.serve.conformance.exchange import Answer, Server
from formosa.serve.conformance.parrot import OPEN_THINKING, Parrot
from formosa.serve.conformance.vectors import PROBE_TEXT, Vector, tools, vectors

Way = Literal["choice", "parrot"]
LONGEST = 700  # tokens, more than any scripted reply has
TRIES = 3  # a busy server may cut the same text into other tokens


class Steering(Protocol):
    """A way to make a model say a text."""

    name: str

    def fields(self, vector: Vector) -> dict[str, Any] | str:
        """What a request must hold, or why it can't be said."""
        ...

    def was_said(self, vector: Vector, finish: str | None, tokens: int | None) -> bool:
        """Whether the model wrote the whole text, as far as its number of tokens tells."""
        ...


class Choice:
    """Guided decoding that leaves one text to choose."""

    def __init__(self, server: Server, *, old: bool = False) -> None:
        self.name = "guided_choice" if old else "structured_outputs.choice"
        self._server = server
        self._old = old
        self._cuts: dict[str, int] = {}  # tokens of the texts that are cut
        self._end: int | None = None
        self._opens: bool | None = None  # whether the prompt can open a think block; not known yet

    def _guided(self, text: str) -> dict[str, Any]:
        if self._old:
            return {"guided_choice": [text]}
        return {"structured_outputs": {"choice": [text]}}

    def fields(self, vector: Vector) -> dict[str, Any] | str:
        fields = self._guided(vector.text)
        if vector.opened:
            if not self._can_open():
                return "the prompt can't be made to open a think block"
            fields["chat_template_kwargs"] = {OPEN_THINKING: True}
        if not vector.cut:
            return {**fields, "max_tokens": LONGEST}
        # As many tokens as the text has. The tools are there too: other prompts, other tokens.
        count = _count(self._server.ask(**fields, max_tokens=LONGEST, tools=tools()))
        end = self._tokens_of_the_end()
        if count is None or end is None:
            return "it can't be told how many tokens the text has"
        self._cuts[vector.id] = count - end
        return {**fields, "max_tokens": count - end}

    def _tokens_of_the_end(self) -> int | None:
        """1 where the token that ends the turn is counted, 0 where it is not."""
        fields = self._guided(PROBE_TEXT)
        for _ in range(TRIES if self._end is None else 0):
            count = _count(self._server.ask(**fields, max_tokens=LONGEST))
            for end in (1, 0) if count else ():
                said = self._server.ask(**fields, max_tokens=(count or 1) - end).said()
                if said.finish == "length" and PROBE_TEXT in (said.content, said.reasoning):
                    self._end = end
                    return end
        return self._end

    def _can_open(self) -> bool:
        """Whether the template knows the parrot's variable: then the prompt is longer with it."""
        if self._opens is None:
            lengths = []
            for opened in (False, True):
                extra = {"chat_template_kwargs": {OPEN_THINKING: opened}}
                usage = self._server.ask(**extra, max_tokens=1).fields.get("usage")
                lengths.append(usage.get("prompt_tokens") if isinstance(usage, dict) else None)
            self._opens = lengths[0] != lengths[1]
        return self._opens

    def was_said(self, vector: Vector, finish: str | None, tokens: int | None) -> bool:
        if tokens is None:
            return True
        return tokens == self._cuts[vector.id] if vector.cut else tokens < LONGEST


def _count(answer: Answer) -> int | None:
    usage = answer.fields.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None


class Parroting:
    """The server's model is the parrot."""

    name = "parrot"

    def __init__(self, parrot: Parrot) -> None:
        self._parrot = parrot

    def fields(self, vector: Vector) -> dict[str, Any] | str:
        return self._parrot.body(vector.text, cut=vector.cut, opened=vector.opened)

    def was_said(self, vector: Vector, finish: str | None, tokens: int | None) -> bool:
        if tokens is None:
            return True
        count = len(self._parrot.lines[vector.text].ids)
        return tokens == count if vector.cut else tokens in (count, count + 1)


def suite_parrot() -> Parrot:
    """The parrot that says all scripted replies of this suite."""
    return Parrot([PROBE_TEXT, *(vector.text for vector in vectors())])


def find_steering(server: Server, by: Way | None = None) -> Steering | None:
    """The first way that works on this server, or None. `by` tries that one only."""
    for old in (False, True) if by != "parrot" else ():
        way = Choice(server, old=old)
        if _says(server, **way._guided(PROBE_TEXT), max_tokens=LONGEST):
            return way
    if by == "choice":
        return None
    parrot = suite_parrot()
    if _says(server, **parrot.body(PROBE_TEXT)):
        return Parroting(parrot)
    return None


def _says(server: Server, **fields: Any) -> bool:
    said = server.ask(**fields).said()
    return PROBE_TEXT in (said.content.strip(), said.reasoning.strip())
