"""The blend at prediction time: linear and boosted heads of one set of inputs, weighted."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.labels.trailing import Context
from volspike.models.inputs import InputArrays, InputSpec, input_matrix
from volspike.models.kernels import Line, Served, blend_rows
from volspike.models.linear import LinearWeights
from volspike.models.serving import Bounds, Table, Values, serve_blend
from volspike.models.trees import FlatTrees

F8 = npt.NDArray[np.float64]

BLEND_FILE = "blend.json"


class BlendShares(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="blend"):
    """What each head counts for.

    Attributes
    ----------
    intercept, linear, boosted, linear_sigma, boosted_sigma : float
        The log-odds are the sum of the intercept, the two classifiers' log-odds and the two predicted log
        sigma over tau, each times its share.
    log_sigma_linear : float
        Share of the linear log sigma in log sigma; the rest is boosted.
    """

    intercept: float
    linear: float
    boosted: float
    linear_sigma: float
    boosted_sigma: float
    log_sigma_linear: float

    def __post_init__(self) -> None:
        if min(self.linear, self.boosted, self.linear_sigma, self.boosted_sigma) < 0.0:
            raise ValueError("a head counts for less than nothing")
        if not 0.0 <= self.log_sigma_linear <= 1.0:
            raise ValueError(f"a share of {self.log_sigma_linear}")


class BlendHeads:
    """Both heads of the blend.

    Parameters
    ----------
    linear : LinearWeights
        One weight an input.
    classifier, sigma : FlatTrees
        The ensembles of the log-odds and of log sigma.
    shares : BlendShares
        What each counts for.
    spec : InputSpec
        How the inputs are made.

    Raises
    ------
    ValueError
        When a part takes another number of inputs.
    """

    def __init__(
        self,
        linear: LinearWeights,
        classifier: FlatTrees,
        sigma: FlatTrees,
        shares: BlendShares,
        spec: InputSpec,
    ) -> None:
        arrays = InputArrays.of(spec)
        if not classifier.inputs == sigma.inputs == arrays.size == len(linear.margin):
            raise ValueError(f"its parts are not all over {arrays.size} inputs")
        self.width = spec.width
        self._spec = spec
        self._inputs = (arrays.columns, arrays.transforms, arrays.steps, arrays.increment)
        self._weights = linear.table()
        self._shares = np.array(msgspec.structs.astuple(shares))
        self._scratch = (np.empty(arrays.size + 4), np.empty(2 * arrays.size, dtype=np.float32))
        self._trees = (classifier, sigma)

    def served(self, line: Line, bounds: Bounds) -> Callable[[Values, Context], Served]:
        """Return what predicts one row, calibrated by ``line``, and counts its inputs beyond ``bounds``."""
        numbers = [self._inputs[3], *(float(x) for trees in self._trees for x in (trees.depth, trees.base))]
        flat = [array for trees in self._trees for array in (trees.feature, trees.threshold, trees.leaf)]
        scratch = [array.copy() for array in self._scratch]
        arrays = (*self._inputs[:3], *scratch, *flat, self._weights, self._shares)
        serve, table = serve_blend(self.width), Table(self.width, line, bounds, numbers, arrays)
        return lambda values, context: serve(table.address, values, context)

    def rows(self, raw: F8) -> tuple[F8, F8]:
        """Return margins and log sigmas of many raw rows."""
        trees = [(t.feature, t.threshold, t.leaf, t.depth, t.base) for t in self._trees]
        heads: tuple[F8, F8] = blend_rows(
            raw, self._inputs, self._weights, self._shares, *self._scratch, *trees
        )
        return heads

    def inputs(self, raw: F8) -> F8:
        """Return the inputs of many raw rows."""
        return input_matrix(raw, self._spec)
