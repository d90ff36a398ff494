"""The evaluation log (stub; the whole follows)."""

from __future__ import annotations

from typing import Literal, get_args

Outcome = Literal["correct", "wrong", "unparsed", "truncated", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
