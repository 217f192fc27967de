"""What the graded ledger says of a product's models: drift of the champion, trial of the challenger.

Of ten seconds the first row is judged alone; alerts are those that these rows would raise.
"""

from __future__ import annotations

import numpy as np

from volspike.config import Settings
from volspike.evaluation.episodes import open_alerts
from volspike.labels.trailing import increment_bps
from volspike.models.manifest import Manifest
from volspike.monitoring.comparison import Comparison, compare_contenders
from volspike.monitoring.contender import Contender
from volspike.monitoring.graded import F8, GradedRows
from volspike.monitoring.outcome_watch import OutcomeVerdict, watch_outcomes
from volspike.pipeline.served_models import alert_thresholds

EVERY_S = 10


def watch_champion(
    rows: GradedRows, champion: Manifest, settings: Settings, since_s: int = 0
) -> OutcomeVerdict:
    """Test the champion on the rows that it has predicted itself, out of sample.

    Parameters
    ----------
    rows : GradedRows
        Of its product.
    champion : Manifest
        What it is.
    settings : Settings
        Of its job: how rare false alarms of drift are, and where alerts open if not where the model says.
    since_s : int
        Where the watch begins, epoch second; see ``watch_outcomes``.
    """
    own, model, reference = watched_sides(rows, champion, settings)
    return watch_outcomes(own.graded, model, reference, settings.false_alarm_days, since_s)


def watched_sides(
    rows: GradedRows, champion: Manifest, settings: Settings
) -> tuple[GradedRows, Contender, Contender]:
    """Return the rows that a champion is watched on, and what it and its reference said of them."""
    rows = rows.thinned(EVERY_S)
    own = rows.where((rows.version == champion.version) & ~rows.in_sample & ~rows.fallback)
    thresholds = alert_thresholds(champion, settings)
    model = _contender(own, own.p, own.sigma_bps, thresholds)
    reference = _contender(own, own.reference_p, own.reference_sigma_bps, thresholds)
    return own, model, reference


def try_challenger(
    rows: GradedRows, champion: Manifest, challenger: Manifest, settings: Settings, *, intervals: bool = True
) -> Comparison:
    """Compare a challenger with the champion on the rows that both have scored, out of sample of both.

    Rows that the reference answered in the champion's place count: that is what was served. The settings are
    the job's: they may say where alerts open. Without ``intervals`` the report has none; the decision is the
    same.
    """
    own = tried_rows(rows, champion, challenger)
    floor_bps = increment_bps(champion.increment, float(own.mid[-1])) if len(own) else 0.0
    return compare_contenders(
        own.graded,
        own.sigma_future_bps,
        _contender(own, own.p, own.sigma_bps, alert_thresholds(champion, settings)),
        _contender(own, own.challenger_p, own.challenger_sigma_bps, alert_thresholds(challenger, settings)),
        floor_bps,
        intervals=intervals,
    )


def tried_rows(rows: GradedRows, champion: Manifest, challenger: Manifest) -> GradedRows:
    """Return the rows that a trial is held on: both have scored them, in sample of neither."""
    rows = rows.thinned(EVERY_S)
    first_ns, last_ns = challenger.training.span_ns
    trained = (rows.second >= first_ns // 1_000_000_000) & (rows.second <= last_ns // 1_000_000_000 + 1)
    both = (rows.version == champion.version) & (rows.challenger_version == challenger.version)
    return rows.where(both & ~rows.in_sample & ~trained)


def _contender(rows: GradedRows, p: F8, sigma_bps: F8, thresholds: tuple[float, float]) -> Contender:
    """Return one side with the alerts that its probabilities would raise, opening and closing there.

    One that has told of no row has no alerts, rather than none raised.
    """
    told = ~np.isnan(p)
    if not told.any():
        return Contender(p, sigma_bps)
    return Contender(p, sigma_bps, open_alerts(rows.second[told], rows.run[told], p[told], *thresholds))
