"""Two tools to try a model with, and the question that needs both: those of F1's card.

Their results are canned; nothing is looked up anywhere. The tool flow asks them, and a chat that
was given neither a model nor tools.
"""

from __future__ import annotations

import re
from typing import Literal

from formosa.tools.function import tool
from formosa.tools.registry import Registry

QUESTION = "台北氣溫如何？另外，告訴我最新的關稅政策"
TARIFFS = (
    "美國宣布對臺灣課徵 32% 的對等關稅，晶片暫不另外課稅。"
    "4 月 5 日起，所有進口商品一律課徵 10% 的基準關稅；"
    "4 月 9 日起，對日本課徵 24%、對歐盟課徵 20%。"
    "中國再加徵 34%，連同先前的合計 54%。外國製造的汽車自 4 月 2 日起課徵 25%。"
)


@tool
def get_weather(location: str, unit: Literal["celsius", "fahrenheit"]) -> str:
    """Get the current weather in a given location

    Args:
        location: 國家或城市名，例如 'Taipei'
        unit: 氣溫單位，亞洲城市使用攝氏；歐美城市使用華氏
    """
    if not re.search(r"taipei|[台臺]北", location, re.IGNORECASE):
        return f"這個示範只有台北的天氣，沒有 {location} 的資料"
    degrees = "攝氏 26 度" if unit == "celsius" else "華氏 79 度"
    return f"{location} 目前氣溫{degrees}，天氣晴朗，沒有風"


@tool
def search(query: str) -> str:
    """搜尋引擎。關於知識、新聞、股票、電影、百科等問題，如果不確定答案就搜尋一下。

    Args:
        query: should be a search query, e.g., '2025 關稅 政策'
    """
    if not re.search(r"tariff|關稅|关税", query, re.IGNORECASE):
        return f"找不到與「{query}」有關的資料"
    return TARIFFS


REGISTRY = Registry([get_weather, search])
