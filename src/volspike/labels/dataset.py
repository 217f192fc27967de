"""The dataset that models are fitted and scored on: a row each step, with labels, tau and context."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from volspike.errors import ConfigError, NotEnoughDataError
from volspike.exchange.products import PriceScales
from volspike.features.grid import SecondArrays, last_closed_second_array, second_grid
from volspike.features.regime.columns import REGIME
from volspike.features.regime.history import regime_features
from volspike.features.sets import get_feature_set
from volspike.features.table import TICK, FeatureTable
from volspike.labels.history import trailing_history
from volspike.labels.price_step import price_step
from volspike.labels.splits import split_times
from volspike.labels.stream import is_ready, join_tables, last_of_seconds, usable_ticks, value_column
from volspike.labels.targets import (
    HORIZON_S,
    LABELLED,
    TARGETS,
    Labels,
    TickArrays,
    future_rv,
    future_std,
    next_row_std,
)
from volspike.labels.tau import TauSpec, quantile_rank
from volspike.labels.trailing import Context, increment_bps

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Inputs = Literal["rows", "regime"]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Rows of one product and feed in time order: one a second (its last tick), or one a minute (its candle).

    Attributes
    ----------
    product, feed, feature_set, event_time_source, target : str
        What the rows are of.
    tau : TauSpec
        How ``tau_bps`` was made.
    fixed_tau_bps : float
        The fixed tau in basis points: of the fit slice, or the one that was given.
    increment : float
        Quote increment in quote currency: in logs no volatility is below one of it over the mid.
    columns : tuple of str
        Names of the k columns of ``features``.
    step_s : int
        Seconds from one row to the next where none is missing: 1 for ticks, 60 for candles.
    event_ns : int64[n]
        Event time in ns, ascending.
    run : int32[n]
        Number of the covered stretch; labels, windows and returns never span two.
    features : float64[n, k]
        Window features at the tick.
    rv_bps, mid : float64[n]
        RV now in basis points; mid price in quote currency.
    har_bps : float64[n, 4]
        RV over the trailing 1, 5, 30, 240 minutes, scaled to 60 s; NaN where less than half is covered.
    z : float64[n]
        Trailing z of log RV; NaN where undefined.
    tau_bps : float64[n]
        The tau in force at the tick.
    tau_adaptive : bool[n]
        Whether it is the trailing quantile; False: the fixed tau.
    sigma_future_bps : float64[n]
        The target; NaN where unlabelled.
    spike : int8[n]
        1 spike, 0 none, -1 unlabelled.
    unlabelled : uint8[n]
        Index into ``targets.UNLABELLED_REASONS``; 0 is labelled.
    sha256 : str
        Hash of everything above.
    tau_given : bool
        Whether the fixed tau is that of a model made before, kept so that both mean the same by a spike.
    """

    product: str
    feed: str
    feature_set: str
    event_time_source: str
    target: str
    tau: TauSpec
    fixed_tau_bps: float
    increment: float
    columns: tuple[str, ...]
    step_s: int
    event_ns: I8
    run: npt.NDArray[np.int32]
    features: F8
    rv_bps: F8
    mid: F8
    har_bps: F8
    z: F8
    tau_bps: F8
    tau_adaptive: npt.NDArray[np.bool_]
    sigma_future_bps: F8
    spike: npt.NDArray[np.int8]
    unlabelled: npt.NDArray[np.uint8]
    sha256: str
    tau_given: bool = False

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.event_ns)

    @property
    def second(self) -> I8:
        """Return the grid second of each row, ``ceil(t)``, int64[n]."""
        return last_closed_second_array(self.event_ns) + 1

    @property
    def rows_a_window(self) -> float:
        """Return how many rows in a row see about one minute's worth of evidence."""
        return HORIZON_S / self.step_s

    @property
    def inputs(self) -> Inputs:
        """Return what the features were made of, as ``build_dataset`` takes it."""
        return "regime" if self.feature_set == REGIME.name else "rows"

    @property
    def floor_bps(self) -> F8:
        """Return one quote increment over the mid, in basis points, float64[n]: the floor of RV in logs."""
        return 1e4 * self.increment / self.mid

    def context(self, row: int) -> Context:
        """Return what was known at a row, as the live state would give it."""
        one, five, thirty, four_hours = self.har_bps[row].tolist()
        return Context(
            float(self.rv_bps[row]),
            float(self.tau_bps[row]),
            (one, five, thirty, four_hours),
            float(self.z[row]),
            float(self.mid[row]),
            bool(self.tau_adaptive[row]),
        )

    def rows(self, index: npt.ArrayLike) -> Dataset:
        """Return the selected rows (int64 indices or a bool mask) as a dataset with a hash of its own."""
        chosen = np.asarray(index)
        arrays = {
            f.name: getattr(self, f.name)[chosen]
            for f in fields(self)
            if isinstance(getattr(self, f.name), np.ndarray)
        }
        return hashed(replace(self, **arrays))


def build_dataset(
    tables: Sequence[FeatureTable],
    target: str = "rv",
    tau: TauSpec = TauSpec(),  # noqa: B008 - frozen
    fixed_tau_bps: float | None = None,
    increment: float | None = None,
    inputs: Inputs = "rows",
) -> Dataset:
    """Build the dataset of one product and feed from its feature tables.

    Parameters
    ----------
    tables : sequence of FeatureTable
        Ticks and marks, one table or several sessions; put in time order here.
    target : {"rv", "std", "next-row"}
        See ``targets``; ``next-row`` leaks and is for study only.
    tau : TauSpec
        How tau is set; adaptive tau is of realised volatility, so it needs the target ``rv``.
    fixed_tau_bps : float, optional
        The fixed tau of a bundle, basis points. Without it, it is fitted on the fit slice of
        ``chronological_split``, and on nothing else.
    increment : float, optional
        The quote increment of a bundle, in quote currency. Without it, it is the product's table entry, or
        else the largest step that divides all quotes of the fit slice.
    inputs : {"rows", "regime"}
        Whether the features are those of the tables, or the regime columns, made of their closed seconds.

    Returns
    -------
    Dataset
        One row a second: the last tick of the second, where its window is complete with at least 10 ticks.

    Raises
    ------
    NotEnoughDataError
        If no row is left, or no labelled row of the fit slice to set the fixed tau by.
    FeatureError
        If the tables are of different products, feeds or feature sets, or lack ``rv_60s``.
    ConfigError
        If the target is unknown, or adaptive tau is asked for a target other than ``rv``.
    """
    _check_target(target, tau)
    table = join_tables(tables)
    mid_sum = table.bid + table.ask
    grid = second_grid(table.event_ns, table.covered_since_ns, mid_sum, table.kind == TICK)
    ticks = usable_ticks(table)
    row = _pick_rows(table, ticks)
    event_ns, rv_bps = table.event_ns[row], value_column(table, "rv_60s")[row]
    mid = mid_sum[row] / float(2 * 10**table.price_decimals)
    labels = _label(table, grid, target, ticks, row)
    if increment is None:
        increment = PriceScales().increment(table.product) or _fit_increment(table, event_ns)
    if fixed_tau_bps is None:
        fixed_tau_bps = _fit_fixed_tau(table.product, event_ns, labels, mid, tau, increment)
    history = trailing_history(grid, event_ns, rv_bps, mid, tau, table.price_decimals, increment)
    tau_bps, adaptive = history.tau(tau, fixed_tau_bps)
    feature_set = REGIME if inputs == "regime" else get_feature_set(table.feature_set)
    features = table.values[row] if feature_set is not REGIME else _regime(grid, event_ns)
    return hashed(
        Dataset(
            product=table.product,
            feed=table.feed,
            feature_set=feature_set.name,
            event_time_source=table.event_time_source,
            target=target,
            tau=tau,
            fixed_tau_bps=fixed_tau_bps,
            increment=increment,
            columns=feature_set.names,
            step_s=1,
            event_ns=event_ns,
            run=grid.event_run[row],
            features=np.ascontiguousarray(features),
            rv_bps=rv_bps,
            mid=mid,
            har_bps=history.har_bps,
            z=history.z,
            tau_bps=tau_bps,
            tau_adaptive=adaptive,
            sigma_future_bps=labels.sigma_future_bps,
            spike=spikes(labels.sigma_future_bps, tau_bps),
            unlabelled=labels.unlabelled,
            sha256="",
        )
    )


def with_fixed_tau_of(dataset: Dataset, fit: I8) -> Dataset:
    """Return the dataset with the fixed tau of another fit slice, in force wherever the adaptive one is not.

    Parameters
    ----------
    dataset : Dataset
        Its own fixed tau may be of rows that a fold of a walk-forward must not know.
    fit : int64[m]
        Rows of the fit slice.

    Raises
    ------
    NotEnoughDataError
        If none of them is labelled.
    """
    labelled = fit[dataset.spike[fit] >= 0]
    if not len(labelled):
        raise NotEnoughDataError(dataset.product, f"no labelled row in {len(fit)} rows of fit", "begin later")
    typical_mid = float(np.median(dataset.mid[fit]))
    tau = fixed_tau(dataset.sigma_future_bps[labelled], dataset.tau, typical_mid, dataset.increment)
    tau_bps = np.where(dataset.tau_adaptive, dataset.tau_bps, tau)
    spike = spikes(dataset.sigma_future_bps, tau_bps)
    return hashed(replace(dataset, fixed_tau_bps=tau, tau_bps=tau_bps, spike=spike))


def fixed_tau(sigma_future_bps: F8, tau: TauSpec, mid: float, increment: float) -> float:
    """Return the fixed tau: a percentile of the target, in basis points.

    Parameters
    ----------
    sigma_future_bps : float64[n]
        The labelled rows of the fit slice, and of no other; n above 0.
    tau : TauSpec
        Gives the quantile, and for adaptive mode, where this is the fallback, the floor.
    mid, increment : float
        Typical mid and quote increment in quote currency: in fixed mode tau is never below their quotient.

    Returns
    -------
    float
        The smallest value that at least that share of the rows doesn't exceed, or the floor.
    """
    floor_bps = tau.floor_bps if tau.mode == "adaptive" else increment_bps(increment, mid)
    rank = quantile_rank(len(sigma_future_bps), tau.quantile_ppm)
    return max(floor_bps, float(np.sort(sigma_future_bps)[rank - 1]))


def _regime(grid: SecondArrays, event_ns: I8) -> F8:
    return regime_features(grid, last_closed_second_array(event_ns))


def _check_target(target: str, tau: TauSpec) -> None:
    if target not in TARGETS:
        raise ConfigError("target", f"{target!r} is unknown", f"use one of {', '.join(TARGETS)}")
    if tau.mode == "adaptive" and target != "rv":
        raise ConfigError("tau", f"adaptive tau is no threshold for the target {target}", "use a fixed tau")


def _pick_rows(table: FeatureTable, ticks: I8) -> I8:
    """Return the positions of the rows: the last tick of each second (s-1, s], where it is ready."""
    row = last_of_seconds(table, ticks)
    row = row[is_ready(table)[row]]
    if not len(row):
        raise NotEnoughDataError(
            table.product,
            f"no usable second in {len(ticks)} ticks",
            "record longer: a row needs 60 s of whole feed before it and 10 ticks",
        )
    return row


def _label(table: FeatureTable, grid: SecondArrays, target: str, ticks: I8, row: I8) -> Labels:
    arrays = TickArrays(table.event_ns[ticks], grid.event_run[ticks], table.bid[ticks] + table.ask[ticks])
    if target == "rv":
        return future_rv(grid, table.event_ns[row], grid.event_run[row])
    if target == "std":
        return future_std(grid, arrays, table.event_ns[row], grid.event_run[row])
    trailing_std = value_column(table, "midprice_return_std")[ticks]
    return next_row_std(arrays, trailing_std, table.ticks[ticks], np.searchsorted(ticks, row))


def _fit_fixed_tau(
    product: str, event_ns: I8, labels: Labels, mid: F8, tau: TauSpec, increment: float
) -> float:
    fit = split_times(event_ns).fit
    labelled = fit[labels.unlabelled[fit] == LABELLED]
    if not len(labelled):
        raise NotEnoughDataError(
            product,
            f"no labelled row in the fit slice ({len(event_ns)} rows, {len(fit)} left in fit by purging)",
            "record longer, or give a fixed tau",
        )
    typical_mid = float(np.median(mid[fit]))
    return fixed_tau(labels.sigma_future_bps[labelled], tau, typical_mid, increment)


def _fit_increment(table: FeatureTable, event_ns: I8) -> float:
    """Return the step of the quotes up to the end of the fit slice, in quote currency."""
    fit = split_times(event_ns).fit
    end_ns = event_ns[fit[-1]] if len(fit) else event_ns[0]
    quoted = (table.kind == TICK) & (table.event_ns <= end_ns)
    return price_step(np.concatenate((table.bid[quoted], table.ask[quoted])), table.price_decimals)


def spikes(sigma_future_bps: F8, tau_bps: F8) -> npt.NDArray[np.int8]:
    """Return 1 where the target reaches tau, 0 where not, -1 where it is NaN (int8[n])."""
    unlabelled = np.isnan(sigma_future_bps)
    return np.where(unlabelled, -1, sigma_future_bps >= tau_bps).astype(np.int8)


def join_datasets(parts: Sequence[Dataset]) -> Dataset:
    """Join datasets of one kind that lie apart, in order of time: no covered stretch spans two.

    Parameters
    ----------
    parts : sequence of Dataset
        At least one; all with the same tau, columns and increment.
    """
    begins = np.cumsum([0] + [int(part.run.max(initial=-1)) + 1 for part in parts[:-1]])
    arrays: dict[str, Any] = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(parts[0])
        if isinstance(getattr(parts[0], f.name), np.ndarray)
    }
    runs = [part.run + np.int32(begin) for part, begin in zip(parts, begins, strict=True)]
    return hashed(replace(parts[0], **arrays | {"run": np.concatenate(runs)}))


def hashed(dataset: Dataset) -> Dataset:
    """Return the dataset with the sha256 of its contents."""
    digest = hashlib.sha256()
    for field in fields(dataset):
        value = getattr(dataset, field.name)
        if isinstance(value, np.ndarray):
            digest.update(f"{field.name} {value.dtype.str} {value.shape}\n".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        elif field.name != "sha256":
            digest.update(f"{field.name} {value!r}\n".encode())
    return replace(dataset, sha256=digest.hexdigest())
