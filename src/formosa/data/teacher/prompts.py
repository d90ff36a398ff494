"""What the teacher is asked: for a question, for a reply to it (twice), for the last answer.

The question is asked for in words, with the tools as JSON in the prompt. Replies are asked for as
any client would, with the tools as tools, so that the teacher's calls are its server's own. The
instructions are no part of the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from formosa.chat.message import Message, json_text
from formosa.data.teacher.config import TeacherConfig
from formosa.data.teacher.seeds import Seed
from formosa.engines.protocol import ChatRequest, Sampling

_QUESTION = {
    "zh-TW": """\
請寫出一位臺灣使用者對 AI 助理說的一段話，一到三句。
使用者：{person}。語氣：{manner}。{topic}
助理有這些工具：
{tools}

- {demand}
- 工具要用到的每一個值，都要一字不差地出現在這段話裡。數字用阿拉伯數字寫。選項（enum）不必照抄。
- 不要提到工具、函式或參數的名稱。
- 只用臺灣的正體中文和臺灣的用語。
- 只寫這段話，不要加引號或說明。""",
    "en": """\
Write what a user says to an AI assistant, in one to three sentences.
The user: {person}. The manner: {manner}. {topic}
The assistant has these tools:
{tools}

- {demand}
- Every value that a tool needs must stand in the user's words exactly as it will be passed. Write \
numbers in digits. The options of an enum need not be quoted.
- Do not mention names of tools, functions or parameters.
- Write English only.
- Write only what the user says, without quotation marks or remarks.""",
}
_DEMAND = {
    "zh-TW": {
        "single": "要回答這段話，必須呼叫 {names}，剛好一次。",
        "multiple": "要回答這段話，必須呼叫 {names}，剛好一次，不需要其他工具。",
        "parallel": "要回答這段話，必須呼叫 {names}，剛好 {calls} 次，每次的值都不同。",
        "parallel_multiple": "要回答這段話，必須呼叫 {names}，各一次。兩件事互不相關，可以同時辦。",
        "irrelevant": "這是一般人會問的事，但上面沒有一個工具辦得到。",
        "missing": "使用者想辦的事要用 {names}，但是忘了說必填的 {left_out}，助理只能先反問。",
    },
    "en": {
        "single": "The request needs {names}, exactly once.",
        "multiple": "The request needs {names}, exactly once, and no other tool.",
        "parallel": "The request needs {names} exactly {calls} times, each time with other values.",
        "parallel_multiple": "The request needs {names}, once each. Neither needs the other's "
        "result.",
        "irrelevant": "It is something that people do ask, but none of these tools can do it.",
        "missing": "What the user wants needs {names}, but they forget to say {left_out}, which is "
        "required, so the assistant can only ask for it.",
    },
}
_REPLY = {
    "zh-TW": "你是臺灣的 AI 助理。能用工具辦到的事，就呼叫工具；可以同時辦的，一次呼叫完。"
    "參數的值照使用者的話一字不差地填，使用者沒說到的選填參數不要填。"
    "缺少必填的值時，不要猜，先反問使用者。沒有合適的工具時，直接說明。"
    "一律用臺灣的正體中文和臺灣的用語回答。",
    "en": "You are an AI assistant. What a tool can do, do by calling it; make calls that don't "
    "depend on each other at once. Pass values exactly as the user wrote them, and leave optional "
    "parameters out that the user did not speak of. Where a required value is missing, do not "
    "guess: ask the user for it. Where no tool fits, say so. Answer in English.",
}
_TOPIC = {"zh-TW": "主題：{topic}。", "en": "The topic: {topic}."}
PROMPTS = hashlib.sha256(repr((_QUESTION, _DEMAND, _REPLY, _TOPIC)).encode()).hexdigest()[:16]
"""Which words are asked with: another wording makes other requests."""


def question_request(seed: Seed, config: TeacherConfig) -> ChatRequest:
    """Asks for what the user says."""
    between = "、" if seed.language == "zh-TW" else " and "
    demand = _DEMAND[seed.language][seed.kind].format(
        names=between.join(offer.tool.name for offer in seed.needed),
        calls=seed.calls,
        left_out=seed.left_out,
    )
    text = _QUESTION[seed.language].format(
        person=seed.person,
        manner=seed.manner,
        topic=_TOPIC[seed.language].format(topic=seed.topic) if seed.topic else "",
        tools="\n".join(json_text(tool.to_openai()["function"]) for tool in seed.offered),
        demand=demand,
    )
    return ChatRequest((Message("user", text),), sampling=_sampling(seed, config, 0))


def reply_request(seed: Seed, config: TeacherConfig, question: str, sample: int) -> ChatRequest:
    """Asks for the assistant's reply; `sample` (1, 2) makes it another one."""
    return _asking(seed, config, [Message("user", question)], sample)


def answer_request(seed: Seed, config: TeacherConfig, messages: Sequence[Message]) -> ChatRequest:
    """Asks for the answer after the results."""
    return _asking(seed, config, messages, 3)


def _asking(
    seed: Seed, config: TeacherConfig, messages: Sequence[Message], step: int
) -> ChatRequest:
    system = Message("system", _REPLY[seed.language])
    return ChatRequest(
        (system, *messages), tools=seed.offered, sampling=_sampling(seed, config, step)
    )


def _sampling(seed: Seed, config: TeacherConfig, step: int) -> Sampling:
    return Sampling(
        temperature=config.temperature, max_tokens=config.max_tokens, seed=seed.place + step
    )
