"""The two languages of the pages: English texts are the keys, Chinese ones stand beside them.

A text without a translation is an error in both languages, so that every test of a page finds it.
Placeholders are those of `str.format`. Knows nothing of HTML: escaping is the template's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

Lang = Literal["zh-TW", "en"]
LANGS: tuple[Lang, ...] = get_args(Lang)

# What the shell itself says.
SHELL = {
    "Skip to the content": "跳到內容",
    "Pages": "頁面",
    "Overview": "總覽",
    "Chat": "對話",
    "Evaluations": "評測",
    "Leaderboard": "排行榜",
    "Comparison": "比較",
    "Training": "訓練",
    "Colours: as the system": "配色：跟隨系統",
    "Colours: light": "配色：淺色",
    "Colours: dark": "配色：深色",
    "Made by Formosa {version}. Nothing on this page was loaded from elsewhere.": (
        "由 Formosa {version} 產生。本頁沒有從外部載入任何內容。"
    ),
    "This page is alive: it follows what is being written.": "本頁會跟著寫入的內容自動更新。",
}


class Words:
    """A page's texts in one language.

    Args:
        lang: the language that is spoken.
        texts: English → zh-TW; a page's own beside `SHELL`.
    """

    def __init__(self, lang: Lang, texts: Mapping[str, str]) -> None:
        self.lang = lang
        self._texts = {**SHELL, **texts}

    def __call__(self, text: str, /, **values: Any) -> str:
        """The text in the page's language, its placeholders filled.

        Raises:
            KeyError: nobody has translated it.
        """
        chinese = self._texts[text]
        spoken = text if self.lang == "en" else chinese
        return spoken.format(**values) if values else spoken


def preferred(accepted: str) -> Lang:
    """The language for an Accept-Language header: zh-TW for any kind of Chinese, else English.

    The browser's order is followed; weights are ignored, since browsers write them in order.
    """
    for part in accepted.split(","):
        name = part.partition(";")[0].strip().lower()
        if name.startswith("zh"):
            return "zh-TW"
        if name and name != "*":
            return "en"
    return "zh-TW"
