"""The thresholds that are compared: percentiles of the fit slice, trailing percentiles, and constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from volspike.labels.dataset import Dataset, hashed, spikes, with_fixed_tau_of
from volspike.labels.tau import TauSpec

QUANTILES = (0.80, 0.85, 0.90, 0.95, 0.975, 0.99)
FLOORS_BPS = (2.0, 4.0, 8.0)

Build = Callable[[TauSpec], Dataset]
"""Makes the dataset of the same rows, in the same order, under another setting of tau."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to set tau.

    Attributes
    ----------
    name : str
        Such as ``fixed P95``, ``adaptive P95, floor 2``, ``constant 4 bps``.
    spec : TauSpec
        Its setting.
    constant_bps : float or None
        The tau itself, in basis points, where it is of no data.
    is_in_use : bool
        Whether it is what the settings say.
    """

    name: str
    spec: TauSpec
    constant_bps: float | None = None
    is_in_use: bool = False

    def label(self, base: Dataset, fit: npt.NDArray[np.int64], build: Build) -> Dataset:
        """Return the rows labelled by this tau.

        Parameters
        ----------
        base : Dataset
            The rows under any fixed tau.
        fit : int64[m]
            Rows of the fit slice, from which alone a fixed tau is taken.
        build : callable
            Makes them under an adaptive tau.

        Raises
        ------
        NotEnoughDataError
            If no row of the fit slice is labelled.
        """
        if self.constant_bps is not None:
            return _constant(base, self.spec, self.constant_bps)
        if self.spec.mode == "fixed":
            return with_fixed_tau_of(replace(base, tau=self.spec), fit)
        return build(self.spec)


def candidates(in_use: TauSpec) -> tuple[Candidate, ...]:
    """Return the thresholds to compare, the one in use among them.

    Parameters
    ----------
    in_use : TauSpec
        Its quantile joins the others, its floor is that of the adaptive ones; at its quantile the other
        floors are tried too.
    """
    floor_bps = in_use.floor_bps
    quantiles = sorted({*QUANTILES, in_use.quantile})
    specs = [TauSpec(mode, quantile, floor_bps) for mode in ("fixed", "adaptive") for quantile in quantiles]
    found = [Candidate(f"{s.mode} {percentile_name(s.quantile)}", s, is_in_use=s == in_use) for s in specs]
    adaptive = f"adaptive {percentile_name(in_use.quantile)}"
    found += [
        Candidate(f"{adaptive}, floor {other:g}", TauSpec("adaptive", in_use.quantile, other))
        for other in FLOORS_BPS
        if other != floor_bps
    ]
    fixed = TauSpec("fixed", in_use.quantile, floor_bps)
    found += [Candidate(f"constant {bps:g} bps", fixed, bps) for bps in FLOORS_BPS]
    return tuple(found)


def percentile_name(quantile: float) -> str:
    """Return the name of a quantile.

    Examples
    --------
    >>> percentile_name(0.975)
    'P97.5'
    """
    return f"P{100.0 * quantile:g}"


def _constant(base: Dataset, spec: TauSpec, tau_bps: float) -> Dataset:
    tau = np.full(len(base), tau_bps)
    spike = spikes(base.sigma_future_bps, tau)
    return hashed(replace(base, tau=spec, fixed_tau_bps=tau_bps, tau_bps=tau, spike=spike))
