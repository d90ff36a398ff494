"""What each row is to be about, by its number: the same for the same seed, on any machine.

A seed names the kind of row, its language, the tools that its question needs and those that are
only offered, a topic, and who asks in which manner. It does not depend on how many others there
are, so a run can be made longer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from formosa.chat.message import Tool
from formosa.data.teacher.config import TeacherConfig
from formosa.data.teacher.offers import Offer
from formosa.errors import DataError

PEOPLE: Mapping[str, tuple[str, ...]] = {
    "zh-TW": (
        "趕時間的上班族", "大學生", "國中老師", "退休的長輩", "帶小孩的家長", "小吃店老闆",
        "護理師", "工程師", "計程車司機", "剛搬到新城市的人", "公務員", "自由接案的設計師",
        "準備出遊的背包客", "農夫", "社區管委會的幹部", "第一次使用 AI 助理的人",
    ),
    "en": (
        "an office worker in a hurry", "a student", "a school teacher", "a retired person",
        "a parent of small children", "the owner of a small shop", "a nurse", "an engineer",
        "a taxi driver", "somebody new in town", "a civil servant", "a freelance designer",
        "a traveller on a budget", "a farmer", "a volunteer of a club",
        "somebody who never used an assistant before",
    ),
}  # fmt: skip
MANNERS: Mapping[str, tuple[str, ...]] = {
    "zh-TW": ("簡短直接", "客氣", "口語、像在聊天", "先交代背景再提出要求", "條列清楚", "有點著急"),
    "en": ("short and direct", "polite", "chatty", "background first, then the request",
           "precise, like a note to a colleague", "slightly impatient"),
}  # fmt: skip
MOST_CALLS = 3  # of a parallel row


@dataclass(frozen=True, slots=True, eq=False)
class Seed:
    """What one row is to be about.

    Attributes:
        id: of the row.
        topic: what the question is about; "" where the tools say enough.
        needed: what the question needs, in no order; what it can't have where the kind is
            `missing`; empty where no tool fits.
        offered: the tools of the row, in their order.
        calls: how many there must be.
        left_out: of `missing`: the parameter that the question must not say.
        place: a number for the dice of requests, from the seed and the number.
    """

    id: str
    kind: str
    language: str
    topic: str
    person: str
    manner: str
    needed: tuple[Offer, ...]
    offered: tuple[Tool, ...]
    calls: int
    left_out: str
    place: int


def make_seeds(config: TeacherConfig, offers: Callable[[str], Sequence[Offer]]) -> Iterator[Seed]:
    """The seeds, `config.questions` of them.

    Args:
        config: as above.
        offers: the tools that there are, by language.

    Raises:
        DataError: a kind that is asked for can't be made of these tools.
    """
    for number in range(config.questions):
        yield make_seed(config, offers, number)


def make_seed(config: TeacherConfig, offers: Callable[[str], Sequence[Offer]], number: int) -> Seed:
    """The seed of one row. Raises as `make_seeds`."""
    rng = random.Random(f"formosa teacher 1 {config.seed} {number}")
    kind = rng.choices(list(config.kinds), list(config.kinds.values()))[0]
    language = rng.choices(list(config.languages), list(config.languages.values()))[0]
    there = offers(language)
    needed = _needed(rng, kind, there)
    none_fits = kind == "irrelevant"
    most = 0 if kind == "single" else config.max_tools - len(needed)
    others = _others(rng, needed, there, min(1 + none_fits, most), most)
    topic = ""
    if none_fits and len(others) > 1:  # the question is for one that is not offered
        absent, *others = others
        topic = absent.topic
    shown = [*needed, *others]
    rng.shuffle(shown)
    return Seed(
        id=f"teacher-{config.seed}-{number}",
        kind=kind,
        language=language,
        topic=rng.choice(config.topics) if config.topics else topic,
        person=rng.choice(PEOPLE[language]),
        manner=rng.choice(MANNERS[language]),
        needed=needed,
        offered=tuple(offer.tool for offer in shown),
        calls=_calls(rng, kind),
        left_out=rng.choice(needed[0].required) if kind == "missing" else "",
        place=rng.getrandbits(30),
    )


def _calls(rng: random.Random, kind: str) -> int:
    if kind == "parallel":
        return rng.randint(2, MOST_CALLS)
    return {"irrelevant": 0, "missing": 0, "parallel_multiple": 2}.get(kind, 1)


def _needed(rng: random.Random, kind: str, there: Sequence[Offer]) -> tuple[Offer, ...]:
    if kind == "irrelevant":
        return ()
    fitting = {
        "missing": [offer for offer in there if offer.required],
        "parallel": [offer for offer in there if offer.differs],
    }.get(kind, list(there))
    if not fitting:
        raise DataError(
            f"No tool fits rows of the kind {kind}: none has the parameters that it needs.",
            "name other kinds: --kind single=1",
        )
    first = rng.choice(fitting)
    if kind != "parallel_multiple":
        return (first,)
    second = [offer for offer in there if offer.kin != first.kin]
    if not second:
        raise DataError(
            "Rows of the kind parallel_multiple need two tools that do different things.",
            "offer more tools, or name other kinds: --kind single=1",
        )
    # Of the same field where there are some: people don't ask for a tip and a bus in one breath.
    near = [offer for offer in second if offer.field == first.field]
    return first, rng.choice(near or second)


def _others(
    rng: random.Random, needed: Sequence[Offer], there: Sequence[Offer], least: int, most: int
) -> list[Offer]:
    """Tools that could not stand for the needed ones nor for each other, where there are any."""
    taken = {offer.kin for offer in needed}
    pool = [offer for offer in there if offer.kin not in taken]
    rng.shuffle(pool)
    found: list[Offer] = []
    count = rng.randint(least, most)
    for offer in pool:
        if len(found) < count and offer.kin not in taken:
            taken.add(offer.kin)
            found.append(offer)
    return found
