"""Every compiled loop of prediction, for one row and for many.

They stand in one file because Numba's disk cache looks at the file of a function only: a change to a helper
in another file would leave stale machine code behind.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

F8 = npt.NDArray[np.float64]
F4 = npt.NDArray[np.float32]
I4 = npt.NDArray[np.int32]
I1 = npt.NDArray[np.int8]
I8 = npt.NDArray[np.int64]
Inputs = tuple[I4, I1, I1, float]  # columns, transforms, steps, increment
Line = tuple[float, float, float, float, float, float]  # slope, intercept, shift, low, high, least
Served = tuple[float, float, float, float, float]  # p, sigma, low, high, inputs out of bounds
Trees = tuple[I4, F4, F4, int, np.float32]  # feature, threshold, leaf, depth, base

CONTEXT_FIELDS = 8
STATE_SIZE = 8
IDENTITY, LOG, ASINH, LOG_STEPS = 0, 1, 2, 3
NO_STEP, FRACTION_STEP, BPS_STEP, PRICE_STEP = 0, 1, 2, 3
TINY = 1e-12
LAGS_S = (60.0, 300.0, 1800.0, 14400.0)
SURE = 1e-15  # no probability counts as nearer to 0 or 1 than this in log-odds
MATURE_S = 61  # from a row's second to the first one whose rows know its outcome
MISS_RATE = 0.1  # of a 90 % interval
WIDEST = math.log(4.0)


@njit(cache=True)
def at_least(value: float, floor: float) -> float:
    """Return the larger of two; NaN stays NaN."""
    return floor if value < floor else value


@njit(cache=True)
def finish(
    margin: float,
    log_sigma: float,
    slope: float,
    intercept: float,
    shift: float,
    low: float,
    high: float,
    least: float,
) -> tuple[float, float, float, float]:
    """Return (p, sigma, low, high) of one margin and one log sigma."""
    odds = slope * margin + intercept
    if odds >= 0.0:
        p = 1.0 / (1.0 + math.exp(-odds))
    else:
        p = math.exp(odds) / (1.0 + math.exp(odds))
    centre = at_least(log_sigma + shift, least)
    return p, math.exp(centre), math.exp(centre + low), math.exp(centre + high)


@njit(cache=True)
def outside(inputs: F8, low: F8, high: F8) -> float:
    """Return how many inputs lie beyond their bounds; a missing one, NaN, lies nowhere."""
    count = 0.0
    for i in range(low.shape[0]):
        if inputs[i] < low[i] or inputs[i] > high[i]:
            count += 1.0
    return count


@njit(cache=True)
def outside_rows(inputs: F8, low: F8, high: F8) -> F8:
    """Return ``outside`` of many rows."""
    counts = np.empty(inputs.shape[0])
    for i in range(inputs.shape[0]):
        counts[i] = outside(inputs[i], low, high)
    return counts


@njit(cache=True)
def is_sound(rv: float, tau: float, mid: float) -> bool:
    """Tell whether volatility now, tau and mid can be worked with: finite, rv from 0, the others above."""
    return rv >= 0.0 and rv < math.inf and tau > 0.0 and tau < math.inf and mid > 0.0 and mid < math.inf


@njit(cache=True)
def log_har(context: F8, floor: float, out: F8) -> None:
    """Write the logs of the four HAR lags; a missing lag takes the next shorter one, the first one rv now."""
    shorter = context[0]
    for lag in range(4):
        value = context[2 + lag]
        shorter = shorter if value != value else value
        out[lag] = math.log(at_least(shorter, floor))


@njit(cache=True)
def transformed(value: float, transform: int, step: float) -> float:
    """Return one feature as a model sees it; ``step`` is one price increment in the unit of the value."""
    if transform == LOG:
        return math.log(at_least(value, step))
    if transform == LOG_STEPS:
        return math.log(at_least(value, step) / step)
    if transform == ASINH:
        return math.asinh(value / step)
    return value


@njit(cache=True)
def step_of(code: int, increment: float, fraction: float) -> float:
    """Return one price increment in the unit of a feature; ``fraction`` is the increment over the mid."""
    if code == FRACTION_STEP:
        return fraction
    if code == BPS_STEP:
        return 1e4 * fraction
    if code == PRICE_STEP:
        return increment
    return TINY


@njit(cache=True)
def fill_inputs(raw: F8, columns: I4, transforms: I1, steps: I1, increment: float, out: F8) -> bool:
    """Write the inputs of one raw row to ``out``; return whether its context is sound (finite, above 0).

    ``out`` is four longer than the number of inputs: the end is scratch.
    """
    context = raw[raw.shape[0] - CONTEXT_FIELDS :]
    rv, tau, mid = context[0], context[1], context[7]
    if not is_sound(rv, tau, mid):
        return False
    fraction = increment / mid
    floor = 1e4 * fraction
    used = columns.shape[0]
    for i in range(used):
        out[i] = transformed(raw[columns[i]], transforms[i], step_of(steps[i], increment, fraction))
    log_tau = math.log(tau)
    out[used] = log_tau
    out[used + 1] = math.log(at_least(rv, floor)) - log_tau
    inputs = out.shape[0] - 4
    if inputs > used + 2:
        log_har(context, floor, out[inputs:])
        for lag in range(1, 4):
            out[used + 1 + lag] = out[inputs + lag] - log_tau
    return True


@njit(cache=True)
def inputs_fill(raw: F8, columns: I4, transforms: I1, steps: I1, increment: float, size: int) -> F8:
    """Return the inputs of many raw rows; NaN where the context is unsound."""
    inputs = np.empty((raw.shape[0], size))
    row = np.empty(size + 4)
    for i in range(raw.shape[0]):
        sound = fill_inputs(raw[i], columns, transforms, steps, increment, row)
        for j in range(size):
            inputs[i, j] = row[j] if sound else math.nan
    return inputs


@njit(cache=True)
def log_ewma(log_lags: F8, shares: F8) -> float:
    """Return the log of the EWMA volatility; lag variances overlap, so each stretch is a difference."""
    total = 0.0
    seconds_before, sum_before = 0.0, 0.0
    for i in range(4):
        sum_now = LAGS_S[i] * math.exp(2.0 * log_lags[i])
        stretch = (sum_now - sum_before) / (LAGS_S[i] - seconds_before)
        total += shares[i] * (stretch if stretch > 0.0 else 0.0)
        seconds_before, sum_before = LAGS_S[i], sum_now
    least = math.exp(2.0 * min(log_lags[0], log_lags[1], log_lags[2], log_lags[3]))
    return 0.5 * math.log(at_least(total, least))


@njit(cache=True)
def fill_state(
    raw: F8, shares: F8, z_mean: float, z_std: float, increment: float, least: float, out: F8
) -> bool:
    """Write the state of one raw row to ``out`` (8 values); return whether its context is sound.

    No logarithm is taken of a volatility below ``least`` (bps), or below one increment over the mid.
    """
    context = raw[raw.shape[0] - CONTEXT_FIELDS :]
    rv, tau, z, mid = context[0], context[1], context[6], context[7]
    if not is_sound(rv, tau, mid):
        return False
    floor = at_least(1e4 * increment / mid, least)
    out[0] = math.log(at_least(rv, floor))
    log_har(context, floor, out[1:5])
    out[5] = math.log(tau)
    out[6] = (out[0] - z_mean) / z_std if z != z else z
    out[7] = log_ewma(out[1:5], shares)
    return True


@njit(cache=True)
def state_row(
    raw: F8,
    shares: F8,
    z_mean: float,
    z_std: float,
    increment: float,
    least: float,
    weights: F8,
    out: F8,
) -> tuple[float, float]:
    """Return (margin, log sigma) of one raw row; ``out`` (8 values) is scratch."""
    if not fill_state(raw, shares, z_mean, z_std, increment, least, out):
        return math.nan, math.nan
    margin, log_sigma = weights[0, STATE_SIZE], weights[1, STATE_SIZE]
    for i in range(STATE_SIZE):
        margin += weights[0, i] * out[i]
        log_sigma += weights[1, i] * out[i]
    return margin, log_sigma


@njit(cache=True)
def state_rows(
    raw: F8,
    shares: F8,
    z_mean: float,
    z_std: float,
    increment: float,
    least: float,
    weights: F8,
    out: F8,
) -> tuple[F8, F8]:
    """Return margins and log sigmas of many raw rows."""
    margin, log_sigma = np.empty(raw.shape[0]), np.empty(raw.shape[0])
    for i in range(raw.shape[0]):
        margin[i], log_sigma[i] = state_row(raw[i], shares, z_mean, z_std, increment, least, weights, out)
    return margin, log_sigma


@njit(cache=True)
def state_fill(raw: F8, shares: F8, z_mean: float, z_std: float, increment: float, least: float) -> F8:
    """Return the states of many raw rows, float64[n, 8]; NaN where the context is unsound."""
    states = np.full((raw.shape[0], STATE_SIZE), math.nan)
    for i in range(raw.shape[0]):
        fill_state(raw[i], shares, z_mean, z_std, increment, least, states[i])
    return states


@njit(cache=True)
def linear_heads(inputs: F8, weights: F8) -> tuple[float, float]:
    """Return (margin, log sigma) of inputs; a missing one counts as its mean, one far out as its bound."""
    size = weights.shape[1] - 1
    margin, log_sigma = weights[0, size], weights[1, size]
    for i in range(size):
        value = weights[2, i] if inputs[i] != inputs[i] else inputs[i]
        value = min(max(value, weights[3, i]), weights[4, i])
        margin += weights[0, i] * value
        log_sigma += weights[1, i] * value
    return margin, log_sigma


@njit(cache=True)
def linear_row(
    raw: F8, columns: I4, transforms: I1, steps: I1, increment: float, weights: F8, out: F8
) -> tuple[float, float]:
    """Return (margin, log sigma) of one raw row; ``out`` is scratch."""
    if not fill_inputs(raw, columns, transforms, steps, increment, out):
        return math.nan, math.nan
    return linear_heads(out, weights)


@njit(cache=True)
def linear_rows(
    raw: F8, columns: I4, transforms: I1, steps: I1, increment: float, weights: F8, out: F8
) -> tuple[F8, F8]:
    """Return margins and log sigmas of many raw rows."""
    margin, log_sigma = np.empty(raw.shape[0]), np.empty(raw.shape[0])
    for i in range(raw.shape[0]):
        margin[i], log_sigma[i] = linear_row(raw[i], columns, transforms, steps, increment, weights, out)
    return margin, log_sigma


@njit(cache=True)
def twice(inputs: F8, size: int, row: F4) -> None:
    """Write ``size`` inputs to ``row`` (float32[2 * size]): missing as -inf, then missing as +inf."""
    for i in range(size):
        value = np.float32(inputs[i])
        missing = value != value
        row[i] = np.float32(-np.inf) if missing else value
        row[size + i] = np.float32(np.inf) if missing else value


@njit(cache=True)
def walk(
    row: F4,
    feature: I4,
    threshold: F4,
    leaf: F4,
    depth: int,
    base: np.float32,
) -> np.float32:
    """Return the float32 margin of one row made by ``twice``: ``base`` plus one leaf of every tree."""
    one, three, seven = np.uint64(1), np.uint64(3), np.uint64(7)
    leaves = one << np.uint64(depth)
    inner = leaves - one
    nodes_at, leaves_at = np.uint64(0), np.uint64(0)
    total = base
    for _ in range(leaf.shape[0] >> depth):
        # Four levels are written out: as a loop they take twice the time.
        path = np.uint64(row[feature[nodes_at]] >= threshold[nodes_at])
        at = nodes_at + one + path
        path = path + path + np.uint64(row[feature[at]] >= threshold[at])
        at = nodes_at + three + path
        path = path + path + np.uint64(row[feature[at]] >= threshold[at])
        at = nodes_at + seven + path
        path = path + path + np.uint64(row[feature[at]] >= threshold[at])
        for level in range(4, depth):
            at = nodes_at + (one << np.uint64(level)) - one + path
            path = path + path + np.uint64(row[feature[at]] >= threshold[at])
        total += leaf[leaves_at + path]
        nodes_at += inner
        leaves_at += leaves
    return total


@njit(cache=True)
def boosted_heads(out: F8, row: F4, classifier: Trees, sigma: Trees) -> tuple[float, float]:
    """Return (margin, log sigma) of the inputs in ``out``; ``row`` is scratch."""
    twice(out, out.shape[0] - 4, row)
    return np.float64(walk(row, *classifier)), np.float64(walk(row, *sigma))


@njit(cache=True)
def boosted_row(
    raw: F8, inputs: Inputs, out: F8, row: F4, classifier: Trees, sigma: Trees
) -> tuple[float, float]:
    """Return (margin, log sigma) of one raw row; ``out`` and ``row`` are scratch."""
    if not fill_inputs(raw, *inputs, out):
        return math.nan, math.nan
    return boosted_heads(out, row, classifier, sigma)


@njit(cache=True)
def boosted_rows(raw: F8, inputs: Inputs, out: F8, row: F4, classifier: Trees, sigma: Trees) -> tuple[F8, F8]:
    """Return margins and log sigmas of many raw rows."""
    margin, log_sigma = np.empty(raw.shape[0]), np.empty(raw.shape[0])
    for i in range(raw.shape[0]):
        margin[i], log_sigma[i] = boosted_row(raw[i], inputs, out, row, classifier, sigma)
    return margin, log_sigma


@njit(cache=True)
def blend_row(
    raw: F8,
    inputs: Inputs,
    weights: F8,
    shares: F8,
    out: F8,
    row: F4,
    classifier: Trees,
    sigma: Trees,
) -> tuple[float, float]:
    """Return (margin, log sigma) of one raw row: linear and boosted heads, blended by ``shares``.

    ``shares`` (6): of the margin its constant, the linear and the boosted classifier, and linear and boosted
    log sigma over tau; of log sigma the linear one, the rest is boosted. ``out`` and ``row`` are scratch.
    """
    if not fill_inputs(raw, *inputs, out):
        return math.nan, math.nan
    log_tau = out[inputs[0].shape[0]]
    linear, linear_sigma = linear_heads(out, weights)
    boosted, boosted_sigma = boosted_heads(out, row, classifier, sigma)
    margin = shares[0] + shares[1] * linear + shares[2] * boosted
    margin += shares[3] * (linear_sigma - log_tau) + shares[4] * (boosted_sigma - log_tau)
    return margin, boosted_sigma + shares[5] * (linear_sigma - boosted_sigma)


@njit(cache=True)
def blend_rows(
    raw: F8,
    inputs: Inputs,
    weights: F8,
    shares: F8,
    out: F8,
    row: F4,
    classifier: Trees,
    sigma: Trees,
) -> tuple[F8, F8]:
    """Return margins and log sigmas of many raw rows."""
    margin, log_sigma = np.empty(raw.shape[0]), np.empty(raw.shape[0])
    for i in range(raw.shape[0]):
        margin[i], log_sigma[i] = blend_row(raw[i], inputs, weights, shares, out, row, classifier, sigma)
    return margin, log_sigma


@njit(cache=True)
def finish_all(margin: F8, log_sigma: F8, line: Line) -> F8:
    """Return p, sigma, low and high of many rows, float64[4, n]."""
    out = np.empty((4, margin.shape[0]))
    for i in range(margin.shape[0]):
        p, sigma, sigma_low, sigma_high = finish(margin[i], log_sigma[i], *line)
        out[0, i], out[1, i], out[2, i], out[3, i] = p, sigma, sigma_low, sigma_high
    return out


@njit(cache=True)
def logit(p: float) -> float:
    """Return log-odds, finite at 0 and 1 too."""
    p = min(max(p, SURE), 1.0 - SURE)
    return math.log(p / (1.0 - p))


@njit(cache=True)
def log_odds_beyond(ratio: float, quantiles: F8, log_odds: F8) -> float:
    """Return the log-odds that log realised minus log predicted sigma is ``ratio`` or more.

    A straight line from each quantile to the next, and the outer ones go on: logistic in parts.
    """
    i = 0
    while i < quantiles.shape[0] - 2 and ratio > quantiles[i + 1]:
        i += 1
    share = (ratio - quantiles[i]) / (quantiles[i + 1] - quantiles[i])
    odds: float = log_odds[i] + share * (log_odds[i + 1] - log_odds[i])
    return odds


@njit(cache=True)
def p_above(
    p_spike: float,
    sigma: float,
    tau: float,
    x: float,
    log_stretch: float,
    quantiles: F8,
    log_odds: F8,
    scale: float,
) -> float:
    """Return the probability of a realised sigma of ``x`` or more; ``p_spike`` at tau, and falling in ``x``.

    ``scale`` is the longest way from quantile to quantile for one unit of log-odds. What p_spike and the
    distribution around sigma differ by at tau, in log-odds, fades with the distance from tau, slowly enough
    that the sum never rises.
    """
    stretch = math.exp(log_stretch)
    at_tau = log_odds_beyond(math.log(tau / sigma) / stretch, quantiles, log_odds)
    difference = logit(p_spike) - at_tau
    distance = abs(math.log(x / tau)) / (scale * stretch)
    odds = log_odds_beyond(math.log(x / sigma) / stretch, quantiles, log_odds)
    odds += difference * math.exp(-distance / (1.0 + abs(difference)))
    if odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-odds))
    return math.exp(odds) / (1.0 + math.exp(odds))


@njit(cache=True)
def p_above_rows(
    p_spike: F8, sigma: F8, tau: F8, x: F8, log_stretch: F8, quantiles: F8, log_odds: F8, scale: float
) -> F8:
    """Return ``p_above`` of each row at each ``x``, float64[len(x), n]."""
    out = np.empty((x.shape[0], p_spike.shape[0]))
    for j in range(x.shape[0]):
        for i in range(p_spike.shape[0]):
            out[j, i] = p_above(
                p_spike[i], sigma[i], tau[i], x[j], log_stretch[i], quantiles, log_odds, scale
            )
    return out


@njit(cache=True)
def stretched(sigma: float, low: float, high: float, log_stretch: float) -> tuple[float, float]:
    """Return the ends of a band moved away from sigma or towards it: log ratios times exp(log_stretch).

    By 0 they are the band's own to the bit, and so they are without a volatility above 0 to take a log of.
    """
    if log_stretch == 0.0 or not low > 0.0 or not sigma > 0.0:
        return low, high
    stretch = math.exp(log_stretch)
    moved_low = sigma * math.exp(math.log(low / sigma) * stretch)
    return moved_low, sigma * math.exp(math.log(high / sigma) * stretch)


@njit(cache=True)
def stepped(log_stretch: float, low: float, high: float, realised: float, step: float) -> float:
    """Return the log stretch after the outcome of one interval: up by a miss, a ninth of it down by a hit."""
    missed = 1.0 if realised < low or realised > high else 0.0
    return min(max(log_stretch + step * (missed - MISS_RATE), -WIDEST), WIDEST)


@njit(cache=True)
def adapt_rows(
    second: I8, realised: F8, sigma: F8, low: F8, high: F8, step: float, log_stretch: float
) -> tuple[F8, F8, F8]:
    """Return low, high and log stretch of many rows, each with the outcomes known by its second."""
    n = second.shape[0]
    lows, highs, stretches = np.empty(n), np.empty(n), np.empty(n)
    due = 0
    for i in range(n):
        while second[due] + MATURE_S <= second[i]:
            if realised[due] == realised[due]:
                log_stretch = stepped(log_stretch, lows[due], highs[due], realised[due], step)
            due += 1
        stretches[i] = log_stretch
        lows[i], highs[i] = stretched(sigma[i], low[i], high[i], log_stretch)
    return lows, highs, stretches
