"""The comparison of thresholds as tables of figures and lines, for a terminal or a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from volspike.cli.figures import count_text, figure, short_text

if TYPE_CHECKING:
    from volspike.evaluation.bootstrap import Gain
    from volspike.evaluation.threshold.analysis import Percentiles, ThresholdAnalysis
    from volspike.evaluation.threshold.balance import Balance, CandidateBalance
    from volspike.evaluation.threshold.over_time import Period, TauOverTime
    from volspike.evaluation.threshold.percentiles import Percentile
    from volspike.evaluation.threshold.sensitivity import Sensitivity

LEGEND = (
    "! not enough data for any claim; * in use. Volatilities are basis points over a minute. next: the "
    "minute to come, now: the past one. floor, fixed: share of the time that the floor or, for want of "
    "history, the fixed tau is in force."
)
WHOLE = "all"


@dataclass(frozen=True)
class FigureTable:
    """A title, columns, and lines of cells; the first ``words`` columns are words."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    words: int = 1


def title_of(analysis: ThresholdAnalysis) -> str:
    """Return what the analysis is of."""
    rows, hours = analysis.fixed, len(analysis.fixed) * analysis.fixed.step_s / 3600
    counts = f"{count_text(len(rows), 'row')}, {hours:,.1f} h of data"
    return f"{rows.product}, {rows.feed}: thresholds compared on {counts}"


def tables_of(analysis: ThresholdAnalysis, kind: str = "") -> list[FigureTable]:
    """Return every table; ``kind`` chooses the periods of the last one, without it those that tell most."""
    return [
        percentile_table(analysis.percentiles),
        balance_table(analysis),
        sensitivity_table(analysis),
        period_table(analysis.over_time, kind or analysis.over_time.telling_kind),
    ]


def percentile_table(percentiles: Percentiles) -> FigureTable:
    """Return the percentiles of volatility."""
    from volspike.evaluation.threshold.candidates import percentile_name

    fit, now, later = percentiles.future_fit, percentiles.now_fit, percentiles.future_later
    rows: list[tuple[object, ...]] = []
    for found in fit.percentiles:
        of_now, of_later = now.at(found.quantile), later.at(found.quantile)
        rows.append(
            (
                percentile_name(found.quantile),
                _value(found),
                _interval(found),
                _value(of_now),
                _interval(of_now),
                _value(of_later),
            )
        )
    counts = f"{count_text(fit.windows, 'window')}, {count_text(fit.blocks, 'half hour')} of fit"
    mark = "" if fit.enough_data else ": not enough data"
    return FigureTable(
        f"Volatility ({counts}{mark})",
        ("", "next, fit", "95 % interval", "now, fit", "95 % interval", "next, later"),
        rows,
    )


def _value(found: Percentile | None) -> str:
    return figure(None if found is None else found.value_bps, ".2f")


def _interval(found: Percentile | None) -> str | None:
    if found is None or found.low_bps is None or found.high_bps is None:
        return None
    return f"{found.low_bps:.2f} - {found.high_bps:.2f}"


def balance_table(analysis: ThresholdAnalysis) -> FigureTable:
    """Return what each threshold calls a spike."""
    windows = count_text(analysis.balances[0].parts[WHOLE].windows, "window")
    return FigureTable(
        f"Share of spikes in each part, and what there is of them in all {windows}",
        ("tau", "bps", "fit", "tune", "calib.", "test", "onsets", "clusters", "floor", "fixed"),
        [_balance_row(balance) for balance in analysis.balances],
    )


def _balance_row(found: CandidateBalance) -> tuple[object, ...]:
    whole = found.parts[WHOLE]
    return (
        f"{found.name} *" if found.is_in_use else found.name,
        _range(found.tau_low_bps, found.tau_high_bps),
        *(_rate(found.parts[part]) for part in ("fit", "tune", "calibrate", "test")),
        whole.onsets,
        whole.clusters,
        f"{found.floor_frac:.0%}",
        f"{found.fallback_frac:.0%}",
    )


def _range(low: float, high: float) -> str:
    return f"{low:.3g}" if low == high else f"{low:.3g} - {high:.3g}"


def _rate(balance: Balance) -> str:
    return f"{figure(balance.base_rate, '.1%')}{' ' if balance.enough_data else '!'}"


def sensitivity_table(analysis: ThresholdAnalysis) -> FigureTable:
    """Return how two rules score under each threshold."""
    return FigureTable(
        "Scores on tune and calibrate; gain: PR-AUC of log-HAR above persistence, 95 % interval",
        ("tau", "spikes", "persist.", "lift", "log-HAR", "lift", "gain", "interval", "clusters", ""),
        [_sensitivity_row(score) for score in analysis.scores],
    )


def _sensitivity_row(score: Sensitivity) -> tuple[object, ...]:
    gain = score.over_persistence
    return (
        score.name,
        figure(score.balance.base_rate, ".1%"),
        short_text(score.persistence.pr_auc),
        figure(score.persistence.lift, ".2f"),
        short_text(score.log_har.pr_auc),
        figure(score.log_har.lift, ".2f"),
        None if gain is None else f"{gain.value:+.3f}",
        None if gain is None else _gain_interval(gain),
        score.balance.clusters,
        "" if score.balance.enough_data else "!",
    )


def _gain_interval(gain: Gain) -> str:
    return f"{gain.low:+.3f} {gain.high:+.3f}"


def period_table(over_time: TauOverTime, kind: str) -> FigureTable:
    """Return the adaptive tau of each period, and the share of spikes under it and under the fixed one."""
    tau = f"fixed {over_time.fixed_tau_bps:.3g}"
    return FigureTable(
        f"Tau {kind} by {kind}, and the share of spikes under it and under the fixed tau of fit",
        (f"{kind} (UTC)", "part", "rows", "now", "tau", "median", "floor", "fixed", "adaptive", tau),
        [_period_row(period, kind) for period in over_time.periods[kind] if period.labelled],
        words=2,
    )


def _period_row(period: Period, kind: str) -> tuple[object, ...]:
    from volspike.evaluation.threshold.words import period_name

    return (
        period_name(period, kind),
        period.part,
        period.labelled,
        f"{period.rv_median_bps:.2f}",
        _range(period.tau_low_bps, period.tau_high_bps),
        f"{period.tau_median_bps:.2f}",
        f"{period.floor_frac:.0%}",
        f"{period.fallback_frac:.0%}",
        figure(period.base_rate, ".1%"),
        figure(period.fixed_base_rate, ".1%"),
    )
