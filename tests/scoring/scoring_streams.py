"""Hand-made and random feature rows and marks for the scoring tests. Prices have two decimals."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import numpy as np

from made_records import make_row
from volspike.features.grid import second_grid
from volspike.labels.targets import UNLABELLED_REASONS, future_rv
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import Context, TrailingState
from volspike.models.calibration import Scored, ScoredRows
from volspike.models.inputs import HasRows
from volspike.records import FeatureRow, Mark
from volspike.scoring.lineup import Lineup
from volspike.scoring.scorer import Scorer
from volspike.testing.manual_clock import ManualClock

NS = 1_000_000_000
TAU_BPS = 4.0


class TinyPredictor:
    """p = half-way between rv and tau on a fixed curve; sigma = rv + 1. Deterministic and cheap."""

    feature_set = "core"
    target = "rv"

    def __init__(self, name: str = "tiny", version: str = "1") -> None:
        self.name = name
        self.version = version

    def predict(self, values: Sequence[float], context: Context) -> Scored:
        p = context.rv_bps / (context.rv_bps + context.tau_bps)
        return Scored(p, context.rv_bps + 1.0, context.rv_bps, context.rv_bps + 2.0)

    def predict_batch(self, dataset: HasRows) -> ScoredRows:
        rv_bps = dataset.rv_bps
        p, none = rv_bps / (rv_bps + dataset.tau_bps), np.zeros(len(rv_bps))
        return ScoredRows(p, rv_bps + 1.0, rv_bps, rv_bps + 2.0, none)


def row(
    time_s: float, mid: float, covered_since_s: float = 0.0, *, ticks: int = 10, rv: float = 2.0
) -> FeatureRow:
    """Return a feature row of a 2-cent spread around ``mid``."""
    event_ns, covered_since_ns = round(time_s * NS), round(covered_since_s * NS)
    return make_row(
        event_ns=event_ns,
        covered_since_ns=covered_since_ns,
        bid=round(mid * 100) - 1,
        ask=round(mid * 100) + 1,
        price_decimals=2,
        archive_seq=event_ns,
        identity=f"BTC-USD/{event_ns}/{mid}",
        ticks=ticks,
        complete=event_ns - covered_since_ns >= 60 * NS,
        values=(0.0, None, 1.0, 1.0, 1.0, rv),
    )


def mark(time_s: float, covered_since_s: float = 0.0) -> Mark:
    return Mark(
        product="BTC-USD",
        feed="exchange",
        session="s",
        event_ns=round(time_s * NS),
        covered_since_ns=round(covered_since_s * NS),
        archive_seq=0,
        archive_row=0,
    )


def make_scorer(predictor=None, reference=None, clock=None, tau_bps: float = TAU_BPS) -> Scorer:
    return Scorer(
        Lineup(predictor or TinyPredictor(), reference or TinyPredictor("reference")),
        TrailingState(TauSpec(mode="fixed"), tau_bps, price_decimals=2),
        clock or ManualClock(),
    )


def feed(scorer: Scorer, events: Sequence[FeatureRow | Mark]) -> list:
    """Feed everything; return the predictions, in order."""
    predictions = []
    for event in events:
        if isinstance(event, Mark):
            scorer.on_mark(event)
        elif (prediction := scorer.on_row(event, 0)) is not None:
            predictions.append(prediction)
    return predictions


def random_stream(seed: int, count: int = 1_500) -> list[FeatureRow | Mark]:
    """Return a stream with ties, ticks on boundaries, quiet minutes told by marks, and breaks."""
    rng = random.Random(seed)
    time_ns, covered_ns, mid = 1_000 * NS, 1_000 * NS, 100.0
    events: list[FeatureRow | Mark] = []
    while len(events) < count:
        kind = rng.random()
        if kind < 0.01:
            time_ns = covered_ns = time_ns + rng.randrange(1, 90 * NS)
        elif kind < 0.05:
            for _ in range(rng.randrange(1, 70)):
                time_ns += NS
                events.append(mark(time_ns / NS, covered_ns / NS))
        elif kind < 0.15:
            time_ns = -(-time_ns // NS) * NS
        elif kind < 0.9:
            time_ns += rng.randrange(1, NS)
        mid = max(1.0, mid + rng.choice([-0.05, -0.01, 0.0, 0.01, 0.05]))
        tick = row(time_ns / NS, mid, covered_ns / NS, ticks=rng.choice([3, 10, 40]), rv=rng.random() * 8)
        events.append(msgspec.structs.replace(tick, identity=f"BTC-USD/{len(events)}"))
    return events


def offline_labels(events: Sequence[FeatureRow | Mark]) -> dict[str, tuple[float | None, str | None]]:
    """Return (sigma_future_bps, unlabelled reason) of each ready row by identity, from the array code."""
    is_tick = np.array([isinstance(event, FeatureRow) for event in events])
    event_ns = np.array([event.event_ns for event in events])
    covered_ns = np.array([event.covered_since_ns for event in events])
    mid_sum = np.array([event.bid + event.ask if isinstance(event, FeatureRow) else 0 for event in events])
    grid = second_grid(event_ns, covered_ns, mid_sum, is_tick)
    ready = [
        i
        for i, event in enumerate(events)
        if isinstance(event, FeatureRow) and event.complete and event.ticks >= 10
    ]
    labels = future_rv(grid, event_ns[ready], grid.event_run[ready])
    return {
        events[i].identity: (
            None if code else float(sigma),
            UNLABELLED_REASONS[code] if code else None,
        )
        for i, sigma, code in zip(ready, labels.sigma_future_bps, labels.unlabelled, strict=True)
    }
