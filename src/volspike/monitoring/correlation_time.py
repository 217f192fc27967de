"""How long a series remembers: its integrated autocorrelation time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WINDOW_TIMES = 5.0

F8 = npt.NDArray[np.float64]


def correlation_rows(values: F8) -> float | None:
    """Return the integrated autocorrelation time, 1 + 2 * sum of the autocorrelations, in rows.

    A mean of n rows is as uncertain as one of n / time independent rows. The sum ends at the smallest lag of
    at least 5 times itself: beyond there is noise alone (Sokal 1997, "Monte Carlo methods in statistical
    mechanics"). For an AR(1) with coefficient a it is (1 + a) / (1 - a).

    Parameters
    ----------
    values : float64[n]
        The series in order, without NaN.

    Returns
    -------
    float or None
        At least 1; None for fewer than two values or where they do not vary. Where the sum never ends, as in
        a trend, it is the length of the series.
    """
    n = len(values)
    if n < 2 or not np.ptp(values) > 0.0:
        return None
    spectrum = np.fft.rfft(values - np.mean(values), 1 << (2 * n - 1).bit_length())
    covariance = np.fft.irfft(np.abs(spectrum) ** 2)[:n]
    time = 2.0 * np.cumsum(covariance / covariance[0]) - 1.0
    ended = np.arange(n) >= WINDOW_TIMES * time
    return max(1.0, float(time[np.argmax(ended)])) if np.any(ended) else float(n)
