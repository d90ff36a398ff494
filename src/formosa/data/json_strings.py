"""Change strings inside JSON text, and leave every other byte of it as it is.

    rewrite_strings('{"城市": "台北",  "n": 1.0}', str.upper)

Reading and writing JSON anew would also change spaces, the spelling of numbers and escapes, which
are what a model learns. Keys are never changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterator
from typing import Any

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)


def rewrite_strings(
    text: str, change: Callable[[str], str], *, under: Container[str] | None = None
) -> str:
    """JSON text with `change` applied to its strings, but not to its keys.

    Args:
        text: valid JSON.
        change: gets a string as it reads, without escapes, and returns what it shall be.
        under: only strings whose nearest key is one of these: `"k": "…"`, or in a list under `k`.
    """
    parts: list[str] = []
    keys: list[str] = []  # the key that is read in each object or list around this place
    objects: list[bool] = []
    value = False  # whether what comes next in the innermost object is a value
    end = 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token[0] == '"':
            if objects and objects[-1] and not value:
                keys[-1] = json.loads(token, strict=False)
            elif under is None or (keys and keys[-1] in under):
                before = json.loads(token, strict=False)
                after = change(before)
                if after != before:
                    made = json.dumps(after, ensure_ascii="\\u" in token)
                    parts += [text[end : match.start()], made]
                    end = match.end()
        elif token == ":":
            value = True
        elif token == ",":
            value = bool(objects) and not objects[-1]
        elif token in "{[":
            # A list passes its key on to what is in it; an object starts anew.
            keys.append("" if token == "{" or not keys else keys[-1])
            objects.append(token == "{")
            value = token == "["
        elif objects:
            keys.pop()
            objects.pop()
    return "".join([*parts, text[end:]])


def strings(value: Any) -> Iterator[str]:
    """Every string in a decoded JSON value, at any depth; keys are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
