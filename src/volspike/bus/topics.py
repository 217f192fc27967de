"""The topics, which records each carries, and how a record becomes bytes and back.

What a tick leaves on its way (itself, its row, a prediction, an outcome, an alert) comes by ``writer``.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import msgspec

from volspike.errors import ProtocolError
from volspike.records import (
    FEATURE_TOPIC,
    TICK_TOPIC,
    UNKNOWN,
    Alert,
    DeadLetter,
    Gap,
    Outcome,
    Prediction,
    Record,
)

_ENCODE = msgspec.json.Encoder().encode


class Topic:
    """One topic: its name, its record types and their JSON codec.

    Parameters
    ----------
    name : str
        The name on the bus.
    types : type
        A record type or a union of record types; unions are told apart by the ``kind`` field.
    time_field : str
        The field (nanoseconds UTC) that the log's time look-up and retention go by; empty where a record has
        no event time of its own.
    """

    def __init__(self, name: str, types: Any, time_field: str) -> None:
        self.name = name
        self._decode = msgspec.json.Decoder(types).decode
        self._time = attrgetter(time_field) if time_field else None

    def encode(self, record: Record) -> bytes:
        """Return the JSON bytes of a record; the same record always gives the same bytes."""
        return _ENCODE(record)

    def decode(self, value: bytes) -> Any:
        """Return the record in ``value``.

        Raises
        ------
        ProtocolError
            ``value`` is no record of this topic; the caller dead-letters it and goes on.
        """
        try:
            return self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError("bad record", f"{self.name}: {error}") from error

    def key(self, record: Any) -> str:
        """Return the partition key: the product, so that a product's records stay in order."""
        key: str = record.product
        return key

    def event_ns(self, record: Any) -> int:
        """Return the record's time on the log in nanoseconds, or ``UNKNOWN`` if it has none."""
        return UNKNOWN if self._time is None else int(self._time(record))

    def __repr__(self) -> str:
        return f"Topic({self.name!r})"


TICKS = Topic("ticks.raw", TICK_TOPIC, "event_ns")
FEATURES = Topic("ticks.features", FEATURE_TOPIC, "event_ns")
PREDICTIONS = Topic("ticks.predictions", Prediction, "event_ns")
# An outcome belongs on the log at the time it became known, not at the time of its prediction.
OUTCOMES = Topic("ticks.outcomes", Outcome, "matured_ns")
ALERTS = Topic("ticks.alerts", Alert, "event_ns")
GAPS = Topic("ticks.gaps", Gap, "to_ns")
DEADLETTER = Topic("ticks.deadletter", DeadLetter, "")

TOPICS: dict[str, Topic] = {
    topic.name: topic for topic in (TICKS, FEATURES, PREDICTIONS, OUTCOMES, ALERTS, GAPS, DEADLETTER)
}
