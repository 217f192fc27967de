"""The closed seconds of a day as one value a minute, so that writing them down costs what is new.

A minute's value is msgpack: its number, and stretches of consecutive seconds of one run as
``[first second, run, first mid_sum, [q, ...], [change of mid_sum, ...]]``; the first ``q`` of a run is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec

from volspike.features.grid import ClosedSecond

MINUTE_S = 60
# A day, the minute before it that its first volatility needs, and an hour of room.
SLOTS = 1_500


class _Stretch(msgspec.Struct, array_like=True):
    second: int
    run: int
    mid_sum: int
    q: list[int | None]
    change: list[int]


class _Minute(msgspec.Struct, array_like=True):
    minute: int
    stretches: list[_Stretch]


_DECODE = msgspec.msgpack.Decoder(_Minute).decode


class SecondJournal:
    """Keeps the closed seconds of the minutes that have changed since they were written last.

    Examples
    --------
    >>> journal = SecondJournal()
    >>> journal.add([ClosedSecond(59, None, 0, 7), ClosedSecond(60, 3, 0, 9)])
    >>> [slot for slot, _ in journal.take()]
    [0, 1]
    >>> journal.take()
    []
    """

    def __init__(self) -> None:
        self._minutes: dict[int, list[ClosedSecond]] = {}
        self._changed: set[int] = set()

    def add(self, closed: Sequence[ClosedSecond]) -> None:
        """Take seconds, in ascending order."""
        for second in closed:
            minute = second.second // MINUTE_S
            self._minutes.setdefault(minute, []).append(second)
            self._changed.add(minute)

    def take(self) -> list[tuple[int, bytes]]:
        """Return the slot and value of each minute that has changed, once; a slot is written over."""
        # Of more minutes than slots, which a long silence closes at once, only the newest have room.
        minutes = sorted(self._changed)[-SLOTS:]
        taken = [(minute % SLOTS, _encode(minute, self._minutes[minute])) for minute in minutes]
        self._changed.clear()
        newest = max(self._minutes, default=0)
        self._minutes = {minute: each for minute, each in self._minutes.items() if minute == newest}
        return taken

    def restore(self, values: Iterable[bytes]) -> Iterator[ClosedSecond]:
        """Return the seconds of written minutes in order, and go on in the newest of them.

        Raises
        ------
        msgspec.DecodeError
            A value is none of a journal.
        """
        minutes = sorted((_DECODE(value) for value in values), key=lambda minute: minute.minute)
        if minutes:
            self._minutes = {minutes[-1].minute: list(_seconds(minutes[-1]))}
        return (second for minute in minutes for second in _seconds(minute))


def _encode(minute: int, seconds: Sequence[ClosedSecond]) -> bytes:
    starts = [0, *(i for i, (a, b) in enumerate(pairwise(seconds), 1) if not _follows(a, b)), len(seconds)]
    parts = [seconds[start:stop] for start, stop in pairwise(starts)]
    return msgspec.msgpack.encode(_Minute(minute, [_stretch(part) for part in parts]))


def _follows(a: ClosedSecond, b: ClosedSecond) -> bool:
    return b.second == a.second + 1 and b.run == a.run


def _stretch(seconds: Sequence[ClosedSecond]) -> _Stretch:
    first = seconds[0]
    change = [b.mid_sum - a.mid_sum for a, b in pairwise(seconds)]
    return _Stretch(first.second, first.run, first.mid_sum, [each.q for each in seconds], change)


def _seconds(minute: _Minute) -> Iterator[ClosedSecond]:
    for stretch in minute.stretches:
        mid_sum = stretch.mid_sum
        for i, q in enumerate(stretch.q):
            if i:
                mid_sum += stretch.change[i - 1]
            yield ClosedSecond(stretch.second + i, q, stretch.run, mid_sum)
