"""The Exchange dialect on one connection.

The acknowledgement comes before the first ticker of each product, which is the stale last trade; one invalid
product or channel refuses the whole subscribe; heartbeats tell each product's current values.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from volspike.simulation import wire
from volspike.simulation.board import Board, Sweep
from volspike.simulation.voice import Outgoing, read_request, text_list

CHANNELS = ("ticker", "heartbeat")


class ExchangeVoice:
    """One Exchange connection.

    Parameters
    ----------
    board : Board
        The products' public state.
    products : collection of str
        What may be subscribed.
    """

    dialect = "exchange"

    def __init__(self, board: Board, products: Collection[str]) -> None:
        self._board = board
        self._products = products
        self._channels: dict[str, list[str]] = {}
        self.subscribes = 0

    @property
    def subscribed(self) -> bool:
        """Return whether any channel is subscribed."""
        return bool(self._channels)

    @property
    def complete(self) -> bool:
        """Return whether the ticker is subscribed."""
        return "ticker" in self._channels

    @property
    def beating(self) -> bool:
        """Return whether any product's heartbeat is subscribed."""
        return "heartbeat" in self._channels

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
            return [self._acknowledge()]
        self.subscribes += 1
        new = self._subscribe(wanted)
        return [self._acknowledge(), *self._last_trades(new)]

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

    def _objection(self, wanted: dict[str, list[str]]) -> str:
        """Return why the whole request is refused, or nothing."""
        for channel, products in wanted.items():
            if channel not in CHANNELS:
                return f"{channel} is not a valid channel"
            unknown = [product for product in products if product not in self._products]
            if unknown or not products:
                return f"{unknown[0] if unknown else ''} is not a valid product"
        return ""

    def _subscribe(self, wanted: dict[str, list[str]]) -> list[str]:
        """Add to the subscriptions; return the products whose ticker is new."""
        before = list(self._channels.get("ticker", ()))
        for channel, products in wanted.items():
            subscribed = self._channels.setdefault(channel, [])
            subscribed.extend(product for product in dict.fromkeys(products) if product not in subscribed)
        return [product for product in self._channels.get("ticker", ()) if product not in before]

    def _unsubscribe(self, wanted: dict[str, list[str]]) -> None:
        for channel, products in wanted.items():
            kept = [product for product in self._channels.pop(channel, []) if product not in products]
            if kept:
                self._channels[channel] = kept

    def _last_trades(self, products: list[str]) -> list[Outgoing]:
        frames: list[Outgoing] = []
        for product in products:
            listing = self._board.listing(product)
            if listing is not None:
                offset_ns = self._board.offset_ns
                text = wire.exchange_ticker(listing.last, listing.day, listing.sequence, offset_ns)
                frames.append(("snapshot", text))
        return frames

    def _acknowledge(self) -> Outgoing:
        return ("subscriptions", wire.exchange_subscriptions(self._channels))


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
