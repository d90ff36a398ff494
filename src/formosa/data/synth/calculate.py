"""The true results of the calculating tools, so that no answer teaches wrong sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import factorial, lcm
from typing import Any

Values = Mapping[str, Any]


def _round(value: float, digits: int = 2) -> int | float:
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


# What one US dollar buys. Fixed: the rows must not change with the market.
RATES = {"USD": 1.0, "EUR": 0.9, "JPY": 150.0, "TWD": 32.0, "GBP": 0.8, "KRW": 1400.0}


def _exchange(values: Values) -> int | float:
    dollars = values["amount"] / RATES[values["from_currency"]]
    return _round(dollars * RATES[values["to_currency"]])


CALCULATIONS: dict[str, Callable[[Values], Any]] = {
    "exchange": _exchange,
    "bmi": lambda v: _round(v["weight_kg"] / (v["height_cm"] / 100) ** 2, 1),
    "tip": lambda v: _round(v["bill"] * v["tip_percent"] / 100),
    "rectangle_area": lambda v: _round(v["length"] * v["width"]),
    "discount": lambda v: _round(v["price"] * (1 - v["discount"] / 100)),
    "mean": lambda v: _round(sum(v["numbers"]) / len(v["numbers"])),
    "to_fahrenheit": lambda v: _round(v["celsius"] * 9 / 5 + 32, 1),
    "simple_interest": lambda v: _round(v["principal"] * v["annual_rate"] * v["years"]),
    "speed": lambda v: _round(v["distance"] / v["time"]),
    "water": lambda v: (
        v["weight_kg"] * 30 + v.get("exercise_minutes", 0) * 10 + (500 if v.get("hot_day") else 0)
    ),
    "rent_total": lambda v: _round((v["rent"] + sum(v["fees"])) / v.get("roommates", 1)),
    "dot": lambda v: _round(sum(a * b for a, b in zip(v["vectorA"], v["vectorB"], strict=True))),
    "factorial": lambda v: factorial(v["number"]),
    "lcm": lambda v: lcm(*v["numbers"]),
    "percent_change": lambda v: _round(
        (v["new_value"] - v["old_value"]) / v["old_value"] * 100, v.get("decimals", 1)
    ),
    "fuel": lambda v: _round(v["kilometres"] / v["litres"]),
    "dilution": lambda v: _round(v["target_molarity"] * v["final_volume_ml"] / v["stock_molarity"]),
    "solute": lambda v: _round(v["solutionGrams"] * v["share"]),
    "gear": lambda v: _round(v["rpm"] * v["input_teeth"] / v["output_teeth"]),
    "split": lambda v: _round(v["total"] / v["people"]),
}
