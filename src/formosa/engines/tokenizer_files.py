"""The chat template and the tokens of a checkpoint folder, read without transformers.

Knows `chat_template.jinja`, `tokenizer_config.json` and `tokenizer.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from formosa.chat.template import ChatTemplate
from formosa.engines.vocabulary import Vocabulary
from formosa.errors import ModelError


def read_template(folder: Path) -> ChatTemplate | None:
    """The folder's own chat template; None if it has none.

    Raises:
        ModelError: a file is damaged.
        UserError: the template is not Jinja.
    """
    config = _read(folder / "tokenizer_config.json")
    source = config.get("chat_template")
    if isinstance(source, list):  # several, by name
        named = {item.get("name"): item.get("template") for item in source}
        source = named.get("tool_use") or named.get("default")
    file = folder / "chat_template.jinja"
    if file.exists():
        source = file.read_text(encoding="utf-8")
    if not isinstance(source, str):
        return None
    bos, eos = _text(config.get("bos_token")), _text(config.get("eos_token"))
    return ChatTemplate.from_source(source, bos_token=bos, eos_token=eos)


def read_vocabulary(folder: Path) -> Vocabulary | None:
    """The tokens of the folder's `tokenizer.json`; None if there is none.

    Raises:
        ModelError: the file is damaged.
    """
    value = _read(folder / "tokenizer.json")
    return Vocabulary.from_tokenizer(value) if value else None


def _text(token: Any) -> str:
    """A token is written as its text, or as an object with its text and manners."""
    value = token.get("content") if isinstance(token, dict) else token
    return value if isinstance(value, str) else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} can't be read: {error}.", "fetch the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object.", "fetch the model again")
    return value
