"""Does the exported file say what the checkpoint says? Text, token ids, greedy words, thoughts.

Four checks against the real engine with the real file:

template  our sandbox, transformers and llama.cpp render the same conversations to the same bytes,
          and the file carries the checkpoint's template byte for byte
tokens    llama.cpp cuts a corpus (zh-TW, emoji, white space, digits, control tokens) into the ids
          that the checkpoint's tokenizer gives
greedy    llama.cpp continues prompts greedily; at every one of its tokens the checkpoint, reading
          the same words in float32, has the same first choice (from 8 bits up)
divergence
          on a fixed text, how far the file's probabilities are from the checkpoint's; below 8 bits
          this is what is held to a limit, instead of the same words

Fewer bits move the scores a little, so where the checkpoint's own two best are nearly tied the
file may take the other. Such a place is a near tie if the checkpoint's probabilities of the two
differ by less than a factor of e^TIE, by kind of file; at most one token in twenty may be one.
Anything else fails. Both are counted. Damage looks different: with the query rows in the wrong
order the first or second word is off by several units.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.template import ChatTemplate
from formosa.engines.llama import LlamaEngine
from formosa.errors import ParityError
from formosa.export.divergence import LIMITS, Divergence, measure
from formosa.export.greedy import (
    Conversation,
    GreedyEngine,
    Reply,
    compare_replies,
    judged,
    replies_of,
)
from formosa.export.reference import Reference
from formosa.files import sha256_file, write_json
from formosa.processor import usable_cores

# Natural logs. Measured with a tuned SmolLM2-135M on 1,230 greedy tokens: F16 never chose another
# word; Q8_0, which rounds the activations to 8 bits too, 8 times, by 0.01 to 0.76.
TIE = {"F32": 0.1, "F16": 0.1, "BF16": 0.25, "Q8_0": 1.5}


class Check(NamedTuple):
    """What was compared, and what came of it."""

    name: str
    passed: bool
    compared: int
    detail: str


def conversations() -> list[Conversation]:
    """Fixed conversations that use everything the format has."""
    weather = Tool.of(
        "get_weather",
        "查詢指定城市的天氣 (current weather)",
        {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "城市，例如「台北」"},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    )
    search = Tool.of(
        "search", "Search the web", {"type": "object", "properties": {"q": {"type": "string"}}}
    )
    calls = (
        ToolCall.of("get_weather", {"city": "台北", "days": 3}, "call_0"),
        ToolCall.of("search", {"q": '關稅 "2025" <b>&</b>'}, "call_1"),
    )
    flow = [
        Message("system", "你是台灣的助理。今天是 2025/4/7。"),
        Message("user", "台北氣溫如何？另外，告訴我最新的關稅政策"),
        Message("assistant", "", reasoning="兩件事，各呼叫一次。", tool_calls=calls),
        Message("tool", '{"temp": 26.5}', tool_call_id="call_0", name="get_weather"),
        Message("tool", "對等關稅 32%", tool_call_id="call_1", name="search"),
    ]
    return [
        ([Message("user", "Hello!")], []),
        ([Message("user", "請用一句話介紹台灣。")], []),
        (flow[:2], [weather, search]),
        (flow, [weather, search]),
        ([*flow, Message("assistant", "台北 26.5 度。"), Message("user", "謝謝 🙂")], [weather]),
        ([Message("user", "What is 12 * 7?"), Message("assistant", "84"), Message("user", "+1?")],
         [search]),
    ]  # fmt: skip


CORPUS = (
    "The quick brown fox jumps over 13 lazy dogs in 2024, 3.14159 times.",
    "中華民國憲法第一條：中華民國基於三民主義，為民有民治民享之民主共和國。",
    "台北、臺北；「引號」——刪節號……（全形）！？％＄",
    "emoji 🙂👩‍👩‍👧🇹🇼 and accents: naïve café Zürich",
    "  leading,\ttabs\t\tand   runs of    spaces \n\n\nnewlines\r\n ",
    '{"name": "get_weather", "arguments": {"city": "台北", "days": 3, "ok": true, "x": -1.5e-3}}',
    "<tool_call>\n{}\n</tool_call><think>\n</think> <tool_response>",
    "def f(x):\n    return x**2  # 註解\n",
    "ﾊﾝｶｸ ｶﾅ ㄅㄆㄇ ½ ² Ⅷ ① 〇 \u200b\ufeff\u3000",
)


async def check_parity(
    checkpoint: Path,
    gguf: Path,
    *,
    greedy_tokens: int = 24,
    report: Path | None = None,
    reference: Reference | None = None,
    more: Sequence[Conversation] = (),
) -> list[Check]:
    """Compare a GGUF file with its checkpoint.

    Args:
        checkpoint: the folder that the file was written from.
        gguf: the file.
        greedy_tokens: how many tokens are generated for each prompt.
        report: where to write the result as JSON; written whether it passes or not.
        reference: of the checkpoint, where several files are compared with it.
        more: conversations that are answered beside the fixed ones.

    Raises:
        ParityError: a check failed; the report, if asked for, says which and where.
    """
    reference = reference or Reference(checkpoint)
    tokenizer = reference.tokenizer
    engine = LlamaEngine(gguf, context=2048)
    level = str(engine.info.details["quantisation"])
    replies: list[Reply] = []
    try:
        template = _template_of(engine)
        checks = [
            await _check_template(checkpoint, tokenizer, engine),
            await check_tokens(tokenizer, engine, template),
        ]
        if level in TIE:
            asked = [*conversations(), *more]
            replies = await replies_of(engine, template, asked, greedy_tokens)
    finally:
        await engine.aclose()  # before the checkpoint is read: both in memory is too much
    if level in TIE:
        checks.append(check_greedy(reference, replies, TIE[level]))
    measured = measure(reference, gguf, threads=usable_cores())
    checks.append(_check_divergence(measured, level))
    if report is not None:
        write_json(
            report,
            {
                "schema": 1,
                "file": gguf.name,
                "sha256": sha256_file(gguf),
                "bytes": gguf.stat().st_size,
                "quantisation": level,
                "engine": engine.info.details["version"],
                # Without the speed: the same file has the same report on every machine.
                "divergence": {
                    "tokens": measured.tokens,
                    "mean": measured.mean,
                    "worst": measured.worst,
                    "same_first": measured.same_first,
                },
                "checks": [check._asdict() for check in checks],
            },
        )
    failed = [check for check in checks if not check.passed]
    if failed:
        raise ParityError(
            f"{gguf.name} differs from its checkpoint: "
            + "; ".join(f"{check.name}: {check.detail}" for check in failed),
            f"see {report}" if report else "run `formosa export check` for the whole report",
        )
    return checks


async def _check_template(checkpoint: Path, tokenizer: Any, engine: LlamaEngine) -> Check:
    source = (checkpoint / "chat_template.jinja").read_text(encoding="utf-8")
    template = ChatTemplate.from_source(source)
    carried = engine.info.template
    if carried is None or carried.source != source:
        return Check("template", False, 0, "the file carries another template")
    compared = 0
    for messages, tools in conversations():
        ours = template.prompt(messages, tools)
        others = {
            "transformers": tokenizer.apply_chat_template(
                [message.to_openai() for message in messages],
                tools=[tool.to_openai() for tool in tools] or None,
                tokenize=False,
                add_generation_prompt=True,
            ),
            "llama.cpp": await engine.render(messages, tools),
        }
        for who, text in others.items():
            compared += 1
            if text != ours:
                return Check("template", False, compared, difference(who, ours, text))
    return Check("template", True, compared, "transformers and llama.cpp render the same bytes")


def _template_of(engine: GreedyEngine) -> ChatTemplate:
    template = engine.info.template
    assert template is not None
    return template


async def check_tokens(tokenizer: Any, engine: GreedyEngine, template: ChatTemplate) -> Check:
    """Whether an engine cuts texts as the checkpoint's tokenizer does."""
    texts = [*CORPUS, *(template.prompt(m, t) for m, t in conversations())]
    count = 0
    for text in texts:
        wanted = tokenizer.encode(text, add_special_tokens=False)
        found = await engine.tokenize(text)
        count += len(wanted)
        if wanted != found:
            place = next(
                (i for i, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b),
                min(len(wanted), len(found)),
            )
            words = tokenizer.decode(wanted[max(0, place - 3) : place + 3])
            return Check("tokens", False, count, f"other ids near {words!r}")
    return Check("tokens", True, count, f"{len(texts)} texts give the same ids")


def _check_divergence(measured: Divergence, level: str) -> Check:
    limit = LIMITS.get(level, max(LIMITS.values()))
    detail = f"{measured.mean:.4f} nats away, {measured.same_first:.1%} same first choice"
    passed = measured.mean <= limit
    if not passed:
        detail += f"; {level} files may be {limit:g} nats away"
    return Check("divergence", passed, measured.tokens, detail)


def check_greedy(reference: Reference, replies: Sequence[Reply], tie: float) -> Check:
    """Whether an engine wrote the checkpoint's words, but for near ties."""
    found = compare_replies(reference, replies)
    passed, detail = judged(found, tie)
    return Check("greedy", passed, found.tokens, detail)


def difference(who: str, ours: str, text: str) -> str:
    place = next(
        (i for i, (a, b) in enumerate(zip(ours, text, strict=False)) if a != b),
        min(len(ours), len(text)),
    )
    return f"{who} writes {text[place : place + 30]!r} for {ours[place : place + 30]!r}"


def check_parity_now(
    checkpoint: Path,
    gguf: Path,
    *,
    greedy_tokens: int = 24,
    report: Path | None = None,
    reference: Reference | None = None,
    more: Sequence[Conversation] = (),
) -> Sequence[Check]:
    """`check_parity`, for callers that are not asynchronous."""
    return asyncio.run(
        check_parity(
            checkpoint,
            gguf,
            greedy_tokens=greedy_tokens,
            report=report,
            reference=reference,
            more=more,
        )
    )
