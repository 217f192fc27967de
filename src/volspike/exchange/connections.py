"""Several connections to one feed, which share its products: exchanges advise it, and a break costs less."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random

from volspike.clock import Clock
from volspike.exchange.backoff import TokenBucket
from volspike.exchange.client import FeedClient
from volspike.exchange.connecting import ClientSettings
from volspike.exchange.dialects import Dialect
from volspike.exchange.feed_status import FeedStatus
from volspike.exchange.session import FrameSink


class FeedConnections:
    """Receives the tickers of any number of products.

    Parameters
    ----------
    dialect : Dialect
        Protocol of the feed.
    url : str
        Its address.
    products : sequence of str
        What to subscribe to.
    clock : Clock
        As of ``FeedClient``.
    rng : Random
        Source of the jitter.
    make_sink : callable
        Returns the sink of a connection, given its products.
    products_per_connection : int
        Most products on one connection.
    settings : ClientSettings, optional
        Of each connection.
    """

    def __init__(
        self,
        dialect: Dialect,
        url: str,
        products: Sequence[str],
        clock: Clock,
        rng: Random,
        make_sink: Callable[[tuple[str, ...]], FrameSink],
        products_per_connection: int,
        settings: ClientSettings | None = None,
    ) -> None:
        # The exchange bounds the attempts of an address, whatever they are for.
        bucket = TokenBucket(rate_per_s=dialect.connects_per_s)
        self._clients = [
            FeedClient(dialect, url, part, clock, rng, make_sink(part), settings, bucket)
            for part in _dealt(tuple(dict.fromkeys(products)), products_per_connection)
        ]

    @property
    def statuses(self) -> list[FeedStatus]:
        """State of each connection."""
        return [client.status for client in self._clients]

    @property
    def last_error(self) -> str:
        """The latest trouble of the first connection that has any, in one line."""
        return next((status.last_error for status in self.statuses if status.last_error), "")

    @property
    def reasons(self) -> dict[str, int]:
        """Why connections ended or could not be opened, counted."""
        total: Counter[str] = Counter()
        for status in self.statuses:
            total.update(status.reasons)
        return dict(total)

    async def run(self, stop: asyncio.Event) -> None:
        """Stay connected until ``stop`` is set.

        Raises
        ------
        FeedError
            If the address is malformed, or the exchange refuses a subscription time and again; the other
            connections are closed in order.
        """
        tasks = [asyncio.create_task(client.run(stop)) for client in self._clients]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            stop.set()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end


def _dealt(products: tuple[str, ...], most: int) -> Iterator[tuple[str, ...]]:
    """Yield the products in as few parts as may be, of sizes that differ by one at most."""
    parts = -(-len(products) // most)
    for index in range(parts):
        yield products[index::parts]
