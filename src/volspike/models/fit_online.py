"""Where an online model starts: the log-HAR of the fit slice, and how sure a window makes of its weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.labels.dataset import Dataset
from volspike.models.fit_rules import StateScale
from volspike.models.online import SIZE, OnlineWeights
from volspike.models.online_kernels import FIRST, INPUTS
from volspike.models.rows import least_log_sigma
from volspike.models.state import StateWeights

F8 = npt.NDArray[np.float64]

NO_SPREAD = 1e-9


@dataclass(frozen=True, slots=True)
class Forgetting:
    """How fast an online model learns, in windows: see ``OnlineWeights``.

    The defaults were chosen on the first eight days of July: ``python -m benchmarks.forgetting``.
    """

    memory_windows: float = 1_440.0
    prior_windows: float = 5_760.0
    recalibration_windows: float = 30.0


def fit_online(
    fit: Dataset,
    rule: StateWeights,
    forgetting: Forgetting = Forgetting(),
) -> OnlineWeights:
    """Return where an online model starts.

    Parameters
    ----------
    fit : Dataset
        Labelled rows of the fit slice, of both classes.
    rule : StateWeights
        ``log-har-logit``, fitted on the same rows.
    forgetting : Forgetting
        How fast it learns.
    """
    scale = StateScale(rule.z_mean, rule.z_std, rule.half_life_s, rule.increment)
    states = scale.states(fit)
    inputs = states[:, FIRST : FIRST + INPUTS]
    mean, std = inputs.mean(axis=0), inputs.std(axis=0)
    std = np.where(std > NO_SPREAD, std, 1.0)
    x = np.column_stack(((inputs - mean) / std, np.ones(len(inputs))))
    p = 1.0 / (1.0 + np.exp(-np.clip(states @ np.array(rule.margin) + rule.margin_intercept, -500.0, 500.0)))
    return OnlineWeights(
        rule=rule,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        margin_information=_information(x, p * (1.0 - p)),
        sigma_information=_information(x, np.ones(len(x))),
        least=least_log_sigma(fit),
        rows_a_window=fit.rows_a_window,
        memory_windows=forgetting.memory_windows,
        prior_windows=forgetting.prior_windows,
        recalibration_windows=forgetting.recalibration_windows,
    )


def _information(x: F8, curvature: F8) -> tuple[float, ...]:
    """Return the mean of curvature times the outer product of the inputs, as lower triangle."""
    mean = (x * curvature[:, None]).T @ x / len(x)
    return tuple(mean[np.tril_indices(SIZE)].tolist())
