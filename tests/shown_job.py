"""A live job as the view sees it, with every figure given."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from made_records import make_alert, make_prediction, make_row
from volspike.features.sets import get_feature_set
from volspike.models.calibration import Calibration
from volspike.records import Alert, FeatureRow, Prediction
from volspike.scoring.scoreboard import ScoreboardSnapshot, SideScores

NS = 1_000_000_000
NOW_NS = 1_893_456_000 * NS
BETTER = SideScores(
    pr_auc=0.303,
    lift=3.55,
    log_loss=0.2398,
    onset_recall=0.33,
    lead_s=14.0,
    alerts=3,
    false_alarms_per_hour=2.7,
    duty_frac=0.029,
)
BOARD = ScoreboardSnapshot(
    rows=12_002,
    spikes=1_020,
    base_rate=0.085,
    unlabelled={},
    onsets=9,
    clusters=1,
    windows=144,
    blocks=7,
    enough_data=False,
    model=BETTER,
    reference=BETTER,
)


def manifest(calibrated: bool = True, *notes: str) -> Any:
    """Return what the view reads of a manifest."""
    calibration = Calibration(calibrated=calibrated)
    return SimpleNamespace(name="logistic", reference="persistence", calibration=calibration, notes=notes)


def row(product: str, bid: int, ask: int, event_ns: int = NOW_NS) -> FeatureRow:
    """Return a feature row of a whole minute; prices at 1e-12."""
    names = get_feature_set("core").names
    return make_row(
        product=product,
        event_ns=event_ns,
        covered_since_ns=event_ns - 90 * NS,
        bid=bid,
        ask=ask,
        price_decimals=12,
        ticks=200,
        values=tuple(15.54 if name == "rv_60s" else 1.0 for name in names),
    )


def prediction(product: str, mid: float) -> Prediction:
    """Return the prediction of such a row."""
    return make_prediction(
        product=product,
        event_ns=NOW_NS,
        p_spike=0.512,
        sigma_now_bps=15.54,
        sigma_bps=10.80,
        sigma_low_bps=7.1,
        sigma_high_bps=12.8,
        tau_bps=14.85,
        tau_source="adaptive",
        mid=mid,
    )


def alert(state: str, at_s: int) -> Alert:
    """Return an alert record."""
    return make_alert(
        state=state,
        event_ns=NOW_NS + at_s * NS,
        opened_ns=NOW_NS,
        p_spike=0.71,
        sigma_now_bps=15.5,
        sigma_bps=21.3,
        tau_bps=14.9,
        threshold=0.5,
        mid=73_790.91,
    )


def job(models: bool = True, alerts: int = 2) -> Any:
    """Return a job that watches two products, both with a model or neither."""
    newest = {
        "BTC-USD": row("BTC-USD", 73_790_900_000_000_000, 73_790_920_000_000_000),
        "SHIB-USD": row("SHIB-USD", 12_345_000, 12_346_000),
    }
    scoring = {
        product: SimpleNamespace(
            row=each,
            prediction=prediction(product, (each.bid + each.ask) / 2e12),
            board=SimpleNamespace(snapshot=lambda: BOARD),
        )
        for product, each in newest.items()
    }
    told = [alert("opened", 0), alert("closed", 120)] * 3
    pipeline = SimpleNamespace(
        newest=newest,
        scoring=scoring if models else {},
        alerts=told[:alerts],
        counts=SimpleNamespace(alerts=alerts, gaps=Counter(session=2), predictions=5, outcomes=4),
        accounting=SimpleNamespace(
            frames=16_427, archived=16_427, ticks=13_662, ignored=Counter(late=2_765), deadlettered=0, gaps=2
        ),
        latency=SimpleNamespace(quantile_us=lambda q: 124.0 if q == 0.5 else 3_500.0),
        failures={},
    )
    status = SimpleNamespace(state="live", sessions=1, reconnects=0, last_error="")
    return SimpleNamespace(
        pipeline=pipeline,
        client=SimpleNamespace(status=status),
        bundles={product: SimpleNamespace(manifest=manifest()) for product in newest} if models else {},
        dialect=SimpleNamespace(name="exchange"),
        caretaking=None,
    )
