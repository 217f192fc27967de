"""The trailing day of a product that no model serves yet, kept so that its first one begins with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from volspike.features.grid import ClosedSecond, SecondGrid
from volspike.features.window import last_closed_second
from volspike.labels.second_journal import MINUTE_S, SecondJournal
from volspike.labels.trailing import TrailingState


@dataclass(frozen=True)
class PastSoFar:
    """A day of closed seconds as it was at a moment; what goes on meanwhile does not change it."""

    state: dict[str, Any]
    minutes: tuple[bytes, ...]

    def give(self, trailing: TrailingState) -> None:
        """Make a fresh state what it would be, had it been given all of this: seconds of work for a day."""
        trailing.import_state(self.state, SecondJournal().restore(self.minutes))


class KeptPast:
    """Follows the closed seconds of one product: what a ``TrailingState`` remembers, whatever the model.

    Examples
    --------
    >>> from volspike.labels.tau import TauSpec
    >>> past, trailing = KeptPast(), TrailingState(TauSpec(), 1.0, 2)
    >>> past.on_tick(1_500_000_000, 200, 0)
    >>> so_far = past.so_far()
    >>> past.on_mark(3_500_000_000, 0)
    >>> so_far.give(trailing)
    >>> past.catch_up(trailing)
    >>> [each.second for each in trailing.on_mark(5_500_000_000, 0)]
    [4, 5]
    """

    def __init__(self) -> None:
        self._grid = SecondGrid()
        self._newest_ns: int | None = None
        self._journal = SecondJournal()
        self._minutes: dict[int, bytes] = {}
        self._minute: int | None = None
        self._since: list[ClosedSecond] | None = None

    def on_tick(self, event_ns: int, mid_sum: int, covered_since_ns: int) -> None:
        """Take an accepted tick (ns, bid + ask in price units, ns)."""
        self._take(self._grid.on_tick(event_ns, mid_sum, covered_since_ns), event_ns)

    def on_mark(self, event_ns: int, covered_since_ns: int) -> None:
        """Take a mark (ns, ns)."""
        self._take(self._grid.on_mark(event_ns, covered_since_ns), event_ns)

    def so_far(self) -> PastSoFar:
        """Return what there is now, to be given to a state while this goes on; then ``catch_up``."""
        self._since = []
        self._write()
        return PastSoFar(self._state(), tuple(self._minutes.values()))

    def catch_up(self, trailing: TrailingState) -> None:
        """Give a state that was given the newest ``so_far`` what has come since."""
        trailing.import_state(self._state(), self._since or ())

    def _take(self, closed: Sequence[ClosedSecond], event_ns: int) -> None:
        if self._newest_ns is None or event_ns > self._newest_ns:
            self._newest_ns = event_ns
        if not closed:
            return
        self._journal.add(closed)
        if self._since is not None:
            self._since += closed
        minute = closed[-1].second // MINUTE_S
        if minute != self._minute:
            self._minute = minute
            self._write()

    def _write(self) -> None:
        self._minutes.update(self._journal.take())

    def _state(self) -> dict[str, Any]:
        """Return what ``TrailingState.export_state`` of the same ticks and marks would."""
        second = None if self._newest_ns is None else last_closed_second(self._newest_ns)
        return {"grid": self._grid.export_state(), "second": second}
