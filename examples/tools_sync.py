"""The card's example in Formosa's own API: no schemas to write, no calls to pair with results.

    formosa serve runs/mini &
    python examples/tools_sync.py

`connect("smollm2-135m", tools=…)` loads a model here instead of asking a server.
"""
# ruff: noqa: T201

import os
from typing import Literal

from formosa import connect, tool

URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")


@tool
def get_weather(location: str, unit: Literal["celsius", "fahrenheit"]) -> str:
    """Get the current weather in a given location"""
    return f"{location}的氣溫是{unit} 26 度，晴朗無風"


@tool
def search(query: str) -> str:
    """搜尋引擎：知識、新聞、股票、電影、百科"""
    return "美國擬向台灣課徵 32% 的對等關稅，晶片暫不另外課稅；4/5 起所有進口商品課徵 10%。"


with connect(base_url=URL, tools=[get_weather, search]) as chat:
    print(chat.ask("台北氣溫如何？另外，告訴我川普最新關稅政策").answer)
