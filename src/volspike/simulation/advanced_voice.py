"""The Advanced Trade dialect on one connection.

A data snapshot precedes the acknowledgement of its own subscription; one counter runs over all frames but the
error frame; an unknown channel is answered "authentication failure".
"""

from __future__ import annotations

import random
from collections.abc import Collection

from volspike.simulation import wire
from volspike.simulation.board import Board, Sweep
from volspike.simulation.voice import Outgoing, read_request, text_list

NO_CLIENT_ID_SHARE = 0.02
CURRENT_TIME_LAG_NS = 119_000


class AdvancedVoice:
    """One Advanced Trade connection.

    Parameters
    ----------
    board : Board
        The products' public state.
    products : collection of str
        What may be subscribed.
    boot_ns : int
        Market time at which the simulated server started: heartbeats count its uptime.
    rng : random.Random
        Decides which frames lack ``client_id``.
    """

    dialect = "advanced"

    def __init__(self, board: Board, products: Collection[str], boot_ns: int, rng: random.Random) -> None:
        self._board = board
        self._products = products
        self._boot_ns = boot_ns
        self._rng = rng
        self._channels: dict[str, list[str]] = {}
        self._sequence_num = -1
        self.subscribes = 0

    @property
    def subscribed(self) -> bool:
        """Return whether any channel is subscribed."""
        return bool(self._channels)

    @property
    def complete(self) -> bool:
        """Return whether both channels are subscribed."""
        return "ticker" in self._channels and self.beating

    @property
    def beating(self) -> bool:
        """Return whether heartbeats are subscribed."""
        return "heartbeats" in self._channels

    def wants(self, product: str) -> bool:
        """Return whether the product's tickers are subscribed."""
        return product in self._channels.get("ticker", [])

    def receive(self, message: str | bytes, market_ns: int) -> list[Outgoing]:
        """Answer one client message."""
        request = read_request(message)
        products = None if request is None else text_list(request.get("product_ids"))
        if request is None or products is None:
            return [_error("failure to subscribe")]
        channel = request.get("channel")
        if channel not in ("ticker", "heartbeats") or "jwt" in request:
            return [_error("authentication failure")]
        if request["type"] == "unsubscribe":
            self._unsubscribe(channel, products)
            return [self._acknowledge(market_ns)]
        if channel == "ticker" and (not products or not set(products) <= set(self._products)):
            return [_error("failure to subscribe")]
        self.subscribes += 1
        return [*self._subscribe(channel, products, market_ns), self._acknowledge(market_ns)]

    def ticker(self, sweep: Sweep) -> list[Outgoing]:
        """Return one frame with a row for each trade of the sweep."""
        event = wire.advanced_ticker_event("update", sweep.advanced_rows)
        return [("ticker", self._frame("ticker", sweep.stamp, event))]

    def heartbeat(self, market_ns: int) -> list[Outgoing]:
        """Return the connection's heartbeat."""
        shown_ns = market_ns + self._board.offset_ns
        event = wire.advanced_heartbeat_event(shown_ns - CURRENT_TIME_LAG_NS, market_ns - self._boot_ns)
        return [("heartbeat", self._frame("heartbeats", wire.advanced_stamp(shown_ns), event))]

    def _subscribe(self, channel: str, products: list[str], market_ns: int) -> list[Outgoing]:
        if channel == "heartbeats":
            self._channels[channel] = ["heartbeats"]
            return []
        subscribed = self._channels.setdefault(channel, [])
        subscribed.extend(product for product in dict.fromkeys(products) if product not in subscribed)
        return self._snapshots(products, market_ns)

    def _unsubscribe(self, channel: str, products: list[str]) -> None:
        gone = set(products or self._channels.get(channel, []))
        kept = [product for product in self._channels.pop(channel, []) if product not in gone]
        if kept and channel != "heartbeats":
            self._channels[channel] = kept

    def _snapshots(self, products: list[str], market_ns: int) -> list[Outgoing]:
        stamp = wire.advanced_stamp(market_ns + self._board.offset_ns)
        frames: list[Outgoing] = []
        for product in dict.fromkeys(products):
            listing = self._board.listing(product)
            if listing is not None:
                row = wire.advanced_ticker_row(listing.last, listing.day)
                event = wire.advanced_ticker_event("snapshot", [row])
                frames.append(("snapshot", self._frame("ticker", stamp, event)))
        return frames

    def _acknowledge(self, market_ns: int) -> Outgoing:
        stamp = wire.advanced_stamp(market_ns + self._board.offset_ns)
        event = wire.advanced_subscriptions_event(self._channels)
        return ("subscriptions", self._frame("subscriptions", stamp, event))

    def _frame(self, channel: str, stamp: str, event: str) -> bytes:
        self._sequence_num += 1
        with_client_id = self._rng.random() >= NO_CLIENT_ID_SHARE
        return wire.advanced_frame(channel, stamp, self._sequence_num, event, with_client_id)


def _error(message: str) -> Outgoing:
    return ("error", wire.error(message))
