"""Exact numbers and times of the wire: decimal text to integers, RFC 3339 to nanoseconds, and back.

Nothing here passes through a binary float, and nothing is rounded: a text that has no exact integer at the
wanted scale is refused.
"""

from __future__ import annotations

from functools import lru_cache

from volspike.errors import ProtocolError

INT64_MAX = 2**63 - 1
NS_PER_SECOND = 1_000_000_000

_POWER_OF_TEN: tuple[int, ...] = tuple(10**exponent for exponent in range(20))
_MAX_TEXT = 64  # longer than any number or time of the wire; keeps int() from reading a megabyte
_DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SECONDS_PER_DAY = 86_400
_LAST_SECOND = INT64_MAX // NS_PER_SECOND


def parse_decimal(text: str, decimals: int) -> int:
    """Read decimal text as an integer in units of ``10 ** -decimals``.

    Parameters
    ----------
    text : str
        ASCII digits with an optional ``-`` in front and at most one point: ``"61804.37"``, ``"12"``.
    decimals : int
        Decimal places of the result, 0 to 18. Further places in the text must be zeros.

    Returns
    -------
    int
        The value times ``10 ** decimals``, within int64.

    Raises
    ------
    ProtocolError
        Reason ``number``: empty, not a number, an exponent, too precise or too large.

    Examples
    --------
    >>> parse_decimal("61804.37", 8)
    6180437000000
    """
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if len(digits) < 19 and digits.isdigit() and digits.isascii() and len(fraction) <= decimals:
        value = int(digits) * _POWER_OF_TEN[decimals - len(fraction)]
        if value <= INT64_MAX:
            return value
    return _parse_unusual_decimal(text, decimals)


def _parse_unusual_decimal(text: str, decimals: int) -> int:
    magnitude = text[1:] if text[:1] == "-" else text
    whole, _, fraction = magnitude.partition(".")
    if len(text) > _MAX_TEXT or not _is_digits(whole + fraction):
        raise ProtocolError("number", text[:_MAX_TEXT])
    kept, excess = fraction[:decimals], fraction[decimals:]
    value = int(whole + kept or "0") * _POWER_OF_TEN[decimals - len(kept)]
    if excess.strip("0") or value > INT64_MAX:
        raise ProtocolError("number", text)
    return -value if text[0] == "-" else value


def _is_digits(text: str) -> bool:
    return text.isdigit() and text.isascii()


def format_decimal(value: int, decimals: int) -> str:
    """Write an integer in units of ``10 ** -decimals`` as decimal text, trailing zeros trimmed.

    Examples
    --------
    >>> format_decimal(6180437000000, 8)
    '61804.37'
    """
    whole, remainder = divmod(abs(value), _POWER_OF_TEN[decimals])
    sign = "-" if value < 0 else ""
    if remainder == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{remainder:0{decimals}d}".rstrip("0")


def parse_time_ns(text: str) -> int:
    """Read an RFC 3339 time as integer nanoseconds since 1970, UTC.

    Parameters
    ----------
    text : str
        ``YYYY-MM-DDThh:mm:ss``, then 0 to 9 fractional digits, then ``Z`` or ``+hh:mm`` / ``-hh:mm``. A leap
        second (``23:59:60``) is the same instant as the midnight that follows, as in POSIX.

    Returns
    -------
    int
        Nanoseconds, from 0 (1970) to the end of int64 (2262).

    Raises
    ------
    ProtocolError
        Reason ``time``: not of this shape, a field out of its range, no zone, before 1970 or after 2262.

    Examples
    --------
    >>> parse_time_ns("1970-01-01T00:00:01.5Z")
    1500000000
    """
    second, _, rest = text.partition(".")
    fraction = rest[:-1]
    padding = 9 - len(fraction)
    if rest[-1:] == "Z" and padding >= 0 and fraction.isdigit() and fraction.isascii():
        return _second_ns(second) + int(fraction) * _POWER_OF_TEN[padding]
    return _parse_unusual_time(text)


def _parse_unusual_time(text: str) -> int:
    rest = text[19:]
    if rest[-1:] == "Z":
        fraction, offset_s = rest[:-1], 0
    else:
        fraction, offset_s = rest[:-6], _offset_seconds(rest[-6:], text)
    if fraction and not (fraction[0] == "." and len(fraction) <= 10 and _is_digits(fraction[1:])):
        raise ProtocolError("time", text[:_MAX_TEXT])
    time_ns = _second_ns(text[:19]) - offset_s * NS_PER_SECOND + int(fraction[1:].ljust(9, "0"))
    if not 0 <= time_ns <= INT64_MAX:
        raise ProtocolError("time", text)
    return time_ns


def _offset_seconds(offset: str, text: str) -> int:
    hours, minutes = offset[1:3], offset[4:6]
    if not (len(offset) == 6 and offset[0] in "+-" and offset[3] == ":" and _is_digits(hours + minutes)):
        raise ProtocolError("time", text[:_MAX_TEXT])
    if int(hours) > 23 or int(minutes) > 59:
        raise ProtocolError("time", text[:_MAX_TEXT])
    seconds = int(hours) * 3600 + int(minutes) * 60
    return -seconds if offset[0] == "-" else seconds


@lru_cache(maxsize=256)
def _second_ns(text: str) -> int:
    """Return the nanoseconds of ``YYYY-MM-DDThh:mm:ss``; the stamps of one second share the work."""
    shape = text[4:5] + text[7:8] + text[10:11] + text[13:14] + text[16:17]
    digits = text[:4] + text[5:7] + text[8:10] + text[11:13] + text[14:16] + text[17:]
    if shape != "--T::" or len(text) != 19 or not _is_digits(digits):
        raise ProtocolError("time", text[:_MAX_TEXT])
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:])
    leap_second = second == 60 and hour == 23 and minute == 59
    if hour > 23 or minute > 59 or (second > 59 and not leap_second):
        raise ProtocolError("time", text)
    seconds = _epoch_day(year, month, day, text) * _SECONDS_PER_DAY + hour * 3600 + minute * 60 + second
    if not 0 <= seconds < _LAST_SECOND:
        raise ProtocolError("time", text)
    return seconds * NS_PER_SECOND


def _epoch_day(year: int, month: int, day: int, text: str) -> int:
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (1 <= month <= 12 and 1 <= day <= _DAYS_IN_MONTH[month - 1] + (is_leap and month == 2)):
        raise ProtocolError("time", text)
    past = year - 1
    days_before_year = past * 365 + past // 4 - past // 100 + past // 400
    leap_day = 1 if is_leap and month > 2 else 0
    return days_before_year + _DAYS_BEFORE_MONTH[month - 1] + leap_day + day - 1 - 719_162


def format_time_ns(ns: int, digits: int = 9, trim: bool = True) -> str:
    """Write nanoseconds since 1970 as an RFC 3339 time in UTC.

    Parameters
    ----------
    ns : int
        Nanoseconds, 0 or more. What ``digits`` can't show is cut off, not rounded.
    digits : int
        Fractional digits, 0 to 9.
    trim : bool
        Drop trailing zeros of the fraction, as Advanced Trade does.

    Examples
    --------
    >>> format_time_ns(1_500_000_000), format_time_ns(1_500_000_000, digits=6, trim=False)
    ('1970-01-01T00:00:01.5Z', '1970-01-01T00:00:01.500000Z')
    """
    seconds, nanosecond = divmod(ns, NS_PER_SECOND)
    fraction = f"{nanosecond:09d}"[:digits]
    if trim:
        fraction = fraction.rstrip("0")
    return f"{_format_second(seconds)}.{fraction}Z" if fraction else f"{_format_second(seconds)}Z"


@lru_cache(maxsize=256)
def _format_second(epoch_second: int) -> str:
    days, second = divmod(epoch_second, _SECONDS_PER_DAY)
    year, month, day = _civil_date(days)
    hour, second = divmod(second, 3600)
    minute, second = divmod(second, 60)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"


def _civil_date(epoch_day: int) -> tuple[int, int, int]:
    # Years counted from 1 March, so that the leap day comes last.
    day_of_march_calendar = epoch_day + 719_468
    era, day_of_era = divmod(day_of_march_calendar, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    return era * 400 + year_of_era + (month <= 2), month, day
