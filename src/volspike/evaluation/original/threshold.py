"""Tau as the original sets it: a percentile of standard deviations, or a number."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BPS = 1e4
LARGEST_STD = 0.01  # of tick returns: what is said above that is meant in basis points

_FORM = re.compile(r"(?P<percentile>[Pp])?(?P<number>[0-9.]+(?:[eE][+-]?[0-9]+)?)(?P<bps>bps)?")


@dataclass(frozen=True, slots=True)
class Threshold:
    """How tau is set: by ``percentile`` (above 0, below 100), or as ``std``, a pure number."""

    percentile: float | None = None
    std: float | None = None

    def of(self, stds: npt.NDArray[np.float64]) -> float | None:
        """Return tau, a pure number.

        Parameters
        ----------
        stds : float64[n]
            What a percentile is taken of, by linear interpolation; None comes back where there are none.
        """
        if self.percentile is None:
            return self.std
        return float(np.percentile(stds, self.percentile)) if len(stds) else None

    def __str__(self) -> str:
        return f"P{self.percentile:g}" if self.std is None else f"{self.std:g}"


def parse_threshold(text: str) -> Threshold:
    """Read ``P90``, ``0.000028`` (a standard deviation of tick returns) or ``0.28bps``.

    Raises
    ------
    ValueError
        If it is none of them, or out of range; it says why.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None or (form["percentile"] and form["bps"]):
        raise ValueError(f"{text!r} is neither a percentile like P90 nor a number like 0.000028 or 0.28bps")
    try:
        number = float(form["number"])
    except ValueError:
        raise ValueError(f"{form['number']!r} is no number") from None
    if form["percentile"]:
        if not 0 < number < 100:
            raise ValueError(f"{text} lies outside P0 to P100")
        return Threshold(percentile=number)
    std = number / BPS if form["bps"] else number
    if not 0 < std < LARGEST_STD:
        raise ValueError(f"a std of {std:g} a tick is no volatility; for basis points write {number:g}bps")
    return Threshold(std=std)
