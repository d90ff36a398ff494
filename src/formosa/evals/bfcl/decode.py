"""A reply → the calls that the checker reads, or the reason why there are none.

The calls were found by whoever served the reply (our parser, or a foreign server's); here only
their arguments are read as JSON. How much a decoder forgives moves a score by up to nine points, so
it has a name, and failures to decode are counted by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from formosa.chat.message import Message
from formosa.chat.reply import Defect
from formosa.evals.bfcl.verdict import show

DECODER = "tool-calls/1"
"""The structured `tool_calls` of the reply; raise the number when its reading changes."""


class Decoded(NamedTuple):
    """`calls` as `[{name: arguments}, …]`, or None and the reason.

    The arguments are any JSON value: that they are an object is a rule of the checker.
    """

    calls: list[dict[str, Any]] | None
    reason: str = ""


def decode(message: Message, defects: Sequence[Defect] = ()) -> Decoded:
    """Read the calls of a reply, in their order. One that cannot be read fails the whole reply.

    Args:
        message: the reply.
        defects: what the parser could not read as a call; only for the reason.
    """
    if not message.tool_calls:
        if defects:
            return Decoded(None, f"a malformed call: {defects[0].problem}")
        if message.content.strip():
            return Decoded(None, f"text instead of a call: {show(message.content.strip())}")
        return Decoded(None, "an empty reply")
    calls: list[dict[str, Any]] = []
    for call in message.tool_calls:
        try:
            # Not call.values(): numbers of thousands of digits are a plain ValueError.
            calls.append({call.name: json.loads(call.arguments)})
        except (ValueError, RecursionError) as error:
            return Decoded(None, f"the arguments of {show(call.name)} are not JSON: {error}")
    return Decoded(calls)
