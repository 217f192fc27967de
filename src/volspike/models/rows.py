"""The rows of a slice that can be learned from or graded: the labelled ones."""

from __future__ import annotations

import hashlib

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


LEAST_SIGMA_QUANTILE = 0.01


def least_log_sigma(fit: Dataset) -> float:
    """Return the log of the lowest sigma worth telling apart: the 1 % quantile of the fit slice, bps."""
    return float(np.quantile(log_realised(fit), LEAST_SIGMA_QUANTILE))


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
