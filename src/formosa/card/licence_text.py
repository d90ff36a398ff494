"""What the licences of base and data ask, as the card says it: fields, lines, notices."""

from __future__ import annotations

from typing import Any

from formosa.card import licences
from formosa.card.facts import Facts
from formosa.card.hub import is_hub_id
from formosa.card.ledger import REPORT, Ledger, Words
from formosa.card.markdown import escaped


def licence_fields(known: Facts) -> dict[str, Any]:
    """`license`, with its name and link where the hub's own list has none."""
    said = known.base["licence"]
    if not said:
        return {"license": "unknown"}
    if code := licences.hub_id(said):
        found = licences.known(said)
        return {"license": code, **({"license_link": found.link} if found and found.banner else {})}
    hub = known.base["hub_id"]
    link = {"license_link": f"https://huggingface.co/{hub}"} if is_hub_id(hub) else {}
    return {"license": "other", "license_name": said, **link}


def _licence_link(said: str) -> str:
    found = licences.known(said)
    return f"[{found.name}]({found.link})" if found else escaped(said)


def licence_line(book: Ledger, known: Facts) -> str:
    said = known.base["licence"]
    if not said:
        words = Words(
            "未記錄；使用前請先確認基底模型的授權", "not recorded; ask for the base model's first"
        )
        return book.say(words)
    follows = Words("，沿用基底模型", ", as the base model")
    return _licence_link(said) + book.say(follows)


def licence_text(book: Ledger, known: Facts) -> str:
    """What the base's licence asks, and whether the name keeps to it."""
    said = known.base["licence"]
    head = book.say(Words("- **模型：** ", "- **Model:** "))
    if not said:
        missing = Words(
            "執行資料夾沒有記錄基底模型的授權，因此也無法說明可以怎麼使用。",
            "The run does not record the base model's licence, so nobody can say what is allowed.",
        )
        return head + book.say(missing)
    found = licences.known(said)
    lines = [f"{head}{_licence_link(said)}{book.say(Words('。', '. '))}"]
    lines[0] += book.say(found.notice) if found else ""
    if prefix := licences.name_breaks(said, known.name):
        rename = Words(
            f"- **發布前要改名：** 「{escaped(known.name)}」不是以「{prefix}」開頭。",
            f"- **Rename it before you publish:** “{escaped(known.name)}” does not begin with "
            f"“{prefix}”.",
        )
        lines.append(book.say(rename))
    return "\n".join(lines)


def data_licence_lines(book: Ledger) -> list[str]:
    """One line for each licence of the data, with what it asks."""
    said = [s.get("licence") for s in book.items(REPORT, "sources") if isinstance(s, dict)]
    lines = []
    for licence in dict.fromkeys(str(name or "") for name in said):
        found = licences.known(licence)
        if found:
            notice = book.say(found.notice)
            lines.append(f"  - {_licence_link(licence)}{book.say(Words('：', ': '))}{notice}")
        else:
            unknown = Words("沒有說明授權的來源", "sources without a licence")
            lines.append(f"  - {escaped(licence) or book.say(unknown)}")
    return lines
