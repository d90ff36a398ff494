"""The tool calling example of the card of Llama-3.2-3B-F1-Instruct, as it stands there.

    formosa serve runs/mini &
    python examples/f1_card.py

Between the two marks the code is the card's own, character for character (it is under the card's
license, llama3.2). Only what the card leaves out stands before it: the imports and the client. It
runs on any server with the OpenAI API: OPENAI_BASE_URL says which.

It has a fault that no server can put right. It runs `search` with the arguments of the *first* call
and `get_weather` with those of the *second*, whatever their names. In the order that the card
itself prints (`get_weather`, `search`) it ends in

    TypeError: search() got an unexpected keyword argument 'location'

and where two tools take the same arguments, each call silently gets the other's result. See
`f1_card_fixed.py` for the same with calls answered by name and id.
"""
# ruff: noqa: E501, T201

import json
import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "none"),
)


# fmt: off
# -- the card begins ------------------------------------------------------------------------------
def get_weather(location: str, unit: str):
    return f"{location}的氣溫是{unit}26度,晴朗無風"
def search(query: str):
    return "川普終於宣布對等關稅政策,針對 18 個經濟體課徵一半的對等關稅,並從 4/5 起對所有進口產品徵收10%的基準關稅!美國將針對被認定為不當貿易行為(不公平貿易) 的國家,於 4/9 起課徵報復型對等關稅 (Discounted Reciprocal Tariff),例如:日本將被課徵 24% 的關稅,歐盟則為 20%,以取代普遍性的 10% 關稅。\n針對中國則開啟新一波 34% 關稅,並疊加於先前已實施的關稅上,這將使中國進口商品的基本關稅稅率達到 54%,而且這尚未包含拜登總統任內或川普第一任期所施加的額外關稅。加拿大與墨西哥則不適用這套對等關稅制度,但川普認為這些國家在芬太尼危機與非法移民問題尚未完全解決,因此計畫對這兩國的大多數進口商品施加 25% 關稅。另外原本針對汽車與多數其他商品的關稅豁免將於 4/2 到期。\n台灣的部分,美國擬向台灣課徵32%的對等關稅,雖然並未針對晶片特別課徵關稅,但仍在記者會中提到台灣搶奪所有的電腦與半導體晶片,最終促成台積電對美國投資計劃額外加碼 1,000 億美元的歷史性投資;歐盟則課徵20%的對等關稅。最後是汽車關稅將於 4/2 起,對所有外國製造的汽車課徵25% 關稅。"
tools = [
{
"type": "function",
"function": {
"name": "get_weather",
"description": "Get the current weather in a given location",
"parameters": {
"type": "object",
"properties": {
"location": {"type": "string", "description": "國家或城市名, e.g., 'Taipei'、'Jaipei'"},
"unit": {"type": "string", "description": "氣溫單位,亞洲城市使用攝氏;歐美城市使用華氏", "enum": ["celsius", "fahrenheit"]}
},
"required": ["location", "unit"]
}
}
},
{
"type": "function",
"function": {
"name": "search",
"description": "這是一個類似 Google 的搜尋引擎,關於知識、天氣、股票、電影、小說、百科等等問題,如果你不確定答案就搜尋一下。",
"parameters": {
"type": "object",
"properties": {
"query": {"type": "string", "description": "should be a search query, e.g., '2024 南韓 戒嚴'"}
},
"required": ["query"]
}
}
}
]

response = client.chat.completions.create(
model=client.models.list().data[0].id,
messages=[
{"role": "system", "content": "記住你的知識截止於 2024/12,今天是 2025/4/7"},
{"role": "user", "content": "台北氣溫如何? 另外,告訴我川普最新關稅政策"},
],
max_tokens=1500,
temperature=0.6,
top_p=0.95,
tools=tools,
tool_choice="auto",
extra_body={"skip_special_tokens": False}
)
print(response.choices[0].message.tool_calls)

response = client.chat.completions.create(
model=client.models.list().data[0].id,
messages=[
{"role": "system", "content": "記住你的知識截止於 2024/12,今天是 2025/4/7"},
{"role": "user", "content": "台北氣溫如何? 另外,告訴我川普最新關稅政策"},
{
"role": "assistant",
"content": "",
"tool_calls": [
{
"id": response.choices[0].message.tool_calls[0].id,
"type": "function",
"function": {
"name": response.choices[0].message.tool_calls[0].function.name,
"arguments": response.choices[0].message.tool_calls[0].function.arguments
}
},
{
"id": response.choices[0].message.tool_calls[1].id,
"type": "function",
"function": {
"name": response.choices[0].message.tool_calls[1].function.name,
"arguments": response.choices[0].message.tool_calls[1].function.arguments
}
}
]
},
{
"role": "tool",
"content": search(**json.loads(response.choices[0].message.tool_calls[0].function.arguments)),
"tool_call_id": response.choices[0].message.tool_calls[0].id # tool_call_id 必須要帶,才能正確配對 工具 及 tool_call
},
{
"role": "tool",
"content": get_weather(**json.loads(response.choices[0].message.tool_calls[1].function.arguments)),
"tool_call_id": response.choices[0].message.tool_calls[1].id # tool_call_id 必須要帶,才能正確配對 工具 及 tool_call
}
],
max_tokens=1500,
temperature=0.6,
top_p=0.95,
tools=tools,
tool_choice="auto",
extra_body={"skip_special_tokens": False}
)
print(response.choices[0].message.content)
# -- the card ends --------------------------------------------------------------------------------
# fmt: on
