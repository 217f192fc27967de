"""Compiled readers of the numbers in a line: counts, prices and sizes, volumes.

They accept only what the general decoder is sure to read as the same integer. ``p`` is the address of a
character, ``step`` that of the template's step, which remembers the latest length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.jit import inlined, part
from volspike.recording.program import LATEST
from volspike.recording.wire_bytes import (
    SPAN,
    byte_at,
    digits_value,
    load,
    no_decimal_marks,
    no_digit_marks,
    store,
    trailing_zeros,
    word_at,
)
from volspike.records import SIZE_DECIMALS, UNKNOWN

NO_NUMBER = -1
PRICE_LIMIT = 1 << 59  # three times the difference of two mid sums stays within int64
POWERS: npt.NDArray[np.int64] = np.array([10**exponent for exponent in range(19)], np.int64)

_MAX_DIGITS = 18  # of a decimal, whatever its point
_LARGEST = (PRICE_LIMIT - 1) // POWERS
_MAX_WHOLE_VOLUME = 11  # digits before the point
_LARGEST_VOLUME = np.int64(2**63 - 1) // POWERS
_U0, _U1, _BEHIND_SPAN = np.uint64(0), np.uint64(1), np.uint64(1 << SPAN)


@inlined
def length_before(marks: Any, step: int) -> int:
    """Return how many characters of a span come before the first mark.

    It is mostly what it was the last time. A right guess lets the processor go on before it has looked.
    """
    latest = load(step, LATEST)
    bit = _U1 << np.uint64(latest)
    if marks & (bit ^ (bit - _U1)) == bit:
        return latest
    length = trailing_zeros(marks | _BEHIND_SPAN)
    store(step, LATEST, length)
    return length


@inlined
def digits_number(p: int, length: int) -> int:
    """Return the number of up to 19 digits, negative where they don't fit in 63 bits."""
    if length <= 8:
        return digits_value(word_at(p), length)
    value: Any = digits_value(word_at(p), 8)
    if length <= 16:
        value = value * POWERS[length - 8] + digits_value(word_at(p + 8), length - 8)
        return int(value)
    value = value * POWERS[8] + digits_value(word_at(p + 8), 8)
    value = value * POWERS[length - 16] + digits_value(word_at(p + 16), length - 16)
    return int(value)


@inlined
def count_at(p: int, step: int) -> tuple[int, int]:
    """Return (value, length) of a whole number of JSON, length -1 where it is none within int64."""
    marks = no_digit_marks(p)
    length = length_before(marks, step)
    if length == 0 or length > 19 or (length > 1 and byte_at(p) == 48):
        return 0, NO_NUMBER
    value = digits_number(p, length)
    return (value, length) if value >= 0 else (0, NO_NUMBER)


@inlined
def _exact(p: int, step: int, decimals: int) -> tuple[int, int, int]:
    """Return (digits as a number, places it lacks of the scale, length) of a decimal from 0.

    The length is -1 where it is none, is finer than the scale or has too many digits.
    """
    no_decimal = no_decimal_marks(p)
    length = length_before(no_decimal, step)
    points = (no_digit_marks(p) ^ no_decimal) & ((_U1 << np.uint64(length)) - _U1)
    if length == 0 or length > _MAX_DIGITS + (points != _U0):
        return 0, 0, NO_NUMBER
    if points == _U0:
        value, fraction_length = digits_number(p, length), 0
    else:
        whole = trailing_zeros(points)
        fraction_length = length - whole - 1
        if whole == 0 or fraction_length == 0 or fraction_length > decimals or points & (points - _U1) != _U0:
            return 0, 0, NO_NUMBER
        value = digits_number(p, whole) * POWERS[fraction_length]
        value += digits_number(p + whole + 1, fraction_length)
    return value, decimals - fraction_length, length


@inlined
def decimal_at(p: int, step: int, decimals: int) -> tuple[int, int]:
    """Return (units, length) of a decimal above 0, length -1 where it has no exact integer at the scale."""
    value, lacking, length = _exact(p, step, decimals)
    if value <= 0 or value > _LARGEST[lacking]:
        return 0, NO_NUMBER
    return value * POWERS[lacking], length


@part
def _beyond(p: int) -> int:
    """Return the length of what begins with more whole digits than any volume within int64, else -1."""
    no_decimal = no_decimal_marks(p)
    points = no_digit_marks(p) ^ no_decimal
    length = trailing_zeros(no_decimal | _BEHIND_SPAN)
    whole = min(trailing_zeros(points | _BEHIND_SPAN), length)
    return length if whole > _MAX_WHOLE_VOLUME and byte_at(p) != 48 else NO_NUMBER


@inlined
def volume_at(p: int, step: int) -> tuple[int, int]:
    """Return (units, length) of a volume from 0, unknown beyond int64; length -1 where it is odd."""
    value, lacking, length = _exact(p, step, SIZE_DECIMALS)
    if length < 0:
        return UNKNOWN, _beyond(p)
    return (UNKNOWN if value > _LARGEST_VOLUME[lacking] else value * POWERS[lacking]), length
