"""One live tick, beside recomputing the window from a deque and beside a DataFrame for every tick."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.figures import Figure, at_most
from benchmarks.ticks import NS, PRICE_DECIMALS, Ticks, make_ticks
from volspike.features.engine import make_engine
from volspike.features.sets import get_feature_set

TITLE = "live step, core"
RATES = (20, 200, 2_000)
F8 = npt.NDArray[np.float64]


def run(quick: bool) -> list[Figure]:
    """Measure at each rate, with a full window.

    Passes over the same ticks take turns with the rates. Of a percentile, the median of the passes is shown.
    "a tick's own" takes each tick's median first: what stays is what that tick costs every time,
    without the moments in which the machine did something else.
    """
    count = 100 if quick else 20_000
    streams = {rate: make_ticks(rate, rate * 62 + count) for rate in RATES}
    own_ns: dict[int, list[F8]] = {rate: [] for rate in RATES}
    figures = []
    for _ in range(1 if quick else 7):
        for rate in RATES:
            own_ns[rate].append(step_times(streams[rate], skip=rate * 61)[0])
    for rate, ticks in streams.items():
        recompute_ns, recomputed = deque_times(ticks, 3 if quick else 300)
        frame_ns, framed = frame_times(ticks, 2 if quick else 20)
        _, row = step_times(ticks, skip=rate * 61)
        for other in (recomputed, framed):
            np.testing.assert_allclose(other, row[:5], rtol=1e-8, atol=1e-13)
        passes = np.array(own_ns[rate]) / 1e3
        p50, p999 = np.median(np.percentile(passes, (50, 99.9), axis=1), axis=1).tolist()
        figures += [
            at_most(f"{rate}/s: volspike, p50", p50, "us", 0.6),
            at_most(f"{rate}/s: volspike, p99.9", p999, "us", 5.0),
            Figure(f"{rate}/s: the same, a tick's own", own_p999(passes), "us"),
            Figure(f"{rate}/s: deque + numpy / volspike", float(np.median(recompute_ns)) / 1e3 / p50, "x"),
            Figure(f"{rate}/s: DataFrame a tick / volspike", float(np.median(frame_ns)) / 1e3 / p50, "x"),
        ]
    return figures


def own_p999(passes: F8) -> float:
    """Return the 99.9th percentile of each tick's median, from times of shape (passes, ticks)."""
    return float(np.percentile(np.median(passes, axis=0), 99.9))


def step_times(ticks: Ticks, skip: int) -> tuple[F8, F8]:
    """Return nanoseconds of each step after ``skip``, the timer's own cost taken off, and the last row."""
    step = make_engine(get_feature_set("core"), PRICE_DECIMALS).step
    rows = list(zip(*(column.tolist() for column in ticks), strict=True))
    taken = np.empty(len(rows))
    clock = time.perf_counter_ns
    values: tuple[float, ...] = ()
    for i, row in enumerate(rows):
        started_ns = clock()
        values = step(*row)
        taken[i] = clock() - started_ns
    empty = np.array([-clock() + clock() for _ in range(10_000)])
    return np.maximum(taken[skip:] - np.median(empty), 0.0), np.array(values)


def deque_times(ticks: Ticks, count: int) -> tuple[F8, F8]:
    """Return nanoseconds of each of the last ``count`` ticks, recomputed with numpy, and the last row."""
    window: deque[tuple[int, float, float]] = deque()
    rows = zip(ticks.event_ns.tolist(), ticks.bid.tolist(), ticks.ask.tolist(), strict=True)
    taken, values = [], np.zeros(5)
    for i, (event_ns, bid, ask) in enumerate(rows):
        started_ns = time.perf_counter_ns()
        window.append((event_ns, bid / 100.0, ask / 100.0))
        while window[0][0] <= event_ns - 60 * NS:
            window.popleft()
        if i >= len(ticks.event_ns) - count:
            values = recompute(np.array(window))
            taken.append(time.perf_counter_ns() - started_ns)
    return np.array(taken, np.float64), values


def recompute(window: F8) -> F8:
    """Return mean and std of returns, mean spread, ticks / 60 s and mean relative spread."""
    bid, ask = window[:, 1], window[:, 2]
    mid = (bid + ask) / 2.0
    returns = np.diff(np.log(mid))
    spread = ask - bid
    return np.array(
        [returns.mean(), returns.std(ddof=1), spread.mean(), len(mid) / 60.0, (spread / mid).mean()]
    )


def frame_times(ticks: Ticks, count: int) -> tuple[F8, F8]:
    """Return nanoseconds of each of the last ``count`` ticks, a DataFrame made for each, and the last row."""
    taken, values = [], np.zeros(5)
    for last in range(len(ticks.event_ns) - count, len(ticks.event_ns)):
        first = int(np.searchsorted(ticks.event_ns, ticks.event_ns[last] - 60 * NS, side="right"))
        part = slice(first, last + 1)
        records = [
            {"time": t, "bid": b / 100.0, "ask": a / 100.0}
            for t, b, a in zip(
                ticks.event_ns[part].tolist(), ticks.bid[part].tolist(), ticks.ask[part].tolist(), strict=True
            )
        ]
        started_ns = time.perf_counter_ns()
        frame = pd.DataFrame(records)
        frame["mid"] = (frame["bid"] + frame["ask"]) / 2.0
        frame["spread"] = frame["ask"] - frame["bid"]
        returns = np.log(frame["mid"] / frame["mid"].shift(1)).dropna()  # type: ignore[attr-defined]
        relative = (frame["spread"] / frame["mid"]).mean()
        values = np.array(
            [returns.mean(), returns.std(), frame["spread"].mean(), len(frame) / 60.0, relative]
        )
        taken.append(time.perf_counter_ns() - started_ns)
    return np.array(taken, np.float64), values
