"""A dataset from a seeded volatility process: slow log-volatility plus clustered bursts, one row a second."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from volspike.labels.dataset import Dataset
from volspike.labels.tau import TauSpec

START_NS = 1_700_000_000_000_000_000
INCREMENT = 0.01
LAGS_S = (60, 300, 1800, 14_400)


def market(
    hours: float, seed: int = 0, quantile: float = 0.9, wilder_after: float = math.inf, wilder: float = 1.0
) -> Dataset:
    """Return a dataset of ``hours`` labelled hours with features that carry the volatility.

    After ``wilder_after`` hours the slow log-volatility moves ``wilder`` times as much.
    """
    rng = np.random.default_rng(seed)
    warm, n = 14_400, int(hours * 3600)
    total = warm + n + 60
    log_vol = np.zeros(total)
    shocks = rng.normal(0.0, 0.02, total)
    shocks[np.arange(total) > warm + wilder_after * 3600] *= wilder
    bursts = np.where(rng.random(total) < 1 / 600, rng.exponential(0.5, total), 0.0)
    slow, burst = 0.0, 0.0
    for s in range(total):
        slow = 0.999 * slow + shocks[s]
        burst = 0.99 * burst + bursts[s]
        log_vol[s] = slow + burst
    r = 0.4 * np.exp(log_vol) * rng.normal(size=total)  # bps a second
    sums = np.concatenate(([0.0], np.cumsum(r * r)))
    at = warm + np.arange(n)
    har = np.column_stack([np.sqrt(60.0 * (sums[at] - sums[at - lag]) / lag) for lag in LAGS_S])
    rv = np.sqrt(sums[at] - sums[at - 60])
    sigma = np.sqrt(sums[at + 60] - sums[at])
    mid = 50_000.0 * np.exp(np.cumsum(r)[at] * 1e-4)
    log_rv = np.log(rv)
    # Tau by time of the process, so that a spike is not the same volatility all day.
    tau = np.maximum(4.0, np.quantile(har[:, 3], 0.5) * np.exp(0.1 * np.sin(at / 5000.0)) * 1.6)
    tau = tau * np.quantile(sigma / tau, quantile)
    intensity = np.exp(0.3 * log_rv + rng.normal(0.0, 0.2, n))
    spread = 0.01 + 0.002 * rv * np.exp(rng.normal(0.0, 0.2, n))
    features = np.column_stack(
        [
            rng.normal(0.0, 1e-7, n),
            rv * 1e-4 / np.sqrt(60.0 * intensity) * np.exp(rng.normal(0.0, 0.1, n)),
            spread,
            intensity,
            spread / mid,
            rv,
        ]
    )
    return Dataset(
        product="BTC-USD",
        feed="exchange",
        feature_set="core",
        event_time_source="exchange",
        target="rv",
        tau=TauSpec(quantile=quantile),
        fixed_tau_bps=float(np.quantile(sigma, quantile)),
        increment=INCREMENT,
        columns=(
            "midprice_return_mean",
            "midprice_return_std",
            "bid_ask_spread",
            "trade_intensity",
            "relative_spread",
            "rv_60s",
        ),
        step_s=1,
        event_ns=START_NS + np.arange(n, dtype=np.int64) * 1_000_000_000,
        run=np.zeros(n, np.int32),
        features=features,
        rv_bps=rv,
        mid=mid,
        har_bps=har,
        z=(log_rv - log_rv.mean()) / log_rv.std(),
        tau_bps=tau,
        tau_adaptive=np.ones(n, np.bool_),
        sigma_future_bps=sigma,
        spike=(sigma >= tau).astype(np.int8),
        unlabelled=np.zeros(n, np.uint8),
        sha256="synthetic",
    )


def relabelled(dataset: Dataset, index: np.ndarray) -> Dataset:
    """Return the dataset with other outcomes in the rows of ``index``."""
    sigma, spike = dataset.sigma_future_bps.copy(), dataset.spike.copy()
    sigma[index] = sigma[index][::-1] * 1.3
    spike[index] = (sigma[index] >= dataset.tau_bps[index]).astype(np.int8)
    return replace(dataset, sigma_future_bps=sigma, spike=spike, sha256="relabelled")


def of_one_class(dataset: Dataset, index: np.ndarray) -> Dataset:
    """Return the dataset with no spike in the rows of ``index``."""
    spike = dataset.spike.copy()
    spike[index] = 0
    return replace(dataset, spike=spike, sha256="one class")
