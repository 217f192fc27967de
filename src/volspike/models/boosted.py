"""The XGBoost model at prediction time: two ensembles over the same inputs, walked as flat trees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from volspike.labels.trailing import Context
from volspike.models.inputs import InputArrays, InputSpec, input_matrix
from volspike.models.kernels import Line, Served, boosted_rows
from volspike.models.serving import Bounds, Table, Values, serve_boosted
from volspike.models.trees import FlatTrees

F8 = npt.NDArray[np.float64]

CLASSIFIER_FILE = "classifier.ubj"
SIGMA_FILE = "sigma.ubj"


class BoostedHeads:
    """Both heads of the boosted model.

    Parameters
    ----------
    classifier, sigma : FlatTrees
        The ensembles of the log-odds and of log sigma.
    spec : InputSpec
        How the inputs are made.

    Raises
    ------
    ValueError
        When an ensemble takes another number of inputs.
    """

    def __init__(self, classifier: FlatTrees, sigma: FlatTrees, spec: InputSpec) -> None:
        arrays = InputArrays.of(spec)
        if not classifier.inputs == sigma.inputs == arrays.size:
            raise ValueError(f"trees over {classifier.inputs} and {sigma.inputs} of {arrays.size} inputs")
        self.width = spec.width
        self._spec = spec
        self._arguments = (
            (arrays.columns, arrays.transforms, arrays.steps, arrays.increment),
            np.empty(arrays.size + 4),
            np.empty(2 * arrays.size, dtype=np.float32),
            (classifier.feature, classifier.threshold, classifier.leaf, classifier.depth, classifier.base),
            (sigma.feature, sigma.threshold, sigma.leaf, sigma.depth, sigma.base),
        )

    def served(self, line: Line, bounds: Bounds) -> Callable[[Values, Context], Served]:
        """Return what predicts one row, calibrated by ``line``, and counts its inputs beyond ``bounds``."""
        inputs, out, twice, classifier, sigma = self._arguments
        numbers = [float(number) for number in (inputs[3], *classifier[3:], *sigma[3:])]
        arrays = (*inputs[:3], out.copy(), twice.copy(), *classifier[:3], *sigma[:3])
        serve, table = serve_boosted(self.width), Table(self.width, line, bounds, numbers, arrays)
        return lambda values, context: serve(table.address, values, context)

    def rows(self, raw: F8) -> tuple[F8, F8]:
        """Return margins and log sigmas of many raw rows."""
        heads: tuple[F8, F8] = boosted_rows(raw, *self._arguments)
        return heads

    def inputs(self, raw: F8) -> F8:
        """Return the inputs of many raw rows."""
        return input_matrix(raw, self._spec)
