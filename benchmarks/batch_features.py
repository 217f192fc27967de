"""The ``core`` features over a whole array, beside polars and pandas rolling windows over the same ticks.

The peers compute five of the six columns: ``rv_60s`` has no rolling form in either. Their windows count one
return more (the one into the first tick of the window); the comparison takes it out again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl

from benchmarks.figures import Figure, at_least, at_most, seconds
from benchmarks.ticks import PRICE_DECIMALS, Ticks, complete, make_ticks
from volspike.features.engine import make_engine
from volspike.features.sets import get_feature_set

TITLE = "batch features, core"
RATES = (20, 200, 2_000)
F8 = npt.NDArray[np.float64]


def run(quick: bool) -> list[Figure]:
    """Measure at each rate."""
    figures = []
    own_us = {}
    for rate in RATES:
        ticks = make_ticks(rate, max(2_000, rate * 75) if quick else max(400_000, rate * 200))
        n = len(ticks.event_ns)
        check(ticks)
        taken = seconds(
            {
                "volspike": lambda ticks=ticks: ours(ticks),
                "polars": lambda ticks=ticks: with_polars(ticks),
                "pandas": lambda ticks=ticks: with_pandas(ticks),
            },
            1 if quick else 5,
        )
        own_us[rate] = taken["volspike"] / n * 1e6
        figures.append(at_most(f"{rate}/s: volspike, a tick", own_us[rate], "us", 0.03))
        figures.append(at_least(f"{rate}/s: polars / volspike", taken["polars"] / taken["volspike"], "x", 5))
        figures.append(at_least(f"{rate}/s: pandas / volspike", taken["pandas"] / taken["volspike"], "x", 6))
    growth = own_us[RATES[-1]] / own_us[RATES[0]]
    return [*figures, at_most("120,000 ticks a window / 1,200", growth, "x", 1.3)]


def ours(ticks: Ticks) -> F8:
    """Return mean and std of returns, mean spread, ticks / 60 s, mean relative spread and rv_60s."""
    return make_engine(get_feature_set("core"), PRICE_DECIMALS).batch(*ticks)[0]


def columns(ticks: Ticks) -> dict[str, npt.NDArray[np.generic]]:
    """Return what the peers start from; no more than this is prepared for them."""
    mid_sum = ticks.bid + ticks.ask
    spread = (ticks.ask - ticks.bid) / 100.0
    return {
        "t": ticks.event_ns.astype("datetime64[ns]"),
        "r": np.diff(np.log(mid_sum), prepend=np.log(mid_sum[0])),
        "spread": spread,
        "relative": spread / (mid_sum / 200.0),
    }


def with_polars(ticks: Ticks) -> F8:
    """Return the first five columns by polars."""
    frame = (
        pl.DataFrame(columns(ticks))
        .rolling("t", period="60s")
        .agg(
            pl.col("r").mean().alias("mean"),
            pl.col("r").std().alias("std"),
            pl.col("spread").mean(),
            (pl.len() / 60.0).alias("intensity"),
            pl.col("relative").mean(),
        )
    )
    return frame.select("mean", "std", "spread", "intensity", "relative").to_numpy()


def with_pandas(ticks: Ticks) -> F8:
    """Return the first five columns by pandas."""
    data = columns(ticks)
    frame = pd.DataFrame(data).set_index("t")
    window = frame.rolling("60s")
    means = window.mean()
    result = pd.DataFrame(
        {
            "mean": means["r"],
            "std": window["r"].std(),
            "spread": means["spread"],
            "intensity": window["r"].count() / 60.0,
            "relative": means["relative"],
        }
    )
    return result.to_numpy()


def check(ticks: Ticks) -> None:
    """Compare all three on the rows whose window is complete.

    Raises
    ------
    AssertionError
        If they differ by more than floats in running sums explain.
    """
    inside = complete(ticks)
    expected = ours(ticks)[:, :5]
    returns = np.asarray(columns(ticks)["r"], np.float64)
    for peer in (with_polars(ticks), with_pandas(ticks)):
        same = without_first_return(peer, returns)
        np.testing.assert_allclose(same[inside], expected[inside], rtol=1e-6, atol=1e-12)


def without_first_return(peer: F8, returns: F8) -> F8:
    """Take the return into the first tick of each window out of mean and std."""
    same = peer.copy()
    n = np.rint(peer[:, 3] * 60.0).astype(np.int64)
    first = returns[np.arange(len(n)) - n + 1]
    k = np.maximum(n - 1.0, 2.0)
    mean = (peer[:, 0] * n - first) / k
    squares = peer[:, 1] ** 2 * (n - 1) + n * peer[:, 0] ** 2 - first**2
    same[:, 0] = mean
    same[:, 1] = np.sqrt(np.maximum(squares - k * mean**2, 0.0) / (k - 1.0))
    return same
