"""The Exchange dialect on one connection.

The acknowledgement comes before the first ticker of each product, which is the stale last trade; one invalid
product or channel refuses the whole subscribe; heartbeats tell each product's current values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from volspike.simulation import wire
from volspike.simulation.board import Board, Listing, Sweep
from volspike.simulation.voice import Changes, Outgoing, read_request, text_list

CHANNELS = ("ticker", "ticker_batch", "heartbeat", "status")
PRIVATE_CHANNELS = ("level2", "level3", "full", "user")


class ExchangeVoice:
    """One Exchange connection.

    Parameters
    ----------
    board : Board
        The products' public state.
    products : sequence of str
        What may be subscribed.
    """

    dialect = "exchange"

    def __init__(self, board: Board, products: Sequence[str]) -> None:
        self._board = board
        self._products = products
        self._channels: dict[str, list[str]] = {}
        self._changes = Changes(board)
        self.subscribes = 0
        self.acknowledges = True
        self.left_out = 0

    @property
    def subscribed(self) -> bool:
        """Return whether any channel is subscribed."""
        return bool(self._channels)

    @property
    def complete(self) -> bool:
        """Return whether tickers are subscribed, one by one or in batches."""
        return "ticker" in self._channels or self.batching

    @property
    def beating(self) -> bool:
        """Return whether any product's heartbeat is subscribed."""
        return "heartbeat" in self._channels

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
        if request is None:
            return [_error("Malformed JSON")]
        wanted = _wanted(request)
        if not wanted:
            return [_refusal("No channels provided")]
        reason = self._objection(wanted)
        if reason:
            return [_refusal(reason)]
        if request["type"] == "unsubscribe":
            self._unsubscribe(wanted)
            return self._acknowledge()
        self.subscribes += 1
        new = self._subscribe(wanted)
        status = self.status(market_ns) if "status" in wanted else []
        return [*self._acknowledge(), *self._last_trades(new), *status]

    def ticker(self, sweep: Sweep) -> list[Outgoing]:
        """Return one frame for each trade of the sweep."""
        return [("ticker", frame) for frame in sweep.exchange_frames]

    def heartbeat(self, market_ns: int) -> list[Outgoing]:
        """Return the heartbeat of each subscribed product."""
        shown_ns = market_ns + self._board.offset_ns
        frames: list[Outgoing] = []
        for product in self._channels.get("heartbeat", ()):
            listing = self._board.listing(product)
            sequence, trade_id = (0, 0) if listing is None else (listing.sequence, listing.last.trade_id)
            frames.append(("heartbeat", wire.exchange_heartbeat(product, sequence, trade_id, shown_ns)))
        return frames

    def batch(self, market_ns: int) -> list[Outgoing]:
        """Return the last trade of each product that has traded since the last batch."""
        changed = self._changes.take(self._channels.get("ticker_batch", ()))
        return [("batch", self._last_trade(listing)) for listing in changed]

    def status(self, market_ns: int) -> list[Outgoing]:
        """Return which products trade, if that is subscribed."""
        if "status" not in self._channels:
            return []
        return [("status", wire.exchange_status(self._products, self._board.delisted))]

    def _objection(self, wanted: dict[str, list[str]]) -> str:
        """Return why the whole request is refused, or nothing."""
        for channel, products in wanted.items():
            if channel in PRIVATE_CHANNELS:
                return f"{', '.join(PRIVATE_CHANNELS)} channels require authentication"
            if channel not in CHANNELS:
                return f"{channel} is not a valid channel"
            unknown = [product for product in products if product not in self._products]
            if unknown or not (products or channel == "status"):
                return f"{unknown[0] if unknown else ''} is not a valid product"
            delisted = [product for product in products if product in self._board.delisted]
            if delisted:
                return f"{delisted[0]} is delisted"
        return ""

    def _subscribe(self, wanted: dict[str, list[str]]) -> list[str]:
        """Add to the subscriptions; return the products of which tickers or batches are new."""
        new: dict[str, None] = {}
        for channel, products in wanted.items():
            served = products[: max(0, len(products) - self.left_out)]
            if products and not served:
                continue
            subscribed = self._channels.setdefault(channel, [])
            added = [product for product in dict.fromkeys(served) if product not in subscribed]
            subscribed.extend(added)
            if channel in ("ticker", "ticker_batch"):
                new |= dict.fromkeys(added)
        self._changes.take(wanted.get("ticker_batch", ()))
        return list(new)

    def _unsubscribe(self, wanted: dict[str, list[str]]) -> None:
        for channel, products in wanted.items():
            kept = [product for product in self._channels.pop(channel, []) if product not in products]
            if kept:
                self._channels[channel] = kept

    def _last_trades(self, products: list[str]) -> list[Outgoing]:
        listings = [self._board.listing(product) for product in products]
        return [("snapshot", self._last_trade(listing)) for listing in listings if listing is not None]

    def _last_trade(self, listing: Listing) -> bytes:
        return wire.exchange_ticker(listing.last, listing.day, listing.sequence, self._board.offset_ns)

    def _acknowledge(self) -> list[Outgoing]:
        if not self.acknowledges:
            return []
        return [("subscriptions", wire.exchange_subscriptions(self._channels))]


def _wanted(request: dict[str, Any]) -> dict[str, list[str]]:
    """Return the products asked for by channel; empty if the request is unreadable."""
    shared = text_list(request.get("product_ids"))
    channels = request.get("channels")
    if shared is None or not isinstance(channels, list):
        return {}
    wanted: dict[str, list[str]] = {}
    for channel in channels:
        if isinstance(channel, dict):
            name, own = channel.get("name"), text_list(channel.get("product_ids"))
        else:
            name, own = channel, []
        if not isinstance(name, str) or own is None:
            return {}
        wanted.setdefault(name, []).extend(own or shared)
    return wanted


def _error(message: str) -> Outgoing:
    return ("error", wire.error(message))


def _refusal(reason: str) -> Outgoing:
    return ("error", wire.error("Failed to subscribe", reason))
