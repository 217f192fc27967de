"""What differs between the two dialects on one connection: subscribing, and the frames of each event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from volspike.simulation.board import Board, Listing, Sweep
from volspike.simulation.market import MarketTick

Outgoing = tuple[str, bytes]
"""(type for the ledger, frame)."""


class Voice(Protocol):
    """One connection's side of the protocol: no socket, no clock, only frames.

    Attributes
    ----------
    dialect : str
        ``exchange`` or ``advanced``.
    subscribes : int
        Subscriptions that were accepted.
    acknowledges : bool
        Whether subscriptions are acknowledged.
    left_out : int
        So many products at the end of each subscription are quietly left out.
    """

    dialect: str
    subscribes: int
    acknowledges: bool
    left_out: int

    @property
    def subscribed(self) -> bool:
        """Return whether any subscribe has succeeded."""

    @property
    def complete(self) -> bool:
        """Return whether all that a client should subscribe is subscribed."""

    @property
    def beating(self) -> bool:
        """Return whether heartbeats are due."""

    @property
    def batching(self) -> bool:
        """Return whether batches of changes are due."""

    def wants(self, product: str) -> bool:
        """Return whether the product's tickers are subscribed."""

    def receive(self, message: str | bytes, market_ns: int) -> list[Outgoing]:
        """Take in one client message; return the frames that answer it."""

    def ticker(self, sweep: Sweep) -> list[Outgoing]:
        """Return the frames that tell of a sweep."""

    def heartbeat(self, market_ns: int) -> list[Outgoing]:
        """Return the heartbeat frames due at ``market_ns``."""

    def batch(self, market_ns: int) -> list[Outgoing]:
        """Return the frames that tell what has changed since the last batch."""

    def status(self, market_ns: int) -> list[Outgoing]:
        """Return the frames that tell which products trade, if that is subscribed."""


class Changes:
    """Which products have traded since one connection's last batch.

    Parameters
    ----------
    board : Board
        The products' public state.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._told: dict[str, MarketTick] = {}

    def take(self, products: Iterable[str]) -> list[Listing]:
        """Return those of the products that have traded since they were last taken."""
        listings = [self._board.listing(product) for product in products]
        changed = [
            listing
            for listing in listings
            if listing is not None and self._told.get(listing.last.product) is not listing.last
        ]
        self._told |= {listing.last.product: listing.last for listing in changed}
        return changed


def read_request(message: str | bytes) -> dict[str, Any] | None:
    """Return the client's request, or None if it is no (un)subscribe in a JSON object."""
    try:
        request = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(request, dict) or request.get("type") not in ("subscribe", "unsubscribe"):
        return None
    return request


def text_list(value: object) -> list[str] | None:
    """Return ``value`` if it is a list of strings (an absent one is empty), else None."""
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return value
    return None
