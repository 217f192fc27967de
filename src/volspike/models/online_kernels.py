"""Compiled steps of online learning: a generalised linear model that forgets, one labelled row at a time.

    forget    P <- P + f (P0 - P)          t <- the mode of both: P t = (1 - f) P t + f P0 t0
    learn     t <- argmin of (t' - t) P (t' - t) / 2 + w loss(x t'),  P <- P + w curvature x x

The first line is the geometric mean of what is known and of what was known at the start (stabilised
forgetting: Kulhavy & Zarrop 1993, On a general concept of forgetting). P begins at P0 and so never falls
below it, however little is learned; and as w |x|**2 is bounded, it never rises beyond P0 + w |x|**2 / f. The
second is solved exactly: the loss depends on one number, x t, and so does the step (implicit updates: Toulis
& Airoldi 2017), which no outcome however wild throws beyond itself.

All stands in one file: see ``kernels``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

F8 = npt.NDArray[np.float64]

GAMMA, LOGISTIC = 0, 1
MOST_SQUARED = 50.0  # of the length of x: what lies further out counts less
MOST_STEPS, CONVERGED = 100, 1e-15
LEAST_SLOPE, MOST_SLOPE = 0.2, 5.0  # of a recalibration: it never turns the order of rows around
MARGIN, SIGMA = 0, 1
INPUTS = 5  # log_har_1m to log_tau, which stand side by side in the state
FIRST = 1


@njit(cache=True)
def sigmoid(odds: float) -> float:
    """Return the probability of log-odds."""
    if odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-odds))
    part = math.exp(odds)
    return part / (1.0 + part)


@njit(cache=True)
def gamma_step(away: float, gain: float) -> float:
    """Return the d at which d = gain * (exp(2 (away - d)) - 1) / 2, by Newton's method from its left.

    That is the implicit step for a window's loss of log sigma, a quarter of r/f + ln f for variances r and f,
    whose expected curvature is 1; ``away`` is the log of realised over predicted sigma.
    """
    if away >= 0.0:  # the equation in logs: no power overflows, and it is nearly straight
        step = 0.0
        for _ in range(MOST_STEPS):
            missing = 2.0 * (away - step) - math.log1p(2.0 * step / gain)
            change = missing / (2.0 + 2.0 / (gain + 2.0 * step))
            step += change
            if abs(change) <= CONVERGED * step:
                break
        return step
    step = max(away, -0.5 * gain)
    for _ in range(MOST_STEPS):
        ratio = math.exp(2.0 * (away - step))
        change = (0.5 * gain * (ratio - 1.0) - step) / (1.0 + gain * ratio)
        step += change
        if abs(change) <= CONVERGED * -step:
            break
    return step


@njit(cache=True)
def logistic_step(target: float, at: float, gain: float) -> float:
    """Return the d at which d = gain * (target - sigmoid(at + d)): Newton's method, else halving.

    That is the implicit step for the log-loss of log-odds ``at``.
    """
    end = gain * (target - sigmoid(at))
    low, high = min(end, 0.0), max(end, 0.0)
    step, before = 0.0, high - low
    for _ in range(MOST_STEPS):
        p = sigmoid(at + step)
        excess = step - gain * (target - p)
        if excess > 0.0:
            high = step
        else:
            low = step
        moved = step - excess / (1.0 + gain * p * (1.0 - p))
        if not low <= moved <= high or 2.0 * abs(moved - step) > before:
            moved = 0.5 * (low + high)
        before = abs(moved - step)
        step = moved
        if before <= CONVERGED * abs(step):
            break
    return step


@njit(cache=True)
def factorise(matrix: F8) -> bool:
    """Put the Cholesky factor in place of a matrix's lower triangle; return whether there is one."""
    for j in range(matrix.shape[0]):
        for i in range(j, matrix.shape[0]):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i > j:
                matrix[i, j] = total / matrix[j, j]
            elif total > 0.0 and total < math.inf:
                matrix[j, j] = math.sqrt(total)
            else:
                return False
    return True


@njit(cache=True)
def solve(factor: F8, vector: F8) -> None:
    """Put the solution of (factor factor^T) x = vector in the vector's place."""
    n = vector.shape[0]
    for i in range(n):
        for k in range(i):
            vector[i] -= factor[i, k] * vector[k]
        vector[i] /= factor[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            vector[i] -= factor[k, i] * vector[k]
        vector[i] /= factor[i, i]


@njit(cache=True)
def dot(a: F8, b: F8) -> float:
    """Return the sum of products, in order."""
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@njit(cache=True)
def absorb(
    theta: F8,
    precision: F8,
    start: F8,
    start_precision: F8,
    x: F8,
    kind: int,
    target: float,
    weight: float,
    forget: float,
) -> bool:
    """Forget a little and learn from one row, in place; False: nothing was, the result would not be finite.

    ``theta`` float64[n] are the weights, ``precision`` float64[n, n] their inverse covariance in windows,
    ``weight`` the share of a window that the row is.
    """
    n = x.shape[0]
    weight *= min(1.0, MOST_SQUARED / dot(x, x))
    made = precision + forget * (start_precision - precision)
    factor = made.copy()
    if not factorise(factor):
        return False
    moved, along, gone = np.empty(n), x.copy(), start - theta
    for i in range(n):
        moved[i] = forget * dot(start_precision[i], gone)
    solve(factor, moved)
    solve(factor, along)
    moved += theta
    leverage = dot(along, x)
    at = dot(moved, x)
    gain = weight * leverage
    if kind == GAMMA:
        step, curvature = gamma_step(target - at, gain), 1.0
    else:
        step = logistic_step(target, at, gain)
        p = sigmoid(at + step)
        curvature = p * (1.0 - p)
    moved += along * (step / leverage)
    for i in range(n):
        for j in range(i + 1):
            made[i, j] += weight * curvature * x[i] * x[j]
            made[j, i] = made[i, j]
    if not (np.isfinite(moved).all() and np.isfinite(made).all()):
        return False
    theta[:] = moved
    precision[:] = made
    return True


@njit(cache=True)
def fold(standard: F8, heads: F8, line: F8, finish: F8, table: F8) -> None:
    """Write the weights on the state, float64[2, 9], that heads and recalibration come to.

    ``standard`` float64[2, 5]: mean and deviation of the inputs; ``heads`` float64[2, 6]: weights on
    standardised inputs and the constant, of the log-odds and of log sigma as served; ``line``: slope and
    intercept of the recalibration; ``finish`` float64[3]: slope and intercept of the log-odds and shift of
    log sigma, which whoever reads the table adds to it, so that they are taken off here.
    """
    table[:] = 0.0
    for head in range(2):
        constant = heads[head, INPUTS]
        for i in range(INPUTS):
            weight = heads[head, i] / standard[1, i]
            table[head, FIRST + i] = weight
            constant -= weight * standard[0, i]
        table[head, table.shape[1] - 1] = constant
    last = table.shape[1] - 1
    table[MARGIN] *= line[0] / finish[0]
    table[MARGIN, last] += (line[1] - finish[1]) / finish[0]
    table[SIGMA, last] -= finish[2]


@njit(cache=True)
def learn_row(
    state: F8,
    standard: F8,
    heads: F8,
    precision: F8,
    start: F8,
    start_precision: F8,
    line: F8,
    line_precision: F8,
    line_start_precision: F8,
    finish: F8,
    log_sigma: float,
    spike: float,
    weight: float,
    forget: float,
    line_forget: float,
    table: F8,
) -> bool:
    """Let recalibration and both heads learn from one labelled row; write the new ``table``: see ``fold``.

    The recalibration sees the log-odds that the head gave before it learned from the row.
    """
    x = np.ones(INPUTS + 1)
    for i in range(INPUTS):
        x[i] = (state[FIRST + i] - standard[0, i]) / standard[1, i]
    said = np.ones(2)
    said[0] = dot(heads[MARGIN], x)
    identity = np.zeros(2)
    identity[0] = 1.0
    learned = absorb(
        line, line_precision, identity, line_start_precision, said, LOGISTIC, spike, weight, line_forget
    )
    line[0] = min(max(line[0], LEAST_SLOPE), MOST_SLOPE)
    learned &= absorb(
        heads[MARGIN],
        precision[MARGIN],
        start[MARGIN],
        start_precision[MARGIN],
        x,
        LOGISTIC,
        spike,
        weight,
        forget,
    )
    learned &= absorb(
        heads[SIGMA],
        precision[SIGMA],
        start[SIGMA],
        start_precision[SIGMA],
        x,
        GAMMA,
        log_sigma,
        weight,
        forget,
    )
    fold(standard, heads, line, finish, table)
    return learned
