"""Every value of a call stands in the question, or follows from it by a rule of the schema.

The readers here are written without the generator: numbers, days and times are read from the
words as a person would. A model can only learn to copy what is there.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from formosa.data.rows import LANGUAGES, Row
from formosa.data.synth.generate import generate

EN_COUNTS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ZH_COUNTS = {**{mark: i for i, mark in enumerate("零一兩三四五六七八九十")}, "二": 2}
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
NEAR = {
    "the day after tomorrow": 2, "the day before yesterday": -2, "tomorrow": 1, "yesterday": -1,
    "today": 0, "大後天": 3, "大前天": -3, "後天": 2, "前天": -2, "明天": 1, "昨天": -1, "今天": 0,
}  # fmt: skip

FORMS = {
    "YYYY-MM-DD": "%Y-%m-%d", "MM/DD/YYYY": "%m/%d/%Y", "DD/MM/YYYY": "%d/%m/%Y",
    "YYYY/MM/DD": "%Y/%m/%d", "MM-DD-YYYY": "%m-%d-%Y", "DD-MM-YYYY": "%d-%m-%Y",
    "DD.MM.YYYY": "%d.%m.%Y", "YYYYMMDD": "%Y%m%d",
}  # fmt: skip


def numbers_said(text: str) -> set[float]:
    """All numbers in a text, with what they may mean: 5% is 5, or 0.05 as a share."""
    found: set[float] = set()
    pattern = r"(?P<minus>-|minus |負)?(?P<digits>\d[\d,]*(?:\.\d+)?)(?P<after> thousand|萬|%)?"
    for match in re.finditer(pattern, text):
        digits = match["digits"].rstrip(",").replace(",", "")
        value = float(digits) * {" thousand": 1000, "萬": 10_000}.get(match["after"] or "", 1)
        value = round(value, 6)
        found |= {-value if match["minus"] else value, value}
        if match["after"] == "%":
            found.add(round(value / 100, 6))
        for part in digits.split(","):
            found.add(float(part))
    for part in re.findall(r"-?\d+(?:\.\d+)?", text):  # "12,30" may be two numbers
        found.add(float(part))
    words = set(re.findall(r"[a-z]+", text.lower()))
    found |= {float(value) for value, word in enumerate(EN_COUNTS) if word in words}
    return found | {float(value) for mark, value in ZH_COUNTS.items() if mark in text}


def days_said(text: str, today: date | None) -> set[str]:
    found = set()
    for y, m, d in re.findall(r"(\d{4})[-/年](\d{1,2})[-/月](\d{1,2})", text):
        found.add(f"{y}-{int(m):02}-{int(d):02}")
    for name, d, y in re.findall(r"([A-Z][a-z]+) (\d{1,2})(?:st|nd|rd|th)?, (\d{4})", text):
        if name in MONTHS:
            found.add(f"{y}-{MONTHS.index(name) + 1:02}-{int(d):02}")
    for d, name, y in re.findall(r"(\d{1,2}) ([A-Z][a-z]+) (\d{4})", text):
        if name in MONTHS:
            found.add(f"{y}-{MONTHS.index(name) + 1:02}-{int(d):02}")
    if today:
        lowered = text.lower()
        found |= {
            (today + timedelta(days=days)).isoformat()
            for word, days in NEAR.items()
            if word in lowered
        }
    return found


def clocks_said(text: str) -> set[str]:
    found = set(re.findall(r"\d\d:\d\d", text))
    for hour, minute, half in re.findall(r"(\d{1,2})(?::(\d\d))? ([ap]m)", text):
        found.add(f"{int(hour) + 12 * (half == 'pm'):02}:{minute or '00'}")
    for part, hour, rest in re.findall(r"(早上|上午|下午|晚上)(\d{1,2})點(半|\d{1,2}分)?", text):
        minute = {"": "00", "半": "30"}.get(rest, rest.rstrip("分"))
        found.add(f"{int(hour) + 12 * (part in ('下午', '晚上')):02}:{minute}")
    return found


def today_of(row: Row) -> date | None:
    system = row.messages[0].content if row.messages[0].role == "system" else ""
    days = days_said(system, None)
    return date.fromisoformat(days.pop()) if days else None


def leaves(value: Any, schema: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every single value of the arguments, with its own schema."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, schema["properties"][name])
    elif isinstance(value, list):
        for item in value:
            inner = dict(schema["items"])
            inner.setdefault("description", schema.get("description", ""))
            yield from leaves(item, inner)
    else:
        yield value, schema


def calls(rows: list[Row]) -> Iterator[tuple[Row, str, dict[str, Any], dict[str, Any]]]:
    """Each call with what had been said before it, and the schema of its tool."""
    for row in rows:
        schemas = {tool.name: tool.schema() for tool in row.tools}
        said = ""
        for message in row.messages:
            said += f"\n{message.content}" if message.role == "user" else ""
            for call in message.tool_calls:
                yield row, said, call.values(), schemas[call.name]


@pytest.fixture(scope="module", params=LANGUAGES)
def rows(request: pytest.FixtureRequest) -> list[Row]:
    kinds = {"single": 4, "multiple": 3, "parallel": 3, "parallel_multiple": 3, "missing": 2,
             "multi_turn": 1, "answer": 1}  # fmt: skip
    languages = {request.param: 1.0}
    return [
        *generate(3000, 31, kinds=kinds, languages=languages),
        *generate(600, 31, kinds=kinds, languages=languages, held_out=True),
    ]


def test_every_text_is_copied_and_every_day_and_time_follows_by_its_rule(rows: list[Row]) -> None:
    copied = Counter[str]()
    for row, said, arguments, schema in calls(rows):
        for value, own in leaves(arguments, schema):
            if not isinstance(value, str) or "enum" in own:
                continue
            rule = own.get("description", "")
            if value.lower() in said.lower():
                copied["copied"] += 1
            elif form := next((form for form in FORMS if form in rule), ""):
                day = datetime.strptime(value, FORMS[form]).date()
                assert day.isoformat() in days_said(said, today_of(row)), (value, said)
                copied[form] += 1
            else:
                assert "HH:MM" in rule, (value, said, own)
                assert value in clocks_said(said), (value, said)
                copied["clock"] += 1
    assert copied["copied"] > 2500 and copied["YYYY-MM-DD"] > 100 and copied["clock"] > 30
    assert all(copied[form] > 3 for form in FORMS), copied


def test_every_number_is_said(rows: list[Row]) -> None:
    seen = 0
    for _, said, arguments, schema in calls(rows):
        for value, own in leaves(arguments, schema):
            if isinstance(value, bool) or not isinstance(value, int | float) or "enum" in own:
                continue
            assert round(float(value), 6) in numbers_said(said), (value, said)
            seen += 1
    assert seen > 2500


def test_types_are_those_of_the_schema(rows: list[Row]) -> None:
    """And every JSON type comes often, or a model writes everything as text."""
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    found: Counter[str] = Counter()
    total = 0
    for _, _, arguments, schema in calls(rows):
        for value, own in leaves(arguments, schema):
            kinds = own["type"] if isinstance(own["type"], list) else [own["type"]]
            name = names[type(value)]
            assert name in kinds or (name == "integer" and "number" in kinds), (value, own)
            found[name] += 1
            total += 1
        for name, value in arguments.items():
            if isinstance(value, list | dict):
                inner = value[0] if isinstance(value, list) else None
                found["object" if inner is None else f"array of {type(inner).__name__}"] += 1
                assert schema["properties"][name]["type"] == (
                    "array" if isinstance(value, list) else "object"
                )
    assert 0.3 < found["string"] / total < 0.62
    assert found["integer"] / total > 0.2
    assert found["number"] / total > 0.03 and found["boolean"] / total > 0.04
    assert found["null"] > 10 and found["object"] > 60
    for kind in ("str", "int", "float", "dict", "list"):
        assert found[f"array of {kind}"] > 10, kind


def test_lists_of_one_are_still_lists(rows: list[Row]) -> None:
    lengths = Counter(
        len(value)
        for _, _, arguments, _ in calls(rows)
        for value in arguments.values()
        if isinstance(value, list)
    )
    assert lengths[1] > 40 and lengths[2] > 40 and lengths[3] > 40


def test_an_optional_argument_is_given_or_left_out_but_no_default_is_filled_in(
    rows: list[Row],
) -> None:
    given: Counter[bool] = Counter()
    for _, said, arguments, schema in calls(rows):
        for name, own in schema["properties"].items():
            if name in schema["required"]:
                assert name in arguments
                continue
            given[name in arguments] += 1
            default = own.get("default")
            if name in arguments and arguments[name] == default and own["type"] == "integer":
                assert "enum" in own or float(default) in numbers_said(said)
    assert 0.25 < given[True] / given.total() < 0.75


def test_a_number_with_a_unit_that_is_text_stays_text(rows: list[Row]) -> None:
    """`5C` or `0912345678` as a JSON number was the commonest unreadable answer."""
    texts = [
        value
        for _, _, arguments, schema in calls(rows)
        for value, own in leaves(arguments, schema)
        if isinstance(value, str) and "enum" not in own and re.fullmatch(r"[\d.-]+[A-Za-z]*", value)
    ]
    assert len(texts) > 60
    assert any(text.isdigit() and text.startswith("0") for text in texts)
    assert json.loads(json.dumps(texts)) == texts


def test_nothing_of_the_question_is_hidden_in_the_schema(rows: list[Row]) -> None:
    """Schemas are written before the question: no example in them is the answer by chance."""
    leaked = sum(
        f"例如「{value}」" in json.dumps(schema, ensure_ascii=False)
        for _, _, arguments, schema in calls(rows)
        for value, own in leaves(arguments, schema)
        if isinstance(value, str)
    )
    assert leaked < 20
