"""Online models made by hand, and rows whose labels follow their context, for the tests of learning."""

from __future__ import annotations

from typing import Any

import numpy as np

from volspike.labels.dataset import Dataset
from volspike.labels.tau import TauSpec
from volspike.models.calibration import Calibration, SigmaBand
from volspike.models.online import SIZE, OnlineHeads, OnlinePredictor, OnlineWeights
from volspike.models.state import StateWeights

START_S = 1_700_000_040
RULE = StateWeights(
    rule="log-har-logit",
    margin=(0.0, 1.2, 0.6, 0.3, 0.2, -2.1, 0.0, 0.0),
    sigma=(0.0, 0.4, 0.2, 0.2, 0.1, 0.05, 0.0, 0.0),
    margin_intercept=-0.4,
    sigma_intercept=0.1,
    z_mean=1.0,
    z_std=0.5,
    half_life_s=60.0,
    increment=0.01,
)
CALIBRATION = Calibration(0.9, 0.1, True, 1_000, "")
BAND = SigmaBand(0.05, -0.7, 0.8, -3.0, "calibrate", 1_000)


def triangle(scale: float) -> tuple[float, ...]:
    """Return the information of inputs that hang together, as a lower triangle."""
    matrix = scale * (0.5 * np.eye(SIZE) + 0.5)
    matrix[-1, :-1] = matrix[:-1, -1] = 0.0
    return tuple(matrix[np.tril_indices(SIZE)].tolist())


def online_weights(**changed: Any) -> OnlineWeights:
    """Return sound weights, but for what is changed."""
    weights: dict[str, Any] = {
        "rule": RULE,
        "mean": (1.0, 1.0, 1.1, 1.1, 2.0),
        "std": (0.6, 0.5, 0.4, 0.3, 0.2),
        "margin_information": triangle(0.1),
        "sigma_information": triangle(1.0),
        "least": -2.0,
        "rows_a_window": 1.0,
        "memory_windows": 500.0,
        "prior_windows": 100.0,
        "recalibration_windows": 50.0,
    }
    return OnlineWeights(**weights | changed)


def online_model(version: str = "a", **changed: Any) -> OnlinePredictor:
    """Return a model that has learned nothing yet."""
    heads = OnlineHeads(online_weights(**changed))
    return OnlinePredictor("online", version, "core", "rv", heads, CALIBRATION, BAND)


def random_rows(seed: int, n: int, step_s: int = 60, holes: float = 0.1, level: float = 0.0) -> Dataset:
    """Return n rows with holes in time and labels, whose log volatility lies ``level`` above the state's."""
    rng = np.random.default_rng(seed)
    har = np.exp(rng.normal((1.0, 1.0, 1.1, 1.1), (0.6, 0.5, 0.4, 0.3), (n, 4)))
    tau = np.exp(rng.normal(2.0, 0.2, n))
    sigma = np.exp(0.3 + level + 0.7 * np.log(har[:, 0]) + rng.normal(0.0, 0.5, n))
    sigma[rng.random(n) < holes] = np.nan
    har[rng.random(n) < holes, 3] = np.nan
    second = START_S + step_s * np.cumsum(1 + (rng.random(n) < holes) * rng.integers(0, 4, n))
    return Dataset(
        product="BTC-USD",
        feed="exchange",
        feature_set="core",
        event_time_source="exchange",
        target="rv",
        tau=TauSpec(),
        fixed_tau_bps=7.0,
        increment=0.01,
        columns=(),
        step_s=step_s,
        event_ns=second.astype(np.int64) * 1_000_000_000,
        run=np.zeros(n, np.int32),
        features=np.zeros((n, 0)),
        rv_bps=har[:, 0],
        mid=np.full(n, 50_000.0),
        har_bps=har,
        z=np.zeros(n),
        tau_bps=tau,
        tau_adaptive=np.ones(n, np.bool_),
        sigma_future_bps=sigma,
        spike=np.where(np.isnan(sigma), -1, sigma >= tau).astype(np.int8),
        unlabelled=np.isnan(sigma).astype(np.uint8),
        sha256="",
    )
