"""Lines of a foreign recording with a wrong date far ahead: taken as they are, all that follow were late."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from volspike.exchange.items import Decoded
from volspike.records import UNKNOWN

LEAP_NS = 3_600_000_000_000


class Line(NamedTuple):
    """A usable line: its number, bytes and frame, and its receive time (ns), the frame's own without one."""

    number: int
    text: bytes
    raw: bytes
    decoded: Decoded
    receive_ns: int

    @property
    def stamp_ns(self) -> int:
        """The time to judge by, ``UNKNOWN`` where the line has none or a receive clock beside it."""
        return self.receive_ns if self.receive_ns == self.decoded.event_ns else UNKNOWN


def without_outliers(lines: Iterable[Line], on_outlier: Callable[[Line], None]) -> Iterator[Line]:
    """Leave out a line that leaps ahead more than an hour of the one before and of the one behind it.

    The first line has none before it. Lines come out in their order, each held until the next time is known.
    """
    before_ns, held = UNKNOWN, list[Line]()
    is_first = True
    for line in lines:
        stamp_ns = line.stamp_ns
        if stamp_ns != UNKNOWN:
            if held and held[0].stamp_ns != UNKNOWN:
                held_ns = held[0].stamp_ns
                leaps = is_first if before_ns == UNKNOWN else held_ns - before_ns > LEAP_NS
                if leaps and held_ns - stamp_ns > LEAP_NS:
                    on_outlier(held.pop(0))
                else:
                    before_ns = held_ns
                is_first = False
            yield from held
            held.clear()
        held.append(line)
    yield from held
