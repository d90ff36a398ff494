"""Two tools, as you would write them. Talk to a model that may call them:

    formosa chat smollm2-135m --tools examples/tools_weather.py

A tool is a typed function with a docstring. The types become the JSON schema and are checked before
the function runs; the docstring tells the model what the tool is for. `async def` works too. What
a tool raises is told to the model, which may try again.
"""

from __future__ import annotations

from typing import Literal

from formosa import tool

# Invented. A real tool would ask a weather service here.
DEGREES = {"台北": 26.0, "台中": 27.5, "高雄": 29.0}


@tool
def get_weather(location: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """查詢一個城市現在的氣溫

    Args:
        location: 城市名，例如「台北」
        unit: 氣溫單位；亞洲用攝氏，美國用華氏
    """
    if location not in DEGREES:
        raise ValueError(f"沒有 {location} 的資料；有：{'、'.join(DEGREES)}")
    degrees = DEGREES[location]
    if unit == "fahrenheit":
        return f"{location}：華氏 {degrees * 9 / 5 + 32:.0f} 度"
    return f"{location}：攝氏 {degrees:.0f} 度"


@tool
def list_cities() -> list[str]:
    """列出查得到氣溫的城市"""
    return list(DEGREES)
