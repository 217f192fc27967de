"""The input vector of a model: transformed window features, then what the recent past says about tau.

A *raw row* is what prediction starts from: the k feature values, then rv, tau, the four HAR lags, z and mid
(``CONTEXT_FIELDS``). ``fill_inputs`` turns one raw row into the inputs; batches call the same code row by
row, so one row and a batch agree to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.features.columns import Column, FeatureSet
from volspike.models.kernels import (
    ASINH,
    BPS_STEP,
    FRACTION_STEP,
    IDENTITY,
    LOG,
    LOG_STEPS,
    NO_STEP,
    PRICE_STEP,
    inputs_fill,
)

F8 = npt.NDArray[np.float64]
I1 = npt.NDArray[np.int8]

CONTEXT_COLUMNS = ("rv_bps", "tau_bps", "har_1m_bps", "har_5m_bps", "har_30m_bps", "har_240m_bps", "z", "mid")
TAU_INPUTS = ("log_tau", "log_rv_over_tau")
HAR_INPUTS = ("log_har_5m_over_tau", "log_har_30m_over_tau", "log_har_240m_over_tau")
PRICE_UNIT = "quote currency"  # a price level tells the time, so no model is given one
# Quotes of the busiest products are an increment apart for days. Over the price that is a price level too, so
# a model is given spreads in increments, and of the two columns of ``core`` the one that is exact there.
SPREADS = ("bid_ask_spread", "spread_last_bps", "spread_max_bps")
PRICE_LEVELS = ("relative_spread",)
# On a few hours the time of day says where in the recording a row lies.
CLOCK_COLUMNS = ("day_sin", "day_cos", "hour_frac")
CLOCK_DAYS = 3.0

_TRANSFORMS = {"log": LOG, "asinh": ASINH}
_STEPS = {"1": FRACTION_STEP, "bps": BPS_STEP, "bps per million": BPS_STEP, PRICE_UNIT: PRICE_STEP}


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the inputs of a model are made; a part of its manifest.

    Attributes
    ----------
    width : int
        Number of feature values of the set (k).
    names : tuple of str
        Names of the inputs, in order.
    columns : tuple of int
        Position, among the k feature values, of each input that is a feature.
    transforms, steps : tuple of int
        Code of the transform, and of the price step below which it sees no difference, of each of them.
    increment : float
        Quote increment in quote currency: no logarithm is taken of less than one of it over the mid.
    """

    width: int
    names: tuple[str, ...]
    columns: tuple[int, ...]
    transforms: tuple[int, ...]
    steps: tuple[int, ...]
    increment: float

    def __post_init__(self) -> None:
        if not len(self.columns) == len(self.transforms) == len(self.steps):
            raise ValueError("columns, transforms and steps differ in length")
        tail = self.names[len(self.columns) :]
        if tail not in (TAU_INPUTS, TAU_INPUTS + HAR_INPUTS):
            raise ValueError(f"unknown context inputs {tail}")
        if not (0.0 < self.increment < math.inf):
            raise ValueError(f"quote increment {self.increment}")

    @property
    def has_har(self) -> bool:
        """Whether the longer lags are inputs too."""
        return self.names[-1:] == HAR_INPUTS[-1:]

    @property
    def has_clock(self) -> bool:
        """Whether the time of day is an input."""
        return any(name in self.names for name in CLOCK_COLUMNS)


@dataclass(frozen=True)
class InputArrays:
    """An ``InputSpec`` in the form the compiled code takes."""

    columns: npt.NDArray[np.int32]
    transforms: I1
    steps: I1
    increment: float
    size: int

    @classmethod
    def of(cls, spec: InputSpec) -> InputArrays:
        """Convert a spec."""
        return cls(
            columns=np.asarray(spec.columns, dtype=np.int32),
            transforms=np.asarray(spec.transforms, dtype=np.int8),
            steps=np.asarray(spec.steps, dtype=np.int8),
            increment=spec.increment,
            size=len(spec.names),
        )


def input_spec(feature_set: FeatureSet, increment: float, har: bool, clock: bool = True) -> InputSpec:
    """Return the inputs made from a feature set.

    Parameters
    ----------
    feature_set : FeatureSet
        Columns that tell the price are left out: a price level works as a clock.
    increment : float
        Quote increment in quote currency.
    har : bool
        Whether the 5, 30 and 240 minute lags are inputs too.
    clock : bool
        Whether the time of day is, where the set has it.
    """
    used = [
        (i, column)
        for i, column in enumerate(feature_set.columns)
        if not _is_price_level(column) and (clock or column.name not in CLOCK_COLUMNS)
    ]
    names, transforms = zip(*(_input(column) for _, column in used), strict=True)
    return InputSpec(
        width=len(feature_set.columns),
        names=names + TAU_INPUTS + (HAR_INPUTS if har else ()),
        columns=tuple(i for i, _ in used),
        transforms=transforms,
        steps=tuple(_STEPS.get(column.unit, NO_STEP) for _, column in used),
        increment=increment,
    )


def _is_price_level(column: Column) -> bool:
    """Tell whether a column says more of the price than of how it moves."""
    return column.name in PRICE_LEVELS or (column.unit == PRICE_UNIT and column.name not in SPREADS)


def _input(column: Column) -> tuple[str, int]:
    """Return the name of a column's input, and the code of its transform."""
    if column.name in SPREADS:
        return f"log_{column.name}_in_increments", LOG_STEPS
    if column.transform == "identity":
        return column.name, IDENTITY
    return f"{column.transform}_{column.name}", _TRANSFORMS[column.transform]


def feed_dependent(feature_set: FeatureSet, spec: InputSpec) -> bool:
    """Return whether an input's scale changes with the feed."""
    return any(feature_set.columns[i].feed_dependent for i in spec.columns)


class HasRows(Protocol):
    """The columns of a dataset that prediction reads (``labels.dataset.Dataset`` has them)."""

    @property
    def features(self) -> F8: ...  # noqa: D102
    @property
    def rv_bps(self) -> F8: ...  # noqa: D102
    @property
    def tau_bps(self) -> F8: ...  # noqa: D102
    @property
    def har_bps(self) -> F8: ...  # noqa: D102
    @property
    def z(self) -> F8: ...  # noqa: D102
    @property
    def mid(self) -> F8: ...  # noqa: D102


def raw_rows(dataset: HasRows, width: int) -> F8:
    """Return the raw rows of a dataset, float64[n, width + 8]; ``width`` 0 leaves the features out."""
    context = (dataset.rv_bps, dataset.tau_bps, dataset.har_bps, dataset.z, dataset.mid)
    return np.ascontiguousarray(np.column_stack((dataset.features[:, :width], *context)), dtype=np.float64)


def input_matrix(raw: F8, spec: InputSpec) -> F8:
    """Return the inputs of many raw rows, float64[n, len(spec.names)]; NaN where the context is unsound."""
    arrays = InputArrays.of(spec)
    filled: F8 = inputs_fill(
        raw, arrays.columns, arrays.transforms, arrays.steps, arrays.increment, arrays.size
    )
    return filled
