"""Logistic regression for the spike, gamma regression for sigma, each folded into one dot product."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.labels.trailing import Context
from volspike.models.inputs import InputArrays, InputSpec, input_matrix
from volspike.models.kernels import Line, Served, linear_rows
from volspike.models.serving import Bounds, Table, Values, serve_linear

F8 = npt.NDArray[np.float64]


class LinearWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="linear"):
    """Weights on the unscaled inputs: the scaling is folded in.

    Attributes
    ----------
    margin, sigma : tuple of float
        Coefficients of the log-odds and of log sigma, one an input.
    margin_intercept, sigma_intercept : float
        Their constants.
    missing : tuple of float
        What stands in for a missing input: its mean on the fit slice.
    low, high : tuple of float
        Bounds of each input: what lies beyond them counts as the bound.
    """

    margin: tuple[float, ...]
    sigma: tuple[float, ...]
    margin_intercept: float
    sigma_intercept: float
    missing: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if len({len(each) for each in (self.margin, self.sigma, self.missing, self.low, self.high)}) != 1:
            raise ValueError("the weights differ in length")

    def table(self) -> F8:
        """Return the weights as the compiled code takes them, float64[5, inputs + 1]."""
        heads = ((self.margin, self.margin_intercept), (self.sigma, self.sigma_intercept))
        rest = ((each, 0.0) for each in (self.missing, self.low, self.high))
        return np.array([[*weights, constant] for weights, constant in (*heads, *rest)])


class LinearHeads:
    """Both heads of the linear model.

    Parameters
    ----------
    weights : LinearWeights
        One weight an input.
    spec : InputSpec
        How the inputs are made.

    Raises
    ------
    ValueError
        When weights and inputs differ in number.
    """

    def __init__(self, weights: LinearWeights, spec: InputSpec) -> None:
        if len(weights.margin) != len(spec.names):
            raise ValueError(f"{len(weights.margin)} weights for {len(spec.names)} inputs")
        arrays = InputArrays.of(spec)
        self.width = spec.width
        self._spec = spec
        self._arguments = (
            arrays.columns,
            arrays.transforms,
            arrays.steps,
            arrays.increment,
            weights.table(),
            np.empty(arrays.size + 4),
        )

    def served(self, line: Line, bounds: Bounds) -> Callable[[Values, Context], Served]:
        """Return what predicts one row, calibrated by ``line``, and counts its inputs beyond ``bounds``."""
        columns, transforms, steps, increment, weights, out = self._arguments
        arrays = (columns, transforms, steps, weights, out.copy())
        serve, table = serve_linear(self.width), Table(self.width, line, bounds, (increment,), arrays)
        return lambda values, context: serve(table.address, values, context)

    def rows(self, raw: F8) -> tuple[F8, F8]:
        """Return margins and log sigmas of many raw rows."""
        heads: tuple[F8, F8] = linear_rows(raw, *self._arguments)
        return heads

    def inputs(self, raw: F8) -> F8:
        """Return the inputs of many raw rows."""
        return input_matrix(raw, self._spec)
