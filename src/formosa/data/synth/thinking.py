"""The short reasoning of a thinking twin: why this tool, and where each value comes from.

It uses dice of its own, so a twin is the same conversation as the row it belongs to.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from formosa.chat.message import json_text
from formosa.data.synth.asking import Asked
from formosa.data.synth.specs import Pair, ToolSpec
from formosa.data.synth.stage import Stage

ONE = {
    "en": (
        "The user wants to {does}. {tool} does that: {values}.",
        "To {does} I call {tool} with {values}.",
        "{tool} fits here. From the question: {values}.",
    ),
    "zh-TW": (
        "使用者想{does}，可以用 {tool}：{values}。",
        "要{does}，呼叫 {tool}，{values}。",
        "{tool} 符合需求。從問題得知：{values}。",
    ),
}
SEVERAL = Pair("{count} calls are needed: {calls}.", "需要呼叫 {count} 次：{calls}。")
NONE = {
    "en": "The user wants to {does}, but the tools at hand only {can}. I say so and call nothing.",
    "zh-TW": "使用者想{does}，但現有工具只能{can}，所以不呼叫工具，直接說明。",
}
BEYOND = Pair(
    "{tool} can {can}, but what is asked is something else. I say so and call nothing.",
    "{tool} 只能{can}，但使用者要的是別的，所以不呼叫工具，直接說明。",
)
MISSING = Pair(
    "{tool} fits, but {name} is required and wasn't given. I ask for it.",
    "{tool} 符合需求，但缺少必填的 {name}，先問清楚。",
)
FROM_RESULTS = Pair("The results are there; I put them into words.", "已經有結果，直接回答。")
PLAIN = Pair("No tool is needed for this; I answer it myself.", "這不需要工具，直接回答。")


def _dice(stage: Stage, asked: Sequence[Asked]) -> random.Random:
    return random.Random(f"thought {stage.turn} {asked[0].text}")


def _values(stage: Stage, item: Asked) -> str:
    mark = "＝" if stage.scene.zh else " = "
    call = item.call(stage.style)
    pairs = [f"{name}{mark}{json_text(value)}" for name, value in call.values().items()]
    return ("、" if stage.scene.zh else ", ").join(pairs)


def of_calls(stage: Stage, asked: Sequence[Asked]) -> str:
    """Before calls: which tool, which values, what is left out."""
    if not stage.thinking:
        return ""
    if len(asked) > 1:
        calls = "; " if not stage.scene.zh else "；"
        told = calls.join(
            f"{item.spec.styled_name(stage.style)} ({_values(stage, item)})"
            if not stage.scene.zh
            else f"{item.spec.styled_name(stage.style)}（{_values(stage, item)}）"
            for item in asked
        )
        return SEVERAL.of(stage.language).format(count=len(asked), calls=told)
    item = asked[0]
    forms = ONE[stage.language]
    form = forms[_dice(stage, asked).randrange(len(forms))]
    return form.format(
        does=item.spec.does.of(stage.language),
        tool=item.spec.styled_name(stage.style),
        values=_values(stage, item),
    )


def of_none(stage: Stage, spec: ToolSpec, offered: Sequence[ToolSpec]) -> str:
    """Before the reply that nothing offered fits."""
    if not stage.thinking:
        return ""
    can = ("、" if stage.scene.zh else ", ").join(item.does.of(stage.language) for item in offered)
    return NONE[stage.language].format(does=spec.does.of(stage.language), can=can)


def of_beyond(stage: Stage, spec: ToolSpec) -> str:
    """Before the reply that the right tool can't do what is asked."""
    if not stage.thinking:
        return ""
    can = spec.does.of(stage.language)
    return BEYOND.of(stage.language).format(tool=spec.styled_name(stage.style), can=can)


def of_missing(stage: Stage, spec: ToolSpec, name: str) -> str:
    if not stage.thinking:
        return ""
    return MISSING.of(stage.language).format(tool=spec.styled_name(stage.style), name=name)


def of_results(stage: Stage) -> str:
    return FROM_RESULTS.of(stage.language) if stage.thinking else ""


def of_nothing(stage: Stage) -> str:
    return PLAIN.of(stage.language) if stage.thinking else ""
