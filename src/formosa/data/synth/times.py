"""Days and clock times whose value is written another way than people say them.

Their rule is in the description, so the value follows from the question and the schema. "Tomorrow"
is said only where the system message tells what day it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from formosa.data.synth.slots import ISO_DAY, RETRIES, Draw, Scene

EN_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
EN_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ZH_WEEKDAYS = "一二三四五六日"
EN_NEAR = ("today", "tomorrow", "the day after tomorrow")
ZH_NEAR = ("今天", "明天", "後天", "大後天")
EN_GONE = ("today", "yesterday", "the day before yesterday")
ZH_GONE = ("今天", "昨天", "前天", "大前天")
DAY_FORMS = {  # as descriptions name them, and what they are to strftime
    ISO_DAY: "%Y-%m-%d",
    "MM/DD/YYYY": "%m/%d/%Y",
    "DD/MM/YYYY": "%d/%m/%Y",
    "YYYY/MM/DD": "%Y/%m/%d",
    "MM-DD-YYYY": "%m-%d-%Y",
    "DD-MM-YYYY": "%d-%m-%Y",
    "DD.MM.YYYY": "%d.%m.%Y",
    "YYYYMMDD": "%Y%m%d",
}


def _new(draw: Callable[[Scene], Draw], scene: Scene) -> Draw:
    """One that the conversation has not named yet, if that can be had in a few attempts."""
    found = draw(scene)
    for _ in range(RETRIES):
        if found.value not in scene.taken:
            break
        found = draw(scene)
    scene.taken.add(found.value)
    return found


@dataclass(frozen=True, slots=True)
class Day:
    """A day; its value is written in the scene's form. With `on`, the English words bring their
    preposition."""

    on: bool = False
    past: bool = False
    later: bool = False  # than the last day of the conversation
    copied = False
    rule = (ISO_DAY, f"格式為 {ISO_DAY}")

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def draw(self, scene: Scene) -> Draw:
        draw = _new(self._draw, scene)
        scene.last_day = date.fromisoformat(draw.value)
        return Draw(scene.last_day.strftime(DAY_FORMS[scene.day_form]), draw.text)

    def _draw(self, scene: Scene) -> Draw:
        rng = scene.rng
        if self.later and scene.last_day:
            day = scene.last_day + timedelta(days=1 + rng.randrange(12))
            return Draw(day.isoformat(), self._say(day, scene))
        if scene.today and rng.random() < 0.75:
            near = (ZH_GONE if self.past else ZH_NEAR) if scene.zh else (
                EN_GONE if self.past else EN_NEAR
            )  # fmt: skip
            days = rng.randrange(len(near))
            moved = scene.today + timedelta(days=-days if self.past else days)
            return Draw(moved.isoformat(), near[days])
        year = 2020 + rng.randrange(6) if self.past else 2026 + rng.randrange(2)
        day = date(year, 1 + rng.randrange(12), 1 + rng.randrange(28))
        return Draw(day.isoformat(), self._say(day, scene))

    def _say(self, day: date, scene: Scene) -> str:
        form = scene.rng.randrange(5)
        if scene.zh:
            forms = (f"{day.year}年{day.month}月{day.day}日", f"{day.year}/{day.month}/{day.day}")
            return day.isoformat() if form == 4 else forms[form > 2]
        month = EN_MONTHS[day.month - 1]
        text = (
            f"{month} {day.day}, {day.year}", f"{month} {day.day}, {day.year}",
            f"{day.day} {month} {day.year}", f"{month} {_ordinal(day.day)}, {day.year}",
            day.isoformat(),
        )[form]  # fmt: skip
        return f"on {text}" if self.on else text


def _ordinal(number: int) -> str:
    """`1st`, `22nd`, `13th`."""
    ending = "th" if 10 < number < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day; its value is of 24 hours. With `at`, English words bring the preposition."""

    at: bool = False
    copied = False
    rule = ("24-hour HH:MM", "24 小時制 HH:MM")

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def draw(self, scene: Scene) -> Draw:
        return _new(self._draw, scene)

    def _draw(self, scene: Scene) -> Draw:
        hour, minute = 7 + scene.rng.randrange(15), 15 * scene.rng.randrange(4)
        value = f"{hour:02}:{minute:02}"
        text = value
        if hour != 12 and scene.rng.random() < 0.65:
            text = _zh_clock(hour, minute) if scene.zh else _en_clock(hour, minute)
        return Draw(value, f"at {text}" if self.at and not scene.zh else text)


def _en_clock(hour: int, minute: int) -> str:
    half = "am" if hour < 12 else "pm"
    return f"{(hour - 1) % 12 + 1}{f':{minute:02}' if minute else ''} {half}"


def _zh_clock(hour: int, minute: int) -> str:
    part = "早上" if hour < 10 else "上午" if hour < 12 else "下午" if hour < 18 else "晚上"
    rest = {0: "", 30: "半"}.get(minute, f"{minute}分")
    return f"{part}{(hour - 1) % 12 + 1}點{rest}"


def say_today(day: date, *, zh: bool) -> str:
    """`Thursday, March 5, 2026`, 「2026年3月5日星期四」."""
    if zh:
        return f"{day.year}年{day.month}月{day.day}日星期{ZH_WEEKDAYS[day.weekday()]}"
    return f"{EN_WEEKDAYS[day.weekday()]}, {EN_MONTHS[day.month - 1]} {day.day}, {day.year}"
