"""A market entered late: what came before is not told, but the last trade of each product is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from volspike.simulation.market import GroundTruth, Market, MarketBreak, MarketEvent, MarketTick


class LaterMarket:
    """Tell a market from a given time on.

    Parameters
    ----------
    market : Market
        The market.
    start_ns : int
        Events before it are skipped; the last trade of each product opens what is told.
    before : callable, optional
        Is handed the trades that are skipped.
    """

    def __init__(
        self, market: Market, start_ns: int, before: Callable[[MarketTick], None] | None = None
    ) -> None:
        self._market = market
        self._start_ns = start_ns
        self._before = before

    @property
    def products(self) -> Sequence[str]:
        """Return the products."""
        return self._market.products

    @property
    def dialects(self) -> Sequence[str]:
        """Return the dialects offered."""
        return self._market.dialects

    @property
    def one_frame_per_sweep(self) -> bool:
        """Return whether a sweep is one Advanced Trade frame."""
        return self._market.one_frame_per_sweep

    @property
    def truth(self) -> GroundTruth | None:
        """Return the ground truth, if there is one."""
        return self._market.truth

    def events(self) -> Iterator[MarketEvent]:
        """Yield the events from the start time on."""
        opening: dict[str, MarketTick] = {}
        started = False
        for event in self._market.events():
            if isinstance(event, MarketBreak):
                if started:
                    yield event
                opening.update((tick.product, tick) for tick in event.opening)
            elif event.event_ns < self._start_ns:
                opening[event.product] = event
                if self._before is not None:
                    self._before(event)
            else:
                if not started:
                    started = True
                    yield MarketBreak("start", event.event_ns, tuple(opening.values()))
                yield event
