"""Records for tests: each is like the last but for the fields that the test is about."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from volspike.records import Alert, FeatureRow, Mark, Prediction, Tick

TICK = Tick(
    product="BTC-USD",
    feed="exchange",
    session="s",
    event_ns=5,
    covered_since_ns=1,
    bid=10,
    ask=12,
    price_decimals=8,
    archive_seq=3,
    archive_row=0,
    identity="BTC-USD/7",
    trade_id=7,
)
MARK = Mark(
    product="BTC-USD",
    feed="exchange",
    session="s",
    event_ns=6,
    covered_since_ns=1,
    archive_seq=4,
    archive_row=0,
)
ROW = FeatureRow(
    product="BTC-USD",
    feed="exchange",
    feature_set="core",
    session="s",
    event_ns=5,
    covered_since_ns=1,
    bid=10,
    ask=12,
    price_decimals=8,
    archive_seq=3,
    archive_row=0,
    identity="BTC-USD/7",
    ticks=11,
    complete=True,
    values=(0.1, None, 1e-17),
)
PREDICTION = Prediction(
    id="p",
    product="BTC-USD",
    identity="BTC-USD/7",
    event_ns=5,
    model="tiny",
    model_version="1",
    feature_set="core",
    p_spike=0.5,
    sigma_now_bps=1.0,
    sigma_bps=1.0,
    sigma_low_bps=0.5,
    sigma_high_bps=2.0,
    tau_bps=4.0,
    tau_source="fixed",
    mid=100.0,
)
ALERT = Alert(
    id="a",
    product="BTC-USD",
    state="opened",
    model="tiny",
    model_version="1",
    event_ns=5,
    opened_ns=5,
    p_spike=0.5,
    threshold=0.4,
    sigma_now_bps=1.0,
    sigma_bps=1.0,
    tau_bps=0.5,
    mid=100.0,
)


def make_tick(**fields: Any) -> Tick:
    """Return a tick with some fields of its own."""
    return replace(TICK, **fields)


def make_row(**fields: Any) -> FeatureRow:
    """Return a feature row with some fields of its own."""
    return replace(ROW, **fields)


def row_of(tick: Tick, **fields: Any) -> FeatureRow:
    """Return a row of a tick."""
    names = ("product", "feed", "session", "event_ns", "covered_since_ns", "bid", "ask", "price_decimals")
    place = ("archive_seq", "archive_row", "identity")
    return make_row(**{name: getattr(tick, name) for name in (*names, *place)}, **fields)


def make_prediction(**fields: Any) -> Prediction:
    """Return a prediction with some fields of its own."""
    return replace(PREDICTION, **fields)


def make_alert(**fields: Any) -> Alert:
    """Return an alert record with some fields of its own."""
    return replace(ALERT, **fields)
