"""The simulator's own books: what was sent, and what happened to each connection."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec


class ConnectionLog(msgspec.Struct):
    """The life of one connection; ``close_by`` is ``server``, ``client`` or, while open, empty."""

    number: int
    dialect: str
    opened_market_ns: int
    received: int = 0
    subscribes: int = 0
    sent: int = 0
    close_by: str = ""
    close_code: int | None = None
    close_reason: str = ""


class Ledger:
    """Counts of frames, connections, faults, refusals, and answers to requests for candles by status."""

    def __init__(self) -> None:
        self.sent_by_dialect: Counter[str] = Counter()
        self.sent_by_type: Counter[str] = Counter()
        self.withheld: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.breaks: Counter[str] = Counter()
        self.candle_answers: Counter[str] = Counter()
        self.connections: list[ConnectionLog] = []

    def open(self, dialect: str, market_ns: int) -> ConnectionLog:
        """Begin the log of a connection."""
        log = ConnectionLog(len(self.connections) + 1, dialect, market_ns)
        self.connections.append(log)
        return log

    def sent(self, log: ConnectionLog, kind: str) -> None:
        """Count one frame handed to the socket."""
        log.sent += 1
        self.sent_by_dialect[log.dialect] += 1
        self.sent_by_type[kind] += 1

    def as_dict(self) -> dict[str, Any]:
        """Return the books as JSON-ready values."""
        closed = [log for log in self.connections if log.close_by]
        return {
            "sent": {**self.sent_by_dialect, "total": self.sent_by_dialect.total()},
            "sent_by_type": dict(self.sent_by_type),
            "withheld": dict(self.withheld),
            "faults": dict(self.faults),
            "refused": dict(self.refused),
            "breaks": dict(self.breaks),
            "candle_answers": dict(self.candle_answers),
            "connections": len(self.connections),
            "open": len(self.connections) - len(closed),
            "closes": len(closed),
            "subscribes_received": sum(log.subscribes for log in self.connections),
            "sessions": msgspec.to_builtins(self.connections),
        }
