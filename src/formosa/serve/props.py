"""`/props`: what a person or a program wants to know about this server, and nothing secret.

Names of files, never the folders they are in; addresses, never what stands before their `@`.
"""

from __future__ import annotations

import platform
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import formosa
from formosa.engines.protocol import ModelInfo
from formosa.serve.chat import effort_variable
from formosa.serve.served import Served

_SECRET = ("key", "token", "secret", "password", "authorization")


def model_props(served: Served) -> dict[str, Any]:
    """What there is to know about one model."""
    info = served.chat.info
    return {
        "name": served.name,
        "model": info.name,
        "file": PurePath(info.path).name if info.path else None,
        "sha256": info.sha256,
        "context": info.context,
        "details": _public(info.details),
        "template": _template(info),
        "control_tokens": sorted(info.control_tokens),
        "limits": {"running": served.queue.most_running, "waiting": served.queue.most_waiting},
        "running": served.queue.running,
        "waiting": served.queue.waiting,
        "raw_text": served.engine is not None,
    }


def versions() -> dict[str, str]:
    return {"formosa": formosa.__version__, "python": platform.python_version()}


def _template(info: ModelInfo) -> dict[str, Any] | None:
    template = info.template
    if template is None:
        return None
    return {
        "sha256": template.sha256,
        "formosa": template.native,
        "stop": template.stop,
        "source": template.source,
        "thinking": effort_variable(info),  # how `reasoning_effort` is said to it; null: not at all
    }


def _public(value: Any) -> Any:
    if isinstance(value, dict) or hasattr(value, "items"):
        return {
            str(key): _public(item)
            for key, item in value.items()
            if not any(word in str(key).lower() for word in _SECRET)
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_public(item) for item in value]
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, str):
        if "://" in value:
            parts = urlsplit(value)
            return urlunsplit((parts.scheme, parts.netloc.rsplit("@", 1)[-1], parts.path, "", ""))
        return PurePath(value).name if value.startswith(("/", "~")) else value
    return value if isinstance(value, int | float | bool | None) else str(value)
