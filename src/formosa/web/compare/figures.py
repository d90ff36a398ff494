"""Figures as the pages of comparisons print them: percent, points, p, with a true minus."""

from __future__ import annotations

from formosa.results.metrics import Difference, Score


def percent(share: float) -> str:
    """A share of 1 in percent, one decimal, without the sign."""
    return f"{100 * share:z.1f}"


def signed(share: float) -> str:
    """A difference of shares in points, with a sign: `+3.1`, `−0.4`, `0.0`."""
    text = f"{100 * share:+z.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def interval(score: Score) -> str:
    return f"{percent(score.low)}–{percent(score.high)}"


def points(difference: Difference) -> str:
    """`+4.0 (−1.2 … +9.2)`."""
    low, high = signed(difference.low), signed(difference.high)
    return f"{signed(difference.value)} ({low} … {high})"


def p_text(p: float) -> str:
    """Three decimals, as far as anybody should read a p-value."""
    return "< 0.001" if p < 0.001 else "1" if p >= 0.9995 else f"{p:.3f}"


def number(value: float | None) -> str:
    """Whole numbers with separators, others with three digits; a dash for what is not known."""
    if value is None:
        return "–"
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
