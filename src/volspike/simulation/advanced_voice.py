"""The Advanced Trade dialect on one connection.

A data snapshot precedes the acknowledgement of its own subscription; one counter runs over all frames but the
error frame; an unknown channel is answered "authentication failure"; a ``-USDC`` product that is an alias is
answered under its ``-USD`` name.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from volspike.exchange.dialects import ADVANCED_TRADE
from volspike.simulation import wire
from volspike.simulation.board import Board, Sweep
from volspike.simulation.voice import Changes, Outgoing, read_request, text_list

CHANNELS = ("ticker", "ticker_batch", "heartbeats", "status")
NO_CLIENT_ID_SHARE = 0.02
CURRENT_TIME_LAG_NS = 119_000


class AdvancedVoice:
    """One Advanced Trade connection.

    Parameters
    ----------
    board : Board
        The products' public state.
    products : sequence of str
        What may be subscribed.
    boot_ns : int
        Market time at which the simulated server started: heartbeats count its uptime.
    rng : random.Random
        Decides which frames lack ``client_id``.
    """

    dialect = "advanced"

    def __init__(self, board: Board, products: Sequence[str], boot_ns: int, rng: random.Random) -> None:
        self._board = board
        self._products = products
        self._boot_ns = boot_ns
        self._rng = rng
        self._channels: dict[str, list[str]] = {}
        self._changes = Changes(board)
        self._sequence_num = -1
        self.subscribes = 0
        self.acknowledges = True
        self.left_out = 0

    @property
    def subscribed(self) -> bool:
        """Return whether any channel is subscribed."""
        return bool(self._channels)

    @property
    def complete(self) -> bool:
        """Return whether heartbeats and tickers, one by one or in batches, are subscribed."""
        return self.beating and ("ticker" in self._channels or self.batching)

    @property
    def beating(self) -> bool:
        """Return whether heartbeats are subscribed."""
        return "heartbeats" in self._channels

    @property
    def batching(self) -> bool:
        """Return whether any product's batches are subscribed."""
        return "ticker_batch" in self._channels

    def wants(self, product: str) -> bool:
        """Return whether the product's tickers are subscribed."""
        return product in self._channels.get("ticker", ())

    def receive(self, message: str | bytes, market_ns: int) -> list[Outgoing]:
        """Answer one client message."""
        request = read_request(message)
        asked = None if request is None else text_list(request.get("product_ids"))
        if request is None or asked is None:
            return [_error("failure to subscribe")]
        channel = request.get("channel")
        if channel not in CHANNELS or "jwt" in request:
            return [_error("authentication failure")]
        products = list(dict.fromkeys(self._served_as(product) for product in asked))
        if request["type"] == "unsubscribe":
            self._unsubscribe(channel, products)
            return self._acknowledge(market_ns)
        if not self._serves(channel, products):
            return [_error("failure to subscribe")]
        self.subscribes += 1
        return [*self._subscribe(channel, products, market_ns), *self._acknowledge(market_ns)]

    def ticker(self, sweep: Sweep) -> list[Outgoing]:
        """Return one frame with a row for each trade of the sweep."""
        event = wire.advanced_ticker_event("update", sweep.advanced_rows)
        return [("ticker", self._frame("ticker", sweep.stamp, event))]

    def heartbeat(self, market_ns: int) -> list[Outgoing]:
        """Return the connection's heartbeat."""
        shown_ns = market_ns + self._board.offset_ns
        event = wire.advanced_heartbeat_event(shown_ns - CURRENT_TIME_LAG_NS, market_ns - self._boot_ns)
        return [("heartbeat", self._frame("heartbeats", wire.advanced_stamp(shown_ns), event))]

    def batch(self, market_ns: int) -> list[Outgoing]:
        """Return one frame with a row for each product that has traded since the last batch."""
        changed = self._changes.take(self._channels.get("ticker_batch", ()))
        if not changed:
            return []
        rows = [wire.advanced_batch_row(listing.last, listing.day) for listing in changed]
        event = wire.advanced_ticker_event("update", rows)
        return [("batch", self._frame("ticker_batch", self._stamp(market_ns), event))]

    def status(self, market_ns: int) -> list[Outgoing]:
        """Return which products trade, if that is subscribed."""
        if "status" not in self._channels:
            return []
        products = self._channels["status"] or self._products
        event = wire.advanced_status_event(products, self._board.delisted)
        return [("status", self._frame("status", self._stamp(market_ns), event))]

    def _served_as(self, product: str) -> str:
        """Return the name under which a product is answered: its own, or the ``-USD`` one of an alias."""
        return product if product in self._products else ADVANCED_TRADE.served_as(product)

    def _serves(self, channel: str, products: list[str]) -> bool:
        if channel == "heartbeats":
            return True
        known = set(self._products) - self._board.delisted
        return bool(products or channel == "status") and known.issuperset(products)

    def _subscribe(self, channel: str, products: list[str], market_ns: int) -> list[Outgoing]:
        if channel == "heartbeats":
            self._channels[channel] = ["heartbeats"]
            return []
        served = products[: max(0, len(products) - self.left_out)]
        if products and not served:
            return []
        subscribed = self._channels.setdefault(channel, [])
        subscribed.extend(product for product in served if product not in subscribed)
        return self.status(market_ns) if channel == "status" else self._snapshots(channel, served, market_ns)

    def _unsubscribe(self, channel: str, products: list[str]) -> None:
        gone = set(products or self._channels.get(channel, []))
        kept = [product for product in self._channels.pop(channel, []) if product not in gone]
        if kept and channel != "heartbeats":
            self._channels[channel] = kept

    def _snapshots(self, channel: str, products: list[str], market_ns: int) -> list[Outgoing]:
        frames: list[Outgoing] = []
        for product in products:
            row = self._last_row(channel, product)
            if row:
                event = wire.advanced_ticker_event("snapshot", [row])
                frames.append(("snapshot", self._frame(channel, self._stamp(market_ns), event)))
        return frames

    def _last_row(self, channel: str, product: str) -> str:
        """Return what is known of a product; in a batch, a row of nothing if nothing is."""
        listing = self._board.listing(product)
        if channel == "ticker":
            return "" if listing is None else wire.advanced_ticker_row(listing.last, listing.day)
        self._changes.take((product,))
        return (
            wire.advanced_empty_row()
            if listing is None
            else wire.advanced_batch_row(listing.last, listing.day)
        )

    def _acknowledge(self, market_ns: int) -> list[Outgoing]:
        if not self.acknowledges:
            return []
        event = wire.advanced_subscriptions_event(self._channels)
        return [("subscriptions", self._frame("subscriptions", self._stamp(market_ns), event))]

    def _stamp(self, market_ns: int) -> str:
        return wire.advanced_stamp(market_ns + self._board.offset_ns)

    def _frame(self, channel: str, stamp: str, event: str) -> bytes:
        self._sequence_num += 1
        with_client_id = self._rng.random() >= NO_CLIENT_ID_SHARE
        return wire.advanced_frame(channel, stamp, self._sequence_num, event, with_client_id)


def _error(message: str) -> Outgoing:
    return ("error", wire.error(message))
