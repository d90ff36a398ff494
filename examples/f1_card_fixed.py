"""The card's example (`f1_card.py`) put right: calls are run by name and answered by id.

    formosa serve runs/mini &
    python examples/f1_card_fixed.py

Only the official client is used, nothing of Formosa. Besides the pairing of calls and results, it
takes any number of calls in any order, and goes on until the model answers.
"""
# ruff: noqa: T201

import json
import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "none"),
)


def get_weather(location: str, unit: str) -> str:
    return f"{location}的氣溫是{unit} 26 度，晴朗無風"


def search(query: str) -> str:
    return "美國擬向台灣課徵 32% 的對等關稅，晶片暫不另外課稅；4/5 起所有進口商品課徵 10%。"


functions = {"get_weather": get_weather, "search": search}
text = {"type": "string"}
unit = {"type": "string", "enum": ["celsius", "fahrenheit"]}
parameters = {
    "get_weather": {"location": text, "unit": unit},
    "search": {"query": text},
}
tools = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(properties),
            },
        },
    }
    for name, properties in parameters.items()
]
messages = [
    {"role": "system", "content": "記住你的知識截止於 2024/12，今天是 2025/4/7"},
    {"role": "user", "content": "台北氣溫如何？另外，告訴我川普最新關稅政策"},
]
model = client.models.list().data[0].id
while True:
    response = client.chat.completions.create(model=model, messages=messages, tools=tools)
    message = response.choices[0].message
    messages.append(message.model_dump(include={"role", "content", "tool_calls"}))
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        # The name says which function; the id, which question this is the answer to.
        result = functions[call.function.name](**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(message.content)
