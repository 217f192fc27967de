"""The rows of a slice that can be learned from or graded: the labelled ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from volspike.labels.dataset import Dataset

F8 = npt.NDArray[np.float64]


def labelled(dataset: Dataset, index: npt.NDArray[np.int64]) -> Dataset:
    """Return the rows of ``index`` that have a label and a realised sigma."""
    known = (dataset.spike[index] >= 0) & np.isfinite(dataset.sigma_future_bps[index])
    return dataset.rows(index[known])


def log_realised(dataset: Dataset) -> F8:
    """Return log sigma_future (bps), of at least one quote increment over the mid."""
    return np.log(np.maximum(dataset.sigma_future_bps, dataset.floor_bps))


LEAST_SIGMA_QUANTILE = 0.1
STILL_INCREMENTS = 1.5  # a range of one increment comes of rounding


def least_log_sigma(fit: Dataset) -> float:
    """Return the log of the lowest sigma (bps) worth telling apart: the 10 % quantile of fit's moving rows.

    Still minutes, of one increment or less, do not count: their share says how often nobody traded, and a
    quantile that falls among them would be the increment, hundreds of times below any other volatility.
    """
    return float(moving_quantiles(fit, (LEAST_SIGMA_QUANTILE,))[0])


def moving_quantiles(rows: Dataset, levels: Sequence[float]) -> F8:
    """Return quantiles of log realised sigma (bps) over the rows that moved; over all where none did."""
    realised = log_realised(rows)
    moved = rows.sigma_future_bps > STILL_INCREMENTS * rows.floor_bps
    return np.quantile(realised[moved] if moved.any() else realised, levels)


def realised_variance(rows: Dataset, least: float) -> F8:
    """Return sigma_future squared (bps**2), of at least ``exp(least)`` squared."""
    return np.exp(2.0 * np.maximum(log_realised(rows), least))


def rows_sha256(*datasets: Dataset) -> str:
    """Return the hash of what training reads of these rows: times, inputs and labels."""
    digest = hashlib.sha256()
    for rows in datasets:
        arrays = (
            rows.event_ns,
            rows.features,
            rows.rv_bps,
            rows.mid,
            rows.har_bps,
            rows.z,
            rows.tau_bps,
            rows.sigma_future_bps,
            rows.spike,
        )
        for array in arrays:
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
