"""How single figures are written for people."""

from __future__ import annotations

import math

DIGITS = 6
_UNITS = (("s", 1e6), ("ms", 1e3))
_LONG_UNITS = (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0))


def mid_text(mid: float) -> str:
    """Return a price to at least six significant digits and at least two decimals.

    Examples
    --------
    >>> mid_text(73_790.906), mid_text(0.0000123456)
    ('73,790.91', '0.0000123456')
    """
    exponent = math.floor(math.log10(mid)) if mid > 0 else 0
    return f"{mid:,.{max(2, DIGITS - 1 - exponent)}f}"


def short_text(value: object) -> object:
    """Return a float to three decimals, without the zero in front of the point; anything else as it is."""
    if not isinstance(value, float):
        return value
    text = f"{value:.3f}"
    for sign in ("", "-"):
        if text.startswith(f"{sign}0."):
            return sign + text[len(sign) + 1 :]
    return text


def figure(value: float | None, form: str, unit: str = "") -> str:
    """Return a figure in the form given, or a dash where there is none."""
    return "-" if value is None else f"{value:{form}}{unit}"


def count_text(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless there is one.

    Examples
    --------
    >>> count_text(1, "cluster"), count_text(1_200, "window")
    ('1 cluster', '1,200 windows')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration_text(microseconds: float | None) -> str:
    """Return a duration in the unit that suits it.

    Examples
    --------
    >>> duration_text(124.0), duration_text(22_020.0), duration_text(None)
    ('124 us', '22 ms', '-')
    """
    if microseconds is None:
        return "-"
    unit, size = next(((unit, size) for unit, size in _UNITS if microseconds >= size), ("us", 1.0))
    value = microseconds / size
    return f"{value:.1f} {unit}" if value < 10 and unit != "us" else f"{value:,.0f} {unit}"


def age_text(age_s: float) -> str:
    """Return an age in the greatest unit of which it is at least two; below 0 it is ahead of the clock.

    Examples
    --------
    >>> age_text(10_421_003.0), age_text(7_300.0), age_text(90.0), age_text(-300.0)
    ('120.6 days', '2.0 h', '90 s', '5.0 min ahead')
    """
    size_s = abs(age_s)
    unit, length_s = next(((unit, of_s) for unit, of_s in _LONG_UNITS if size_s >= 2 * of_s), ("s", 1.0))
    amount = f"{size_s:.0f}" if unit == "s" else f"{size_s / length_s:,.1f}"
    return f"{amount} {unit}{' ahead' if age_s < 0 else ''}"


def reasons_text(reasons: dict[str, int]) -> str:
    """Return counted reasons, the most frequent first.

    Examples
    --------
    >>> reasons_text({"end": 12, "close_1000": 1})
    'end 12, close 1000 once'
    """
    ordered = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))
    told = [f"{name} {count:,}" if count > 1 else f"{name} once" for name, count in ordered]
    return ", ".join(told).replace("_", " ")


def in_brackets(text: str) -> str:
    """Return a remark to be appended; nothing for nothing."""
    return f" ({text})" if text else ""
