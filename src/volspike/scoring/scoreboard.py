"""How the published predictions are doing, live, beside the reference: on the 1 s grid, with the counts."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import count_evidence
from volspike.evaluation.episodes import AlertSpan, GradedSeconds, score_episodes
from volspike.evaluation.ranking import average_precision
from volspike.evaluation.scores import log_loss
from volspike.features.window import last_closed_second
from volspike.labels.targets import HORIZON_S
from volspike.records import Alert
from volspike.scoring.outcomes import GradedPrediction

F8 = npt.NDArray[np.float64]

CAPACITY_ROWS = 604_800
_REFRESH_FRAC = 0.002


class SideScores(msgspec.Struct, frozen=True, kw_only=True):
    """One side's figures; None where undefined.

    Attributes
    ----------
    pr_auc, lift, log_loss : float or None
        Average precision, the same over the base rate, mean negative log-likelihood.
    onset_recall, lead_s : float or None
        Share of onsets an alert warned of; median lead of those, seconds.
    alerts : int
        Alerts opened whose minute is graded.
    false_alarms_per_hour, duty_frac : float or None
        Of covered time; share of it with an alert open.
    """

    pr_auc: float | None
    lift: float | None
    log_loss: float | None
    onset_recall: float | None
    lead_s: float | None
    alerts: int
    false_alarms_per_hour: float | None
    duty_frac: float | None


class ScoreboardSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The scoreboard at one moment.

    Attributes
    ----------
    rows, spikes : int
        Seconds whose last prediction has a grade, and the spikes among them: fewer than graded predictions.
    base_rate : float or None
        spikes / rows.
    unlabelled : dict of str to int
        Predictions without a grade, by reason.
    onsets, clusters, windows, blocks : int
        Independent evidence behind the figures.
    enough_data : bool
        False: the figures carry no claim.
    model, reference : SideScores
        The two sides, on the same seconds.
    """

    rows: int
    spikes: int
    base_rate: float | None
    unlabelled: dict[str, int]
    onsets: int
    clusters: int
    windows: int
    blocks: int
    enough_data: bool
    model: SideScores
    reference: SideScores


class AlertSpans:
    """The alerts of one side as spans on the grid."""

    def __init__(self) -> None:
        self._spans: list[AlertSpan] = []

    def add(self, alert: Alert) -> None:
        """Take an alert that opened or closed."""
        opened, now = alert.opened_ns / 1e9, alert.event_ns / 1e9
        if alert.state == "opened":
            self._spans.append(AlertSpan(opened, None))
        elif self._spans and self._spans[-1].close_second is None:
            self._spans[-1] = AlertSpan(self._spans[-1].open_second, now)

    def graded(self, last_second: int) -> list[AlertSpan]:
        """Return the alerts whose minute had been graded by ``last_second``."""
        return [span for span in self._spans if span.open_second + HORIZON_S <= last_second]

    def forget(self, before_second: int) -> None:
        """Drop the alerts that opened before a second."""
        self._spans = [span for span in self._spans if span.open_second >= before_second]


class Scoreboard:
    """Scores one product's graded predictions: the last one of each second counts.

    Adding costs a microsecond. ``snapshot`` computes on demand, and again only when the rows have grown by
    0.2 % (each row at first, every 100 s at 50,000 rows). The last 604,800 rows, a week, are kept.

    Attributes
    ----------
    model_alerts, reference_alerts : AlertSpans
        Give the alerts of each side to its ``add``: the published ones, and those of a policy on
        ``reference_p_spike``.
    """

    def __init__(self, capacity_rows: int = CAPACITY_ROWS) -> None:
        self._capacity_rows = capacity_rows
        self._second = array("q")
        self._run = array("i")
        self._spike = array("b")
        self._p = array("d")
        self._reference_p = array("d")
        self._unlabelled: Counter[str] = Counter()
        self._snapshot: ScoreboardSnapshot | None = None
        self._snapshot_rows = -1
        self._added = 0
        self.model_alerts = AlertSpans()
        self.reference_alerts = AlertSpans()

    def __len__(self) -> int:
        """Return the number of seconds held."""
        return len(self._second)

    def add(self, graded: GradedPrediction) -> None:
        """Take a settled prediction; those of one product come in order of event time."""
        prediction, outcome, run = graded
        if outcome.unlabelled is not None:
            self._unlabelled[outcome.unlabelled] += 1
            # A late prediction is settled out of turn, and says nothing about its second.
            if prediction.late:
                return
        second = last_closed_second(prediction.event_ns) + 1
        if self._second and self._second[-1] == second and self._run[-1] == run:
            self._pop()
        self._second.append(second)
        self._run.append(run)
        self._spike.append(-1 if outcome.spike is None else int(outcome.spike))
        self._p.append(prediction.p_spike)
        reference_p = prediction.reference_p_spike
        self._reference_p.append(np.nan if reference_p is None else reference_p)
        self._added += 1
        if len(self._second) > self._capacity_rows:
            self._trim()

    def snapshot(self) -> ScoreboardSnapshot:
        """Return the figures; up to 0.2 % of the rows may be newer than they are."""
        work = self.refresh()
        if work is not None:
            work()
        assert self._snapshot is not None
        return self._snapshot

    def refresh(self) -> Callable[[], None] | None:
        """Return the work that brings the snapshot up to date; None where it is.

        It takes 40 ms at 50,000 rows, so the owner of an event loop has it done on another thread. What it
        works on is copied here.
        """
        stale = self._added - self._snapshot_rows
        if self._snapshot is not None and stale <= _REFRESH_FRAC * len(self._second):
            return None
        added, board = self._added, self._copy()

        def work() -> None:
            self._snapshot = board.score()
            self._snapshot_rows = added

        return work

    def _columns(self) -> tuple[array[int], array[int], array[int], array[float], array[float]]:
        return self._second, self._run, self._spike, self._p, self._reference_p

    def _pop(self) -> None:
        for column in self._columns():
            column.pop()
        self._added -= 1

    def _trim(self) -> None:
        for column in self._columns():
            del column[: max(1, self._capacity_rows // 10)]
        for spans in (self.model_alerts, self.reference_alerts):
            spans.forget(self._second[0])

    def _copy(self) -> _BoardCopy:
        last = self._second[-1] if self._second else 0
        return _BoardCopy(
            GradedSeconds(
                np.array(self._second, np.int64),
                np.array(self._run, np.int32),
                np.array(self._spike, np.int8),
            ),
            np.array(self._p, np.float64),
            np.array(self._reference_p, np.float64),
            self.model_alerts.graded(last),
            self.reference_alerts.graded(last),
            dict(self._unlabelled),
        )


class _BoardCopy(NamedTuple):
    """The scoreboard's rows and alerts at one moment."""

    rows: GradedSeconds
    p: F8
    reference_p: F8
    alerts: list[AlertSpan]
    reference_alerts: list[AlertSpan]
    unlabelled: dict[str, int]

    def score(self) -> ScoreboardSnapshot:
        rows = self.rows
        evidence = count_evidence(rows.second, rows.run, rows.spike)
        labelled = int(np.count_nonzero(rows.spike >= 0))
        spikes = int(np.count_nonzero(rows.spike == 1))
        model, onsets = _score_side(rows, self.p, self.alerts)
        reference, _ = _score_side(rows, self.reference_p, self.reference_alerts)
        return ScoreboardSnapshot(
            rows=labelled,
            spikes=spikes,
            base_rate=spikes / labelled if labelled else None,
            unlabelled=self.unlabelled,
            onsets=onsets,
            clusters=evidence.clusters,
            windows=evidence.windows,
            blocks=evidence.blocks,
            enough_data=evidence.enough_data,
            model=model,
            reference=reference,
        )


def _score_side(rows: GradedSeconds, p_spike: F8, alerts: list[AlertSpan]) -> tuple[SideScores, int]:
    """Return one side's figures, on the seconds where it predicted, and the number of onsets."""
    scored = (rows.spike >= 0) & ~np.isnan(p_spike)
    y, p = rows.spike[scored] == 1, p_spike[scored]
    pr_auc = average_precision(y, p)
    episodes = score_episodes(rows, alerts)
    side = SideScores(
        pr_auc=pr_auc,
        lift=None if pr_auc is None else pr_auc / float(np.mean(y)),
        log_loss=log_loss(y, p),
        onset_recall=episodes.onset_recall,
        lead_s=episodes.lead_s,
        alerts=episodes.alerts,
        false_alarms_per_hour=episodes.false_alarms_per_hour,
        duty_frac=episodes.duty_frac,
    )
    return side, episodes.onsets
