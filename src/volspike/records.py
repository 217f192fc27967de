"""The records that travel between stages: JSON on the wire, typed structs in memory.

Evolution rules: every record carries ``v``; a new field has a default; an unknown field is ignored; no
field is renamed or retyped. Times are integer nanoseconds UTC (``_ns``). Prices are integers in units of
``10 ** -price_decimals`` of the quote currency, sizes in units of ``10 ** -8`` of the base currency.
A field marked ``measured`` describes the run (latency, receive time) and is no part of a record's identity.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

SIZE_DECIMALS = 8
UNKNOWN = -1  # a size, volume, trade id or sequence that the feed did not send

Measured = Annotated[int, msgspec.Meta(extra_json_schema={"measured": True})]


class Record(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="kind"):
    """Base of every record."""

    v: int = 1


class Tick(Record, tag="tick", frozen=True):
    """One accepted quote: best bid and ask of a product at one exchange time."""

    product: str
    feed: str
    session: str
    event_ns: int
    covered_since_ns: int
    bid: int
    ask: int
    price_decimals: int
    archive_seq: int
    archive_row: int
    identity: str
    bid_size: int = UNKNOWN
    ask_size: int = UNKNOWN
    price: int = UNKNOWN
    size: int = UNKNOWN
    trade_id: int = UNKNOWN
    suspect: bool = False
    event_time_source: str = "exchange"
    receive_ns: Measured = 0
    volume_24h: int = UNKNOWN


class Mark(Record, tag="mark", frozen=True):
    """A quiet, whole feed: no tick up to ``event_ns``, and nothing missed since ``covered_since_ns``."""

    product: str
    feed: str
    session: str
    event_ns: int
    covered_since_ns: int
    archive_seq: int
    archive_row: int
    receive_ns: Measured = 0


class Gap(Record, tag="gap", frozen=True):
    """A break in a product's coverage, reported when the product resumes."""

    gap_id: str
    product: str
    feed: str
    session: str
    reason: str
    from_ns: int
    to_ns: int


class DeadLetter(Record, tag="deadletter", frozen=True):
    """Bytes that could not be used, with the reason and where they lie in the archive.

    Those of a record that a stage could not use bear its place on the bus in place of one in the archive, and
    the class of the ``error``.
    """

    reason: str
    detail: str
    feed: str
    session: str
    archive_seq: int
    archive_row: int
    raw: bytes
    product: str = ""
    error: str = ""
    topic: str = ""
    partition: int = UNKNOWN
    offset: int = UNKNOWN


class FeatureRow(Record, tag="features", frozen=True):
    """The window features at one tick; ``values`` follow the columns of ``feature_set``."""

    product: str
    feed: str
    feature_set: str
    session: str
    event_ns: int
    covered_since_ns: int
    bid: int
    ask: int
    price_decimals: int
    archive_seq: int
    archive_row: int
    identity: str
    ticks: int
    complete: bool
    values: tuple[float | None, ...]
    suspect: bool = False
    event_time_source: str = "exchange"


class Prediction(Record, tag="prediction", frozen=True):
    """What a model says at one tick about the sixty seconds after it (volatilities in basis points).

    The interval is the adapted one; ``band_log_stretch`` says by how much, 0 being that of the model alone.
    ``stale``: the model is past its expiry. ``challenger``: the model in its shadow, and what that would say.
    """

    id: str
    product: str
    identity: str
    event_ns: int
    model: str
    model_version: str
    feature_set: str
    p_spike: float
    sigma_now_bps: float
    sigma_bps: float
    sigma_low_bps: float
    sigma_high_bps: float
    tau_bps: float
    tau_source: str
    mid: float
    reference_p_spike: float | None = None
    reference_sigma_bps: float | None = None
    late: Annotated[bool, msgspec.Meta(extra_json_schema={"measured": True})] = False
    latency_ns: Measured = 0
    out_of_distribution: bool = False
    band_log_stretch: float = 0.0
    in_sample: bool = False
    covered_since_ns: int = UNKNOWN
    stale: bool = False
    challenger: str | None = None
    challenger_version: str | None = None
    challenger_p_spike: float | None = None
    challenger_sigma_bps: float | None = None


class Outcome(Record, tag="outcome", frozen=True):
    """How a prediction turned out: graded, or unlabelled with the reason."""

    prediction_id: str
    product: str
    event_ns: int
    matured_ns: int
    p_spike: float
    tau_bps: float
    sigma_future_bps: float | None = None
    spike: bool | None = None
    unlabelled: str | None = None


class Alert(Record, tag="alert", frozen=True):
    """An alert that opened or closed, in event time."""

    id: str
    product: str
    state: str
    model: str
    model_version: str
    event_ns: int
    opened_ns: int
    p_spike: float
    threshold: float
    sigma_now_bps: float
    sigma_bps: float
    tau_bps: float
    mid: float


class DriftAlarm(Record, tag="drift", frozen=True):
    """A model is no longer what it was promised to be; delivered as alerts are."""

    id: str
    product: str
    model: str
    model_version: str
    event_ns: int
    reason: str
    state: str = "opened"


TICK_TOPIC = Tick | Mark
FEATURE_TOPIC = FeatureRow | Mark
