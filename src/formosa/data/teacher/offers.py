"""The tools that a row can be about: those of our catalogue, or a user's own.

Knows schemas, and whether a call can be run. Runs nothing of a user's itself: what does is handed
in. Results of the catalogue come from its calculating tools; the others have none.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formosa.chat.message import Tool, ToolCall, json_text
from formosa.data.synth.calculate import CALCULATIONS
from formosa.data.synth.catalogue import ToolSpec, catalogue
from formosa.errors import DataError, MessageError
from formosa.files import explain_read_error

Execute = Callable[[ToolCall], Awaitable[str]]
"""Runs one call; the result as text for a model. Raises DataError where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """A tool, and what is known about it.

    Attributes:
        topic: what questions for it are about, in its language; "" where nobody said.
        field: the part of life that it belongs to; "" where nobody said.
        kin: tools of the same kin could answer each other's questions after a fashion, and are
            never offered together.
        execute: runs a call; None where nothing can.
    """

    tool: Tool
    topic: str = ""
    field: str = ""
    kin: str = ""
    execute: Execute | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters that every call must have."""
        return _parameters(self.tool)[0]

    @property
    def differs(self) -> bool:
        """Whether any number of calls can differ: options soon run out."""
        return _parameters(self.tool)[1]


@functools.lru_cache(maxsize=8192)
def _parameters(tool: Tool) -> tuple[tuple[str, ...], bool]:
    """Those that are required; and whether one is free to have any value."""
    schema = tool.schema()
    required, properties = schema.get("required"), schema.get("properties")
    parts = properties.values() if isinstance(properties, Mapping) else ()
    free = any(
        isinstance(part, Mapping)
        and part.get("type") not in ("boolean", "null")
        and not part.keys() & {"enum", "const"}
        for part in parts
    )
    return tuple(map(str, required)) if isinstance(required, list) else (), free


@functools.cache
def catalogue_offers(language: str) -> tuple[Offer, ...]:
    """The tools of our catalogue that belong to training: its held-out ones are left out, and those
    that could answer anything."""
    return tuple(
        Offer(spec.tool(language), spec.doc.of(language), spec.domain, spec.kin, _calculation(spec))
        for spec in catalogue()
        if not spec.held_out and not spec.general
    )


def own_offers(tools: Iterable[Tool], execute: Execute | None = None) -> tuple[Offer, ...]:
    """A user's tools, each a kin of its own.

    Raises:
        DataError: there is none, or two have the same name.
    """
    offers = tuple(Offer(tool, tool.description, kin=tool.name, execute=execute) for tool in tools)
    names = [offer.tool.name for offer in offers]
    if not names:
        raise DataError("There are no tools.", "name a file that holds some")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"Two tools are named {name}.", "rename one")
    return offers


def read_tools(path: Path) -> tuple[Tool, ...]:
    """The tools of a JSON file: a list of them, or an object with such a list as `tools`.

    Raises:
        DataError: it can't be read, or holds something else.
    """
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(explain_read_error(error, path).message) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}.") from error
    listed = value.get("tools") if isinstance(value, Mapping) else value
    if not isinstance(listed, list):
        raise DataError(f"{path} holds no list of tools.", 'write [{"name": …, "parameters": …}]')
    try:
        return tuple(Tool.from_openai(item, f"tools[{i}]") for i, item in enumerate(listed))
    except MessageError as error:
        raise DataError(f"{path}: {error.message}.") from error


def _calculation(spec: ToolSpec) -> Execute | None:
    if not spec.calc:
        return None
    calculate = CALCULATIONS[spec.calc]

    async def execute(call: ToolCall) -> str:
        try:
            return json_text({"result": calculate(call.values())})
        except (MessageError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise DataError(f"{spec.name}: {type(error).__name__}: {error}.") from error

    return execute
