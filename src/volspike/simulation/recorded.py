"""A market made of recorded quotes: what was recorded is told, and nothing is invented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from volspike.errors import NotEnoughDataError
from volspike.exchange.items import Quote
from volspike.records import UNKNOWN
from volspike.simulation.market import GroundTruth, MarketBreak, MarketEvent, MarketTick

SILENCE_NS = 15_000_000_000
"""A silence of every product longer than this is a break of the recording."""

HEAD_QUOTES = 2_000
"""How far into a session its products' first quotes are looked for."""

Session = tuple[str, Iterable[Quote]]


class RecordedMarket:
    """Turn sessions of quotes into market events; each session boundary and each long silence is a break.

    The first quote of a product in a session opens it (the state a subscriber is told of). It is also an
    event unless the recording says it is a snapshot, or identifies trades: an Exchange feed always starts
    with the last trade before the subscription. A quote older than the newest one told (where two recordings
    overlap, the earlier wins) or without both sides is skipped and counted in ``skipped``.

    Parameters
    ----------
    sessions : iterable of (str, iterable of Quote)
        In time order; read once, lazily.
    products : sequence of str, optional
        What may be subscribed; by default the products found at the head of the first session.
    start_ns, end_ns : int, optional
        Tell only events in ``[start_ns, end_ns)``. The last quote before ``start_ns`` opens its product.
    before : callable, optional
        Is handed the quotes before ``start_ns``.

    Raises
    ------
    NotEnoughDataError
        If the first session has no quote.
    """

    def __init__(
        self,
        sessions: Iterable[Session],
        products: Sequence[str] = (),
        start_ns: int | None = None,
        end_ns: int | None = None,
        before: Callable[[MarketTick], None] | None = None,
    ) -> None:
        remaining = iter(sessions)
        first = next(remaining, None)
        head = [] if first is None else list(islice(quotes := iter(first[1]), HEAD_QUOTES))
        if first is None or not head:
            raise NotEnoughDataError("recording", "it has no quote", "give a recording of ticker frames")
        self._sessions = chain([(first[0], chain(head, quotes))], remaining)
        self._identified = all(q.trade_id != UNKNOWN and q.size != UNKNOWN for q in head)
        self._products = tuple(products) or tuple(sorted({q.product for q in head}))
        self._start_ns = start_ns if start_ns is not None else 0
        self._end_ns = end_ns if end_ns is not None else 2**63 - 1
        self._before = before
        self.skipped: Counter[str] = Counter()

    @property
    def products(self) -> Sequence[str]:
        """Return the products that may be subscribed."""
        return self._products

    @property
    def dialects(self) -> Sequence[str]:
        """Return both dialects if trades are identified and sized, else Advanced Trade alone."""
        return ("advanced", "exchange") if self._identified else ("advanced",)

    @property
    def one_frame_per_sweep(self) -> bool:
        """Return False: a recorded row is a frame of its own."""
        return False

    @property
    def truth(self) -> GroundTruth | None:
        """Return None: nobody knows the true state of a recorded market."""
        return None

    def events(self) -> Iterator[MarketEvent]:
        """Yield the recording's events once; a second call continues where the first one stopped."""
        newest_ns = -1
        for _, quotes in self._sessions:
            opening, body = self._open(iter(quotes))
            boundary = "start" if newest_ns < 0 else "session"
            for quote in body:
                if not self._usable(quote, newest_ns):
                    continue
                if quote.event_ns < self._start_ns:
                    opening[quote.product] = _tick(quote)
                    if self._before is not None:
                        self._before(opening[quote.product])
                    continue
                if quote.event_ns >= self._end_ns:
                    break
                if boundary:
                    yield MarketBreak(boundary, quote.event_ns, tuple(opening.values()))
                elif quote.event_ns - newest_ns > SILENCE_NS:
                    yield MarketBreak("silence", quote.event_ns)
                boundary = ""
                newest_ns = quote.event_ns
                yield _tick(quote)

    def _open(self, quotes: Iterator[Quote]) -> tuple[dict[str, MarketTick], Iterator[Quote]]:
        """Split a session into its opening state and the quotes to be told."""
        opening: dict[str, MarketTick] = {}
        head: list[Quote] = []
        for quote in quotes:
            first = quote.product not in opening and _has_both_sides(quote)
            if first:
                opening[quote.product] = _tick(quote)
            if not (quote.snapshot or (first and self._identified)):
                head.append(quote)
            if len(opening) == len(self._products) or len(head) >= HEAD_QUOTES:
                break
        return opening, chain(head, quotes)

    def _usable(self, quote: Quote, newest_ns: int) -> bool:
        if not _has_both_sides(quote):
            self.skipped["no quote"] += 1
        elif quote.snapshot:
            self.skipped["snapshot"] += 1
        elif quote.product not in self._products:
            self.skipped["other product"] += 1
        elif quote.event_ns < newest_ns:
            self.skipped["older than newest"] += 1
        else:
            return True
        return False


def _has_both_sides(quote: Quote) -> bool:
    return quote.bid > UNKNOWN and quote.ask > UNKNOWN


def _tick(quote: Quote) -> MarketTick:
    """Return the quote as an event; a row without a last price is told as a trade at the bid."""
    price = quote.price if quote.price != UNKNOWN else quote.bid
    return MarketTick(
        product=quote.product,
        event_ns=quote.event_ns,
        bid=quote.bid,
        ask=quote.ask,
        price=price,
        price_decimals=quote.price_decimals,
        side="buy" if 2 * price > quote.bid + quote.ask else "sell",
        size=quote.size,
        bid_size=quote.bid_size,
        ask_size=quote.ask_size,
        trade_id=quote.trade_id,
    )
