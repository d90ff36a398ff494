"""Whether two start records are of the same run, and if not, what differs.

Decides which logs may be continued and which may be merged. Knows the start record, and no files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What keeps two start records from being the same run, as `request.max_tokens: 64, now 128`.

    A model that was moved or renamed is still the same where its sha256 is known. The version of
    our code may differ: what changes a score raises the task's version.
    """
    a, b = (json.loads(json.dumps(value)) for value in (old, new))
    hashed = bool(a["model"].get("sha256") and b["model"].get("sha256"))
    fields = [
        (part, key) for part in ("task", "request", "plan") for key in sorted({*a[part], *b[part]})
    ]
    fields += [("model", "sha256" if hashed else "name"), ("model", "template_sha256")]
    found = [
        _difference(f"{part}.{key}", a[part].get(key), b[part].get(key))
        for part, key in fields
        if a[part].get(key) != b[part].get(key)
    ]
    if a["scorers"] != b["scorers"]:
        found.append(_difference("scorers", a["scorers"], b["scorers"]))
    # The plan's hash only repeats what the other fields say, unless it is all that differs.
    others = [text for text in found if not text.startswith("plan.sha256")]
    return others or found


def _difference(name: str, old: Any, new: Any) -> str:
    def short(value: Any) -> str:
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 40 else text[:16] + '…"'

    return f"{name}: {short(old)} in the log, {short(new)} now"
