"""A log-HAR that learns from each matured label: both heads, and a recalibration that follows the regime.

Log sigma (gamma likelihood, which is QLIKE) and the log-odds of a spike are each linear in the logs of the
1, 5, 30 and 240 minute volatility and of tau. What was fitted is the start; from there ``online_kernels``
goes on row by row, forgetting at the pace of ``memory_windows``, drawn to the start by ``prior_windows``.
A line on the log-odds forgets faster, drawn to the identity. Rows a second apart share their minute, so a row
counts as 1 / ``rows_a_window`` of a window in all of it.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.errors import ModelError
from volspike.labels.trailing import Context
from volspike.models.bounds import InputBounds
from volspike.models.calibrate import INTERCEPT_STD, SLOPE_STD
from volspike.models.calibration import Calibration, SigmaBand
from volspike.models.kernels import CONTEXT_FIELDS, fill_state
from volspike.models.online_kernels import FIRST, INPUTS, factorise, fold, learn_row
from volspike.models.predictor import CalibratedPredictor
from volspike.models.state import StateHeads, StateWeights

F8 = npt.NDArray[np.float64]

SIZE = INPUTS + 1
TRIANGLE = SIZE * (SIZE + 1) // 2
RIDGE = 0.01  # of the constant's information: an input that never moved has none of its own
LARGEST = 1e13  # of a number that was learned: information times windows stays below it
ABSURD = 1e3  # no weight on a standardised input is beyond it, nor the information of a window
MOST_WINDOWS = 1e7
LEAST_PRIOR_WINDOWS = 100.0  # with a start that stands for less, wild rows can leave it without a prediction
BEGIN = "begin its learning anew from the model's own weights"


class OnlineWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="online"):
    """Where an online model starts, and how fast it learns.

    Attributes
    ----------
    rule : StateWeights
        Its weights on the state as fitted: of the four HAR lags and log tau alone.
    mean, std : tuple of 5 floats
        Of these inputs on the fit slice; they make the learning well conditioned.
    margin_information, sigma_information : tuple of 21 floats
        Expected information of one window about the weights on the standardised inputs and the constant, as
        lower triangle row by row, of the log-odds and of log sigma.
    least : float
        Log of the lowest sigma (bps) worth telling apart.
    rows_a_window : float
        How many rows count as one window: see ``Dataset.rows_a_window``.
    memory_windows, prior_windows, recalibration_windows : float
        A window counts 1/e after so many; for how many windows the start stands; memory of the recalibration.
    """

    rule: StateWeights
    mean: tuple[float, ...]
    std: tuple[float, ...]
    margin_information: tuple[float, ...]
    sigma_information: tuple[float, ...]
    least: float
    rows_a_window: float
    memory_windows: float
    prior_windows: float
    recalibration_windows: float

    def __post_init__(self) -> None:
        if len(self.mean) != INPUTS or len(self.std) != INPUTS:
            raise ValueError(f"an online model standardises {INPUTS} inputs")
        if {len(self.margin_information), len(self.sigma_information)} != {TRIANGLE}:
            raise ValueError(f"the information is a triangle of {TRIANGLE} numbers")
        windows = (self.memory_windows, self.prior_windows, self.recalibration_windows, self.rows_a_window)
        if not all(0.0 < count <= MOST_WINDOWS for count in windows):
            raise ValueError(f"counts of windows are above 0 and at most {MOST_WINDOWS:g}")
        if self.prior_windows < LEAST_PRIOR_WINDOWS:
            raise ValueError(f"the start stands for at least {LEAST_PRIOR_WINDOWS:g} windows")
        if not all(0.0 < deviation <= ABSURD for deviation in self.std):
            raise ValueError("a deviation of an input is not above 0, or absurd")
        heads = (self.rule.margin, self.rule.sigma)
        if any(weight != 0.0 for head in heads for weight in (*head[:FIRST], *head[FIRST + INPUTS :])):
            raise ValueError("an online model has weights on the HAR lags and tau alone")
        numbers = (*self.start().ravel().tolist(), *self.margin_information, *self.sigma_information)
        if not all(abs(number) <= ABSURD for number in (*numbers, *self.mean, self.least)):
            raise ValueError(f"a number is not finite or beyond {ABSURD:g}")

    def standard(self) -> F8:
        """Return mean and deviation of the inputs, float64[2, 5]."""
        return np.array([self.mean, self.std])

    def start(self) -> F8:
        """Return the weights on standardised inputs and the constant, float64[2, 6]: log-odds, log sigma."""
        mean, std = self.standard()
        rule = self.rule
        heads = ((rule.margin, rule.margin_intercept), (rule.sigma, rule.sigma_intercept))
        rows = []
        for weights, constant in heads:
            used = np.array(weights[FIRST : FIRST + INPUTS])
            rows.append([*(used * std), constant + float(used @ mean)])
        return np.array(rows)

    def start_precision(self) -> F8:
        """Return the inverse covariances of the start, in windows, float64[2, 6, 6].

        Raises
        ------
        ValueError
            One of them is not positive definite.
        """
        triangles = (self.margin_information, self.sigma_information)
        made = np.array([_matrix(triangle) for triangle in triangles]) * self.prior_windows
        for matrix in made:
            matrix += RIDGE * matrix[-1, -1] * np.eye(SIZE)
            if not factorise(matrix.copy()):
                raise ValueError("the information of a window is not positive definite")
        return made


class OnlineHeads(StateHeads):
    """Both heads of an online model; what serves them sees weights that are replaced in place."""

    def __init__(self, weights: OnlineWeights) -> None:
        super().__init__(weights.rule)
        self.weights = weights
        self.table = self._arguments[5]

    def state(self, context: Context, out: F8) -> bool:
        """Write the state at a context, float64[8]; return whether the context is sound."""
        raw = np.array([context.rv_bps, context.tau_bps, *context.har_bps, context.z, context.mid])
        assert len(raw) == CONTEXT_FIELDS
        sound: bool = fill_state(raw, *self._arguments[:5], out)
        return sound


class OnlinePredictor(CalibratedPredictor):
    """An online model with its calibration and band: a ``Learner``. See ``CalibratedPredictor``.

    Attributes
    ----------
    weights : OnlineWeights
        Where it started.
    learned, skipped : int
        Labels learned from; those that were left because context or label were unsound.
    """

    def __init__(
        self,
        name: str,
        version: str,
        feature_set: str,
        target: str,
        heads: OnlineHeads,
        calibration: Calibration,
        band: SigmaBand,
        bounds: InputBounds = InputBounds(),  # noqa: B008 - frozen
    ) -> None:
        if not calibration.slope > 0.0:
            raise ValueError(f"a calibration with slope {calibration.slope}")
        super().__init__(name, version, feature_set, target, heads, calibration, band, bounds)
        weights = heads.weights
        self._online, self.weights = heads, weights
        self._standard = weights.standard()
        self._finish = np.array([calibration.slope, calibration.intercept, band.shift])
        self._start = _as_served(weights.start(), self._finish)
        self._start_precision = weights.start_precision()
        self._line_start = np.diag([SLOPE_STD**-2.0, INTERCEPT_STD**-2.0])
        self._state = np.empty(len(weights.rule.margin))
        self._weight = 1.0 / weights.rows_a_window
        self._forget = _forget(weights.memory_windows, weights.rows_a_window)
        self._line_forget = _forget(weights.recalibration_windows, weights.rows_a_window)
        self._heads_now, self._precision = self._start.copy(), self._start_precision.copy()
        self._line, self._line_precision = np.array([1.0, 0.0]), self._line_start.copy()
        self._fold()
        self.learned = 0
        self.skipped = 0

    def learn(self, context: Context, sigma_future_bps: float, tau_bps: float) -> None:
        """Learn from one matured label: see ``Learner``."""
        labelled = 0.0 <= sigma_future_bps < math.inf and 0.0 < tau_bps < math.inf
        if not labelled or not self._online.state(context, self._state):
            self.skipped += 1
            return
        learned = learn_row(
            self._state,
            self._standard,
            self._heads_now,
            self._precision,
            self._start,
            self._start_precision,
            self._line,
            self._line_precision,
            self._line_start,
            self._finish,
            self._log_realised(sigma_future_bps, context.mid),
            1.0 if sigma_future_bps >= tau_bps else 0.0,
            self._weight,
            self._forget,
            self._line_forget,
            self._online.table,
        )
        self.learned += learned
        self.skipped += not learned

    def _log_realised(self, sigma_bps: float, mid: float) -> float:
        """Return the log of a realised sigma as training takes it: see ``rows.realised_variance``."""
        floor_bps = 1e4 * self.weights.rule.increment / mid
        return max(math.log(max(sigma_bps, floor_bps)), self.weights.least)

    def export_state(self) -> dict[str, Any]:
        """Return all that was learned: see ``Learner``."""
        return {
            "version": self.version,
            "learned": self.learned,
            "skipped": self.skipped,
            "heads": self._heads_now.tolist(),
            "precision": self._precision.tolist(),
            "line": self._line.tolist(),
            "line_precision": self._line_precision.tolist(),
        }

    def import_state(self, state: dict[str, Any]) -> None:
        """Go on from what was exported: see ``Learner``."""
        if state.get("version") != self.version:
            raise self._refused(f"it is of version {state.get('version')!r}")
        try:
            learned, skipped = int(state["learned"]), int(state["skipped"])
            heads = _sound(state["heads"], self._start.shape)
            line = _sound(state["line"], (2,))
            precision = _sound(state["precision"], self._start_precision.shape)
            line_precision = _sound(state["line_precision"], (2, 2))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._refused(f"it is malformed ({error})") from None
        if not all(_is_positive(matrix) for matrix in (*precision, line_precision)):
            raise self._refused("a matrix of it is not positive definite")
        self.learned, self.skipped = learned, skipped
        self._heads_now[:], self._precision[:] = heads, precision
        self._line[:], self._line_precision[:] = line, line_precision
        self._fold()

    def _fold(self) -> None:
        fold(self._standard, self._heads_now, self._line, self._finish, self._online.table)

    def _refused(self, reason: str) -> ModelError:
        return ModelError(f"what model {self.name} {self.version} had learned", reason, BEGIN)


def _as_served(start: F8, finish: F8) -> F8:
    """Return the weights that give log-odds and log sigma as calibrated: learning begins where they are."""
    made = start.copy()
    made[0] *= finish[0]
    made[:, -1] += finish[1:]
    return made


def _forget(memory_windows: float, rows_a_window: float) -> float:
    """Return what share of the past is forgotten with a row."""
    return -math.expm1(-1.0 / (memory_windows * rows_a_window))


def _matrix(triangle: tuple[float, ...]) -> F8:
    """Return the symmetric matrix of a lower triangle, float64[6, 6]."""
    made = np.zeros((SIZE, SIZE))
    made[np.tril_indices(SIZE)] = triangle
    return made + np.tril(made, -1).T


def _sound(values: Any, shape: tuple[int, ...]) -> F8:
    made = np.array(values, np.float64)
    if made.shape != shape or not (np.abs(made) <= LARGEST).all():
        raise ValueError(f"numbers that are not finite, absurd, or not of shape {shape}")
    return made


def _is_positive(matrix: F8) -> bool:
    return bool((matrix == matrix.T).all()) and bool(factorise(matrix.copy()))
