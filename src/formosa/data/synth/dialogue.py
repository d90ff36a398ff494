"""The kinds of conversation: what the user asks, what is offered, and how the assistant answers.

single             one call, one tool offered
multiple           one call, 2 to 6 tools offered
parallel           2 to 5 calls of one tool
paired             2 or 3 calls of one tool, asked for with two lists; only where a recipe wants it
parallel_multiple  2 to 7 calls of 2 to 4 tools, many of them tools that take the same values
irrelevant         tools offered, none fits: a short honest reply
missing            a required argument is missing: the assistant asks for it
answer             calls, their results by id, and an answer made from them
multi_turn         an answer, then a question that refers back or goes elsewhere, and its call
chat               no tools at all
chat_with_tools    tools offered, but the question needs none: it is answered
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from formosa.chat.message import Message
from formosa.data.synth import thinking
from formosa.data.synth.asking import Asked, ask, ask_paired, ask_several, join_questions
from formosa.data.synth.catalogue import catalogue
from formosa.data.synth.results import result
from formosa.data.synth.siblings import ask_siblings
from formosa.data.synth.slots import RETRIES, Attribute
from formosa.data.synth.smalltalk import courtesy, small_talk
from formosa.data.synth.specs import ToolSpec
from formosa.data.synth.stage import NoSuchToolError, Stage, Turns, askable, following, size
from formosa.data.synth.wording import Wording, holes

# "What is the weather in …, and what's new about …": tools like those of the demonstration.
WEATHER = ("get_weather",) * 8 + ("weather_forecast", "current_temperature", "air_quality_index")
SEARCH = ("search",) * 8 + ("web_search", "latest_news", "find_policy")
# How often several tools are of one family, and how often where some of one are in sight.
SIBLINGS = 0.35
OFFERED_SIBLINGS = 0.6


@functools.cache
def named() -> dict[str, ToolSpec]:
    return {spec.name: spec for spec in catalogue()}


def single(stage: Stage) -> Turns:
    spec = stage.target()
    asked = [ask(spec, stage.scene, stage.ways(spec))]
    thought = thinking.of_calls(stage, asked)
    return stage.turns([stage.user(asked[0].text), stage.calls(asked, thought)], [spec])


def multiple(stage: Stage) -> Turns:
    spec = stage.target()
    asked = [ask(spec, stage.scene, stage.ways(spec))]
    offered = [spec, *stage.others([spec], stage.pick((1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5)))]
    thought = thinking.of_calls(stage, asked)
    return stage.turns([stage.user(asked[0].text), stage.calls(asked, thought)], offered)


def parallel(stage: Stage) -> Turns:
    spec = stage.target()
    count = stage.pick((2, 2, 2, 2, 2, 3, 3, 3, 4, 5))
    text, asked = ask_several(
        spec, stage.scene, stage.ways(spec), count, stage.phrases("connector")
    )
    thought = thinking.of_calls(stage, asked)
    return stage.turns([stage.user(text), stage.calls(asked, thought)], [spec])


def paired(stage: Stage) -> Turns:
    spec = stage.target("pairs")
    text, asked = ask_paired(spec, stage.scene, stage.ways(spec), stage.pick((2, 2, 2, 3)))
    offered = [spec, *stage.others([spec], stage.pick((0, 0, 0, 1)))]
    thought = thinking.of_calls(stage, asked)
    return stage.turns([stage.user(text), stage.calls(asked, thought)], offered)


def parallel_multiple(stage: Stage) -> Turns:
    specs = _siblings(stage)
    if specs:
        text, asked, specs = _related(stage, specs)
    else:
        text, asked, specs = _different(stage, stage.target())
        if len(asked) < 4 and stage.chance(0.3):
            text, asked = _again(stage, asked, specs)
    offered = [*specs, *stage.others(specs, stage.pick((0, 0, 0, 0, 1, 1, 2)))]
    thought = thinking.of_calls(stage, asked)
    return stage.turns([stage.user(text), stage.calls(asked, thought)], offered)


def _related(stage: Stage, specs: list[ToolSpec]) -> tuple[str, list[Asked], list[ToolSpec]]:
    """One question for tools of a family, and at times for another tool beside them."""
    also = stage.phrases("also")
    text, asked = ask_siblings(specs, stage.scene, also, held_out=stage.held_out)
    if stage.chance(0.3) and (stranger := _stranger_to(specs, stage)):
        asked.append(ask(stranger, stage.scene, stage.ways(stranger), optional=0.3))
        specs = [*specs, stranger]
        whole = Asked(asked[0].spec, text, {}, asked[0].literal_start)
        text = join_questions([whole, asked[-1]], stage.scene, stage.phrases("connector"))
    return text, asked, specs


def _again(stage: Stage, asked: list[Asked], specs: list[ToolSpec]) -> tuple[str, list[Asked]]:
    """The question with one of its tools called twice."""
    again = stage.pick(specs)
    connectors = stage.phrases("connector")
    more, several = ask_several(again, stage.scene, stage.ways(again), 2, connectors)
    others = [item for item in asked if item.spec is not again]
    whole = Asked(again, more, {}, several[0].literal_start)
    return join_questions([*others, whole], stage.scene, connectors), [*others, *several]


def _siblings(stage: Stage) -> list[ToolSpec]:
    """Two or three tools of a family, in any order; none in most conversations."""
    if not stage.chance(OFFERED_SIBLINGS if stage.offered else SIBLINGS):
        return []
    families: dict[str, list[ToolSpec]] = {}
    for spec in stage.split():
        if spec.family:
            families.setdefault(spec.family.name, []).append(spec)
    several = [specs for specs in families.values() if len(specs) > 1]
    if not several:
        return []
    specs = stage.pick(several)
    return stage.rng.sample(specs, min(stage.pick((2, 2, 2, 3)), len(specs)))


def _stranger_to(specs: list[ToolSpec], stage: Stage) -> ToolSpec | None:
    """A tool for another question beside those for a family."""
    taken = {spec.group for spec in specs}
    others = [spec for spec in stage.split() if spec.group not in taken and not spec.general]
    return stage.pick(others) if others else None


def _different(
    stage: Stage, first: ToolSpec, need: str = "any"
) -> tuple[str, list[Asked], list[ToolSpec]]:
    """One question for 2 to 4 tools; a quarter of them is "weather here, and search for that"."""
    if stage.offered:
        specs = _of_set(stage, need)
    elif stage.chance(0.26):
        specs = [named()[stage.pick(names)] for names in (WEATHER, SEARCH)]
        specs = [spec for spec in specs if spec in stage.split(need)]
        if len(specs) < 2:
            specs = [named()["get_weather"], named()["search"]]
        if stage.chance(0.2):
            specs.reverse()
    else:
        specs = [first]
        count = stage.pick((2, 2, 2, 2, 2, 3, 3, 3, 4, 4))
        while len(specs) < count:
            # From the whole split: few unseen tools give an answer, perhaps fewer than `count`.
            spec = min(stage.pick(stage.split(need)), stage.pick(stage.split(need)), key=size)
            if spec.group not in {item.group for item in specs}:
                specs.append(spec)
    asked = [ask(spec, stage.scene, stage.ways(spec), optional=0.3) for spec in specs]
    return join_questions(asked, stage.scene, stage.phrases("connector")), asked, specs


def _of_set(stage: Stage, need: str) -> list[ToolSpec]:
    """Two to four of the set's tools, no two of which do the same."""
    specs: list[ToolSpec] = []
    every = stage.split(need)
    for spec in stage.rng.sample(every, len(every)):
        if spec.group not in {item.group for item in specs}:
            specs.append(spec)
    if len(specs) < 2:
        raise NoSuchToolError(need)
    return specs[: stage.pick((2, 2, 2, 3, 3, 4))]


def irrelevant(stage: Stage) -> Turns:
    """Nothing that is offered fits: other domains, the same one, or the right tool asked for more
    than it can do."""
    chance = stage.rng.random()
    if chance < 0.25 and (not stage.offered or _alone(stage)):
        spec = stage.target("beyond")
        if spec.beyond is None:
            raise ValueError(f"{spec.name} has nothing beyond it")
        text = ask(spec, stage.scene, [spec.beyond[stage.scene.zh]]).text
        offered = [spec, *stage.unfit(spec, stage.pick((0, 0, 1)), near=False)]
        reply = stage.pick(stage.phrases("beyond"))
        thought = thinking.of_beyond(stage, spec)
    else:
        spec = stage.stranger() if stage.offered else stage.target("specific")
        text = ask(spec, stage.scene, stage.ways(spec)).text
        more = 1 + stage.pick((0, 0, 1, 1, 2))
        offered = list(stage.offered) or stage.unfit(spec, more, near=chance < 0.55)
        reply = stage.pick(stage.phrases("cannot"))
        thought = thinking.of_none(stage, spec, offered)
    language = stage.language
    reply = reply.format(need=spec.does.of(language), can=offered[0].does.of(language))
    return stage.turns([stage.user(text), Message("assistant", reply, reasoning=thought)], offered)


def _alone(stage: Stage) -> bool:
    """Whether one of the set's tools has questions beyond it that no other one answers."""
    return len(stage.offered) == 1 and bool(stage.split("beyond"))


def missing(stage: Stage) -> Turns:
    spec = stage.target("missing")
    name, way = stage.pick(askable(spec, stage.ways(spec)))
    question, slot = spec.parameter(name).question, spec.parameter(name).slot
    if question is None or slot is None:
        raise ValueError(f"{spec.name}.{name} can't be asked for")
    asked = ask(spec, stage.scene, [way], drop=name)
    stage.lacking = asked, way
    messages = [
        stage.user(asked.text),
        Message(
            "assistant",
            stage.pick(stage.phrases("lacks")).format(question.of(stage.language)),
            reasoning=thinking.of_missing(stage, spec, name),
        ),
    ]
    if stage.chance(0.5):  # the user says it, and the call follows
        draw = slot.draw(stage.scene)
        whole = {**asked.draws, name: draw}
        for item in spec.parameters:
            if isinstance(item.slot, Attribute) and item.required:
                whole[item.name] = item.slot.draw(stage.scene)
        said = stage.pick(stage.phrases("giving")).format(draw.text)
        calls = [Asked(spec, said, whole)]
        messages.append(Message("user", said))
        messages.append(stage.calls(calls, thinking.of_calls(stage, calls)))
    others = stage.others([spec], stage.pick((0, 0, 1)))
    return stage.turns(messages, [spec, *others])


def complete(stage: Stage, lacking: Asked, way: Wording) -> Turns:
    """The question that lacked a value, now with it: nothing else decides whether to call.

    Args:
        stage: the next conversation about the same tools.
        lacking: what was asked.
        way: how.

    Raises:
        NoSuchToolError: this time the words leave out what was said then.
    """
    whole = ask(lacking.spec, stage.scene, [way], optional=0.0, fixed=lacking.draws)
    said = whole.text.casefold()
    again = set(holes(way))
    if any(draw.text.casefold() not in said for n, draw in lacking.draws.items() if n in again):
        raise NoSuchToolError(lacking.spec.name)
    return stage.turns([stage.user(whole.text), stage.calls([whole])], [lacking.spec])


def answer(stage: Stage) -> Turns:
    first = stage.target("reply")
    if stage.chance(0.5):
        asked = [ask(first, stage.scene, stage.ways(first), optional=0.3)]
        text, specs = asked[0].text, [first]
    else:
        text, asked, specs = _different(stage, first, "reply")
    return stage.turns([stage.user(text), *_answered(stage, asked)], specs)


def _answered(stage: Stage, asked: Sequence[Asked]) -> list[Message]:
    """The calls, a result for each, and the answer."""
    calls = stage.calls(asked, thinking.of_calls(stage, asked))
    told = [
        (call.id, *result(stage, item)) for call, item in zip(calls.tool_calls, asked, strict=True)
    ]
    results = [Message("tool", content, tool_call_id=id) for id, content, _ in told]
    sentences = [sentence for _, _, sentence in told]
    joined = ("" if stage.scene.zh else " ").join(sentences)
    if len(sentences) > 1 and stage.chance(0.4):
        joined = "\n".join(f"- {sentence}" for sentence in sentences)
    reply = Message("assistant", joined, reasoning=thinking.of_results(stage))
    return [calls, *results, reply]


def multi_turn(stage: Stage) -> Turns:
    first = stage.target("follow")
    asked = ask(first, stage.scene, stage.ways(first), optional=0.3)
    messages = [stage.user(asked.text), *_answered(stage, [asked])]
    specs = [first]
    rounds = stage.pick((1, 1, 1, 2))
    for number in range(rounds):
        if number == 0 or stage.chance(0.5):
            asked = _following(stage, asked)
            text = asked.text
        else:
            spec = stage.pick(stage.split("reply"))
            if spec.group in {item.group for item in specs}:
                break
            specs.append(spec)
            asked = ask(spec, stage.scene, stage.ways(spec), optional=0.3)
            text = stage.pick(stage.phrases("then")) + asked.text
        messages.append(Message("user", text))
        if number == rounds - 1 and stage.chance(0.4):  # ends with the call: it is what counts
            messages.append(stage.calls([asked], thinking.of_calls(stage, [asked])))
            return stage.turns(messages, [*specs, *stage.others(specs, stage.pick((0, 0, 1)))])
        messages += _answered(stage, [asked])
        if following(asked.spec, stage.language) is None:
            break
    if stage.chance(0.2):
        thanks, _, words = stage.pick(stage.phrases("thanks")).partition(" | ")
        reply = Message("assistant", words, reasoning=thinking.of_nothing(stage))
        messages += [Message("user", thanks), reply]
    return stage.turns(messages, specs)


def _following(stage: Stage, asked: Asked) -> Asked:
    """The next call: what the user says now is new, everything else stays."""
    spec = asked.spec
    way = following(spec, stage.language)
    if way is None:
        raise ValueError(f"{spec.name} has no second question")
    new = set(holes(way))
    kept = {
        name: draw
        for name, draw in asked.draws.items()
        if name not in new and not isinstance(spec.parameter(name).slot, Attribute)
    }
    following_call = ask(spec, stage.scene, [way], fixed=kept)
    for _ in range(RETRIES):  # two numbers may be drawn alike: "and for 22 weeks?" after 22 weeks
        if following_call.values() != asked.values():
            break
        following_call = ask(spec, stage.scene, [way], fixed=kept)
    return following_call


def chat(stage: Stage) -> Turns:
    talk = small_talk(stage)
    reply = Message("assistant", talk.reply, reasoning=thinking.of_nothing(stage))
    return stage.turns([stage.user(talk.question, tail=False), reply], [])


def chat_with_tools(stage: Stage) -> Turns:
    # Thanks and greetings often: with a tool in sight they are what a small model calls it for.
    courteous = stage.chance(0.3)
    talk = courtesy(stage) if courteous else small_talk(stage)
    offered = list(stage.offered)
    if any(spec.domain in talk.domains or spec.general for spec in offered):
        courteous, talk = True, courtesy(stage)
    count = min(stage.pick((1, 1, 1, 2, 2, 3)), stage.max_tools)
    while not stage.offered and len(offered) < count:
        spec = stage.pick(stage.split("specific"))
        if spec.domain not in talk.domains and spec not in offered:
            offered.append(spec)
    reply = Message("assistant", talk.reply, reasoning=thinking.of_nothing(stage))
    # "My daughter wants to know. Good evening." is said by nobody.
    said = Message("user", talk.question) if courteous else stage.user(talk.question, tail=False)
    return stage.turns([said, reply], offered)


KINDS: dict[str, Callable[[Stage], Turns]] = {
    "single": single,
    "multiple": multiple,
    "parallel": parallel,
    "paired": paired,
    "parallel_multiple": parallel_multiple,
    "irrelevant": irrelevant,
    "missing": missing,
    "answer": answer,
    "multi_turn": multi_turn,
    "chat": chat,
    "chat_with_tools": chat_with_tools,
}
