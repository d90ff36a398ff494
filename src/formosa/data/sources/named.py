"""Data sets that are known by a short name: what was seen of them, and so how they are read.

What is written here comes from their public cards. Fields that no card named were not made up: if
such a set has others, reading it says which, and `ignore` takes them. What the recipe sets itself
is never changed.

    tw-reasoning-instruct   card seen: conversations with <think>, input, output, think,
                            converted_text, is_different, format_score, oss_system_prompt; splits
                            train and bad. The single fields repeat the conversation.
    tw-instruct-r1-200k     no card seen. Its predecessor of 90 k rows had conversations and
                            messages side by side: the recipe chooses with format and ignore.
    tw-mm-r1                no card seen.
    tw-function-call-reasoning-10k
                            card seen: id, query, tools (xLAM's short form), query_zhtw, think,
                            answer, messages (Hermes: system with the tools, user, assistant).
    tw-legal-qa-chat        card seen: messages (JSON text) and the same as instruction, input,
                            output; gated, CC BY-NC-ND 4.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from formosa.data.sources.config import SourceConfig
from formosa.wheels import Say


class Known(NamedTuple):
    """A data set and the settings that fit it; empty where nothing is known."""

    repo: str
    settings: Mapping[str, Any]


NAMED: Mapping[str, Known] = {
    "tw-reasoning-instruct": Known(
        "lianghsun/tw-reasoning-instruct",
        {
            "format": "sharegpt",
            "ignore": (
                *("input", "output", "think", "converted_text", "is_different"),
                "oss_system_prompt",
            ),
            "scores": ("format_score",),
        },
    ),
    "tw-instruct-r1-200k": Known("minyichen/tw-instruct-R1-200k", {}),
    "tw-mm-r1": Known("minyichen/tw_mm_R1", {}),
    "tw-function-call-reasoning-10k": Known(
        "twinkle-ai/tw-function-call-reasoning-10k",
        {"format": "hermes", "ignore": ("query", "query_zhtw", "think", "answer")},
    ),
    "tw-legal-qa-chat": Known(
        "lianghsun/tw-legal-qa-chat",
        {"format": "messages", "ignore": ("instruction", "input", "output")},
    ),
}


def resolve(config: SourceConfig, say: Say | None = None) -> SourceConfig:
    """The source with the repository and the settings of a set that is known here.

    A set is known by its short name and by its repository's; anything else is returned as it is.
    """
    wanted = config.hub.lower()
    for name, known in NAMED.items():
        if wanted not in (name, known.repo.lower()):
            continue
        fields = SourceConfig.model_fields  # a default counts as not set: runs write them out
        settings = {
            key: value
            for key, value in known.settings.items()
            if getattr(config, key) == fields[key].default
        }
        if say and settings:
            shown = ", ".join(f"{key} {_text(value)}" for key, value in settings.items())
            say(f"{known.repo} is known here: {shown}")
        return config.model_copy(
            update={**settings, "hub": known.repo, "name": config.name or config.source}
        )
    return config


def _text(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(value)
