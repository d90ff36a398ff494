"""The same as `tools_sync.py` in an event loop, showing what happens on the way.

    formosa serve runs/mini &
    python examples/tools_async.py

Calls of one reply run at the same time, `async` tools and plain ones alike.
"""
# ruff: noqa: T201

import asyncio
import os
from typing import Literal

from formosa import ToolCall, connect, tool

URL = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")


@tool
async def get_weather(location: str, unit: Literal["celsius", "fahrenheit"]) -> str:
    """Get the current weather in a given location"""
    await asyncio.sleep(0)  # a real one would await a weather service here
    return f"{location}的氣溫是{unit} 26 度，晴朗無風"


@tool
def search(query: str) -> str:
    """搜尋引擎：知識、新聞、股票、電影、百科"""
    return "美國擬向台灣課徵 32% 的對等關稅，晶片暫不另外課稅；4/5 起所有進口商品課徵 10%。"


def show(event: object) -> None:
    if isinstance(event, ToolCall):
        print(f"→ {event.name}({event.arguments})")


async def main() -> None:
    async with connect(base_url=URL, tools=[get_weather, search]) as chat:
        turn = await chat.ask("台北氣溫如何？另外，告訴我川普最新關稅政策", on_event=show)
        print(turn.answer)


asyncio.run(main())
