"""What differs between the two dialects on one connection: subscribing, and the frames of each event."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from volspike.simulation.board import Sweep

Outgoing = tuple[str, bytes]
"""(type for the ledger, frame)."""


class Voice(Protocol):
    """One connection's side of the protocol: no socket, no clock, only frames."""

    dialect: str
    subscribes: int

    @property
    def subscribed(self) -> bool:
        """Return whether any subscribe has succeeded."""

    @property
    def complete(self) -> bool:
        """Return whether all that a client should subscribe is subscribed."""

    @property
    def beating(self) -> bool:
        """Return whether heartbeats are due."""

    def wants(self, product: str) -> bool:
        """Return whether the product's tickers are subscribed."""

    def receive(self, message: str | bytes, market_ns: int) -> list[Outgoing]:
        """Take in one client message; return the frames that answer it."""

    def ticker(self, sweep: Sweep) -> list[Outgoing]:
        """Return the frames that tell of a sweep."""

    def heartbeat(self, market_ns: int) -> list[Outgoing]:
        """Return the heartbeat frames due at ``market_ns``."""


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
