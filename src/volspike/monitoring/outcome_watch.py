"""Drift, decided on matured labels: has the model become worse than it was promised to be?

Six tests by half hours of wall time, each an e-detector (``run_detector``), share a budget of false alarms:

- ``log_loss``: its log-loss lies above its reference's;
- ``too_many_spikes``: spikes are over 1.25 times as frequent as it says;
- ``too_few_spikes``: they are under 0.8 times as frequent as it says;
- ``top_too_many``, ``top_too_few``: the same of its top tenth, the rows at or above the 0.9 quantile of what
  it said in the day before the block: there a change shows that leaves the average where it is;
- ``alert_cost``: its alerts cost more, in false alarms and missed onsets, than its reference's; a difference
  of over 4 in half an hour counts as 4.

What a test promises holds as long as its claim is wrong given all that came before, be the rows as dependent
as they like. Verdicts are a function of the rows alone: they can be made again at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import BLOCK_S, Evidence, count_evidence
from volspike.evaluation.episodes import GradedSeconds
from volspike.evaluation.scores import log_losses
from volspike.monitoring.alert_costs import MOST_COSTS, cost_differences
from volspike.monitoring.betting import log_factors
from volspike.monitoring.calibration_bets import too_few_spikes, too_many_spikes, top_tenth
from volspike.monitoring.contender import Contender
from volspike.monitoring.paired_blocks import BlockFigures, counted, loss_outcomes, minute_bets
from volspike.monitoring.run_detector import first_alarm, log_detector_path, log_threshold

FALSE_ALARM_DAYS = 60.0
TESTS = ("log_loss", "too_many_spikes", "too_few_spikes", "top_too_many", "top_too_few", "alert_cost")
_CLAIMS = {
    "log_loss": "its log-loss lies above its reference's",
    "too_many_spikes": "spikes are over 1.25 times as frequent as it says",
    "too_few_spikes": "spikes are under 0.8 times as frequent as it says",
    "top_too_many": "in its top tenth spikes are over 1.25 times as frequent as it says",
    "top_too_few": "in its top tenth spikes are under 0.8 times as frequent as it says",
    "alert_cost": "its alerts cost more than its reference's",
}

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Found = tuple[I8, F8, float | None]


@dataclass(frozen=True, slots=True)
class WatchTest:
    """What one test found.

    Attributes
    ----------
    name : str
        One of ``TESTS``.
    log_e, log_e_most : float or None
        Logarithm of the detector after the last block, and the largest so far; None without a block.
    log_threshold : float
        From here on it alarms.
    alarm_block : int or None
        The block (second // 1800) at which it first did; None while it has not, or on too little evidence.
    figure : float or None
        ``log_loss``: mean excess in nats a row; the calibrations: observed over predicted spikes there;
        ``alert_cost``: mean excess of events a block, at most 4 of each.
    blocks : int
        How many blocks it has seen.
    words : str
        All of it in a sentence.
    """

    name: str
    log_e: float | None
    log_e_most: float | None
    log_threshold: float
    alarm_block: int | None
    figure: float | None
    blocks: int
    words: str

    @property
    def alarm(self) -> bool:
        """Tell whether it has alarmed."""
        return self.alarm_block is not None


@dataclass(frozen=True, slots=True)
class OutcomeVerdict:
    """What all tests found.

    Attributes
    ----------
    tests : tuple of WatchTest
        In the order of ``TESTS``.
    evidence : Evidence
        In the labelled rows with a prediction.
    untold : int
        Labelled rows without a usable prediction of the model; they are left out.
    false_alarm_days : float
        At least so many days of covered time pass, on average, until the first false alarm of any test.
    """

    tests: tuple[WatchTest, ...]
    evidence: Evidence
    untold: int
    false_alarm_days: float

    @property
    def alarm(self) -> bool:
        """Tell whether any test has alarmed."""
        return any(test.alarm for test in self.tests)

    @property
    def alarm_block(self) -> int | None:
        """Return the first block at which a test alarmed; None where none has."""
        return min((test.alarm_block for test in self.tests if test.alarm_block is not None), default=None)

    @property
    def words(self) -> str:
        """Return the verdict in a line."""
        if not self.evidence.enough_data:
            return str(self.evidence)
        alarms = [test.words for test in self.tests if test.alarm]
        return "; ".join(alarms) if alarms else f"no drift on matured labels ({self.evidence})"

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as a JSON-able dict."""
        found = {"alarm": self.alarm, "alarm_block": self.alarm_block, "words": self.words}
        return asdict(self) | found | {"enough_data": self.evidence.enough_data}


def watch_outcomes(
    rows: GradedSeconds,
    model: Contender,
    reference: Contender,
    false_alarm_days: float = FALSE_ALARM_DAYS,
    since_s: int = 0,
) -> OutcomeVerdict:
    """Test a model on the graded rows since the watch began.

    Parameters
    ----------
    rows : GradedSeconds
        n rows of finished blocks, of one product and feed.
    model, reference : Contender
        What the served model and its reference said of them. Without the reference's probabilities, or
        without the alerts of both, the test that asks for them is not made.
    false_alarm_days : float
        At least so many days of covered time pass, on average, until a false alarm.
    since_s : int
        Bets, figures and evidence begin with the first block at or after this epoch second. Rows of a day
        before it tell what the top tenth is: so a watch that begins later places the same bets, only fewer.
    """
    labelled, tested = rows.spike >= 0, _begins_at(rows.second) >= since_s
    used = labelled & model.told
    top = used.copy()
    top[used] = top_tenth(rows.second[used], model.p[used])
    used, top = used & tested, top & tested
    evidence = count_evidence(rows.second[used], rows.run[used], rows.spike[used])
    threshold = log_threshold(false_alarm_days, len(TESTS))
    found = (
        _losses(rows, model, reference, tested),
        _calibration(too_many_spikes, rows, model.p, used),
        _calibration(too_few_spikes, rows, model.p, used),
        _calibration(too_many_spikes, rows, model.p, top),
        _calibration(too_few_spikes, rows, model.p, top),
        _costs(rows, model, reference, since_s),
    )
    return OutcomeVerdict(
        tests=tuple(
            _judge(name, *parts, threshold=threshold, enough=evidence.enough_data)
            for name, parts in zip(TESTS, found, strict=True)
        ),
        evidence=evidence,
        untold=int(np.count_nonzero(labelled & tested & ~model.told)),
        false_alarm_days=false_alarm_days,
    )


def _begins_at(second: I8) -> I8:
    """Return the epoch second at which the block of each begins."""
    return second // BLOCK_S * BLOCK_S


def _calibration(
    bets: Callable[[I8, npt.NDArray[np.int8], F8, int], F8], rows: GradedSeconds, p: F8, used: Mask
) -> Found:
    """Return the blocks, their log-factors, and observed over predicted spikes."""
    second, spike, p = rows.second[used], rows.spike[used], p[used]
    counts = counted(second)
    expected = float(np.sum(p[counts]))
    ratio = float(np.sum(spike[counts])) / expected if expected > 0.0 else None
    return np.unique(second[counts] // BLOCK_S), bets(second, spike, p, rows.step_s), ratio


def _losses(rows: GradedSeconds, model: Contender, reference: Contender, tested: Mask) -> Found:
    """Return the blocks, their log-factors, and the excess of the model's mean log-loss."""
    used = (rows.spike >= 0) & model.told & reference.told & tested
    second, y, p, other = rows.second[used], rows.spike[used] == 1, model.p[used], reference.p[used]
    bets = minute_bets(second, loss_outcomes(y, p, other), rows.step_s)
    return bets.block, bets.value, _mean((log_losses(y, p) - log_losses(y, other))[counted(second)])


def _costs(rows: GradedSeconds, model: Contender, reference: Contender, since_s: int) -> Found:
    """Return the blocks, their log-factors, and the mean excess; without the alerts of both no block."""
    cost = BlockFigures(np.zeros(0, np.int64), np.zeros(0))
    if model.alerts is not None and reference.alerts is not None:
        cost = cost_differences(rows, model.alerts, reference.alerts)
    tested = cost.block * BLOCK_S >= since_s
    value = cost.value[tested]
    return cost.block[tested], log_factors(value / MOST_COSTS), _mean(value)


def _mean(values: F8) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _judge(
    name: str, block: I8, factors: F8, figure: float | None, *, threshold: float, enough: bool
) -> WatchTest:
    path = log_detector_path(factors)
    at = first_alarm(path, threshold) if enough else None
    alarm_block = None if at is None else int(block[at])
    most = float(np.max(path)) if len(path) else None
    last = float(path[-1]) if len(path) else None
    words = _words(name, most, threshold, figure, len(path), enough, alarm_block)
    return WatchTest(name, last, most, threshold, alarm_block, figure, len(path), words)


def _words(
    name: str,
    most: float | None,
    threshold: float,
    figure: float | None,
    blocks: int,
    enough: bool,
    alarm_block: int | None,
) -> str:
    claim = _CLAIMS[name]
    if most is None or figure is None or not enough:
        return f"{claim}: not enough data ({blocks} blocks)"
    evidence = round(most, 1) + 0.0  # no -0.0
    measured = f"{figure:.3g} over all {blocks} blocks, evidence e^{evidence:.1f} of e^{threshold:.1f}"
    verdict = "no" if alarm_block is None else f"yes, since {_utc(alarm_block)}"
    return f"{claim}: {verdict} ({measured})"


def _utc(block: int) -> str:
    """Return when a block was over and its alarm could be raised."""
    return f"{datetime.fromtimestamp((block + 1) * BLOCK_S, tz=UTC):%Y-%m-%d %H:%M} UTC"
