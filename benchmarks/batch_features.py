"""The ``core`` features over a whole array, beside polars and pandas rolling windows over the same ticks.

Five of the six columns are what a rolling window gives. ``rv_60s`` is not: the peers make it from a grid of
seconds, and are measured with it and without. volspike always computes all six. Everyone begins with the
ticks' columns and an empty window, and allocates its own output. The peers' windows count one return more
(the one into the first tick of the window); the comparison takes it out again. Times are CPU times.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl

from benchmarks.figures import Figure, at_least, at_most, seconds
from benchmarks.ticks import NS, PRICE_DECIMALS, Ticks, complete, make_ticks
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
        calls = {
            "volspike": partial(ours, ticks),
            "polars 5": partial(with_polars, ticks),
            "polars 6": partial(both, with_polars, rv_polars, ticks),
            "pandas 5": partial(with_pandas, ticks),
            "pandas 6": partial(both, with_pandas, rv_pandas, ticks),
        }
        taken = {name: each.processor for name, each in seconds(calls, 1 if quick else 7).items()}
        own = taken["volspike"]
        own_us[rate] = own / n * 1e6
        figures.append(at_most(f"{rate}/s: volspike, 6 columns, a tick", own_us[rate], "us", 0.03))
        for peer, limit in (("polars", 5), ("pandas", 6)):
            for columns in (5, 6):
                name = f"{rate}/s: {peer} {columns} columns / volspike 6 columns"
                figures.append(at_least(name, taken[f"{peer} {columns}"] / own, "x", limit))
    growth = own_us[RATES[-1]] / own_us[RATES[0]]
    return [*figures, at_most("120,000 ticks a window / 1,200", growth, "x", 1.3)]


def both(five: Callable[[Ticks], F8], rv: Callable[[Ticks], F8], ticks: Ticks) -> F8:
    """Return a peer's five columns and the sixth."""
    return np.column_stack([five(ticks), rv(ticks)])


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


def closed_seconds(ticks: Ticks) -> dict[str, npt.NDArray[np.generic]]:
    """Return, for the peers' ``rv_60s``, the second each tick closes and the log of its mid."""
    return {"second": (ticks.event_ns - 1) // NS + 1, "log_mid": np.log(ticks.bid + ticks.ask)}


def rv_polars(ticks: Ticks) -> F8:
    """Return the sixth column by polars."""
    frame = pl.DataFrame(closed_seconds(ticks))
    last = frame.group_by("second", maintain_order=True).agg(pl.col("log_mid").last().alias("closed"))
    grid = (
        pl.DataFrame({"second": np.arange(last["second"][0], last["second"][-1] + 1)})
        .join(last, on="second", how="left", maintain_order="left")
        .with_columns(pl.col("closed").forward_fill())
        .with_columns(pl.col("closed").diff().pow(2).rolling_sum(60, min_samples=1).alias("squares"))
        .with_columns(pl.col("second") + 1)
    )
    joined = frame.join(grid, on="second", how="left", maintain_order="left")
    squares = pl.col("squares") + (pl.col("log_mid") - pl.col("closed")).pow(2)
    return joined.select(1e4 * squares.sqrt()).to_series().to_numpy()


def rv_pandas(ticks: Ticks) -> F8:
    """Return the sixth column by pandas."""
    frame = pd.DataFrame(closed_seconds(ticks))
    closed = frame.groupby("second")["log_mid"].last()
    closed = closed.reindex(np.arange(closed.index[0], closed.index[-1] + 1)).ffill()
    squares = (closed.diff() ** 2).rolling(60, min_periods=1).sum()
    before = (frame["second"] - 1).to_numpy()
    open_return = frame["log_mid"].to_numpy() - closed.reindex(before).to_numpy()
    rv: F8 = 1e4 * np.sqrt(squares.reindex(before).to_numpy() + open_return**2)
    return rv


def check(ticks: Ticks) -> None:
    """Compare all three on the rows whose window is complete.

    Raises
    ------
    AssertionError
        If they differ by more than floats in running sums explain.
    """
    inside = complete(ticks)
    expected = ours(ticks)
    returns = np.asarray(columns(ticks)["r"], np.float64)
    for peer, rv in ((with_polars(ticks), rv_polars(ticks)), (with_pandas(ticks), rv_pandas(ticks))):
        same = np.column_stack([without_first_return(peer, returns), rv])
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
