"""What the words of a reply show: boilerplate, refusals, and which language it is in.

Patterns for Traditional and Simplified Chinese and for English, written from what models say and
read against real rows, so that `as an AI engineer` and `我無法想像沒有你的生活` stay.
"""

from __future__ import annotations

import re

from formosa.data.text_defects import without_code
from formosa.zh.script import count_han

_NAMES = (
    r"(?:chat ?gpt|gpt-?[345]\w*|openai|anthropic|claude|gemini|bard|llama ?[234]?|meta ai|mistral"
    r"|qwen|deepseek|grok|通[義义]千[問问]|文心一言|百度|阿里(?:巴巴|雲|云)|深度求索|智[譜谱]|月之暗面"
    r"|豆包|元寶|字[節节]跳[動动]|moonshot|kimi|chatglm|baichuan|百川)"
)
BOILERPLATE = re.compile(
    r"\b(?:ai|large) language model,|\bas an? (?:ai|artificial intelligence|large) (?:text-based "
    r"|language )+model\b|\b(?:i am|i'm) (?:just |only )?an? (?:large |ai )+language model"
    rf"|\b(?:i am|i'm|my name is)\b[^.!?\n]{{0,40}}\b{_NAMES}\b"
    r"|(?:作[為为]|身[為为])(?:一[個个名位款])?(?:大型|人工智[慧能]|ai|\s)*[語语]言模型"
    rf"|我(?:是|叫)[^。！？，,\n]{{0,20}}{_NAMES}",
    re.IGNORECASE,
)
"""Somebody speaks as a language model, or under the name of another one."""

AS_AN_AI = re.compile(
    r"\bas an? (?:ai|artificial intelligence)(?: (?:model|assistant|system))?,? (?:i\b|my\b)"
    r"|(?:作[為为]|身[為为])(?:一[個个名位款])?\s?(?:ai|人工智[慧能])\s?(?:助[理手]|模型|系[統统])?[，,]\s?我",
    re.IGNORECASE,
)
"""Somebody speaks as an AI: a habit, or the reason why a tool is missing."""

_I_CANNOT = (
    r"(?:i|we)(?: can'?t| cannot| can not| won'?t| am (?:unable|not able)|'m (?:unable|not able)"
    r"| don'?t have)"
)
REFUSAL = re.compile(
    r"\A\W*(?:(?:i'?m|i am|we'?re) (?:very |really |so )?(?:sorry|afraid)|sorry|apologies"
    rf"|unfortunately|i apologi[sz]e)\b[^.!?\n]{{0,20}}?\b{_I_CANNOT}\b"
    r"|\A\W*i(?: can'?t| cannot| can not| won'?t|(?:'m| am) (?:unable|not able) to)"
    r" (?:help|assist|fulfill?|provide|comply|do|answer|complete|support|engage)\b"
    r"|\A\W*(?:(?:很|非常|十分)?(?:抱歉|遺憾|遗憾)|[對对]不起|不好意思)[^。！？\n]{0,8}?我?"
    r"(?:們|们)?(?:[無无]法|不能|[沒没][辦办]法|[沒没]有能力|不便)"
    r"|\A\W*我(?:[無无]法|不能)(?:回答|提供|[協协]助|[幫帮]|[滿满]足|完成)",
    re.IGNORECASE,
)
"""A reply begins with a refusal."""

SPEAKS_OF_LANGUAGE = re.compile(
    r"translat|english|chinese|mandarin|japanese|korean|french|german|spanish|language|bilingual"
    r"|[中英日韓韩法德俄]文|[英日漢汉法德俄西][語语]|翻[譯译]|[語语]言|[雙双][語语]|[譯译]成|單字|单词",
    re.IGNORECASE,
)
"""Somebody speaks of a language, so that an answer in another one may be what was asked for."""

_WORD = re.compile(r"[A-Za-z]{2,}")
_ADDRESS = re.compile(r"https?://[!-~]+")


def language_of(text: str) -> str:
    """`Chinese` or `English`, where a text is long enough to tell and clearly one of them."""
    text = _ADDRESS.sub(" ", without_code(text))
    han, words = count_han(text), len(_WORD.findall(text))
    if han >= 8 and han > 2 * words:
        return "Chinese"
    if words >= 8 and words > 10 * han:
        return "English"
    return ""
