"""What the comparison of thresholds says, in sentences made from its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from volspike.evaluation.bootstrap import Gain
from volspike.evaluation.threshold.analysis import ThresholdAnalysis
from volspike.evaluation.threshold.candidates import percentile_name
from volspike.evaluation.threshold.over_time import HOUR_NS, Movement, Period, TauOverTime
from volspike.evaluation.threshold.percentiles import Percentile
from volspike.evaluation.threshold.sensitivity import Sensitivity
from volspike.exchange.decimals import format_time_ns

LEAST_LABELLED_S = 1_800  # a period with less says nothing of its own
DATE, MINUTE = 10, 16


def in_words(analysis: ThresholdAnalysis) -> list[str]:
    """Return paragraphs: the percentile itself, one tau for all time, one that follows, the scores."""
    return [
        _of_percentile(analysis),
        _of_fixed_tau(analysis.over_time, analysis.fixed.step_s),
        _of_adaptive_tau(analysis.over_time),
        *of_sensitivity(analysis.scores),
    ]


def _of_percentile(analysis: ThresholdAnalysis) -> str:
    quantile = analysis.in_use.quantile
    found, fit = analysis.percentiles.future_fit.at(quantile), analysis.percentiles.future_fit
    if found is None:
        return f"{percentile_name(quantile)} is not among the percentiles shown."
    name = percentile_name(quantile)
    said = (
        f"{name} of the volatility to come is {found.value_bps:.3g} bps on the fit slice{_interval(found)}."
    )
    later = analysis.percentiles.future_later.at(quantile)
    if later is not None:
        value = f"{later.value_bps:.3g}{_whether_inside(found, later)}"
        said += f" On the rows after it the same percentile is {value}."
    if not fit.enough_data:
        said += f" The fit slice has {fit.windows} windows and {fit.blocks} half hours: not enough data."
    return said


def _interval(found: Percentile) -> str:
    if found.low_bps is None or found.high_bps is None:
        return ", with too few blocks for an interval"
    return f" (95 % interval {found.low_bps:.3g} to {found.high_bps:.3g})"


def _whether_inside(found: Percentile, later: Percentile) -> str:
    if found.low_bps is None or found.high_bps is None:
        return ""
    return f", {'inside' if found.low_bps <= later.value_bps <= found.high_bps else 'outside'} that interval"


def _of_fixed_tau(over_time: TauOverTime, step_s: int) -> str:
    """Say how the share of spikes under the fixed tau of fit varies in the periods after it."""
    kind = over_time.telling_kind
    tau = f"The fixed tau of the fit slice, {over_time.fixed_tau_bps:.3g} bps,"
    later = [
        period
        for period in over_time.periods[kind]
        if period.part != "fit" and period.labelled * step_s >= LEAST_LABELLED_S
    ]
    if not later:
        return f"{tau} meets no later {kind} with half an hour of labels: not enough data to say how it ages."
    share = 1.0 - over_time.quantile
    calls = _range_over(later, lambda period: period.fixed_base_rate or 0.0, kind)
    moves = _range_over(later, lambda period: period.base_rate or 0.0, kind)
    return (
        f"{tau} calls {share:.1%} of that slice spikes. In {_later(len(later), kind)} it calls {calls}. The "
        f"adaptive tau calls {moves}."
    )


def _later(count: int, kind: str) -> str:
    return f"the one later {kind}" if count == 1 else f"the {count} later {kind}s"


def _range_over(periods: Sequence[Period], rate: Callable[[Period], float], kind: str) -> str:
    least, most = min(periods, key=rate), max(periods, key=rate)
    if least is most:
        return f"{rate(most):.1%} ({period_name(most, kind)})"
    return (
        f"from {rate(least):.1%} ({period_name(least, kind)}) to {rate(most):.1%} ({period_name(most, kind)})"
    )


def period_name(period: Period, kind: str) -> str:
    """Return the date of a day, or the UTC minute at which an hour or a session begins."""
    start_ns = period.start_ns if kind == "session" else (period.start_ns - 1) // HOUR_NS * HOUR_NS
    return format_time_ns(start_ns)[: DATE if kind == "day" else MINUTE].replace("T", " ")


def _of_adaptive_tau(over_time: TauOverTime) -> str:
    minute, hour = over_time.movement
    return (
        f"The adaptive tau lies between {over_time.low_bps:.3g} and {over_time.high_bps:.3g} bps, its median "
        f"is {over_time.median_bps:.3g}. Within a minute it moves {_far(minute)}, in an hour {_far(hour)}. "
        f"{over_time.fallback_frac:.1%} of the time it is the fixed one, for want of history, and "
        f"{over_time.floor_frac:.1%} its floor of {over_time.floor_bps:g} bps."
    )


def _far(movement: Movement) -> str:
    if movement.median_frac is None or movement.most_up_frac is None or movement.most_down_frac is None:
        return "by an amount that no pair of rows shows"
    return (
        f"by {movement.median_frac:.1%} in the median and by {movement.most_down_frac:+.0%} to "
        f"{movement.most_up_frac:+.0%} at most"
    )


def of_sensitivity(scores: Sequence[Sensitivity]) -> list[str]:
    """Return what changes with the threshold and what doesn't, of those with enough data."""
    enough = [score for score in scores if score.balance.enough_data and score.over_persistence is not None]
    if not enough:
        return [
            f"Under none of the {len(scores)} thresholds tune and calibrate hold enough data: whatever their "
            "scores are, no conclusion can be drawn from them."
        ]
    thin = len(scores) - len(enough)
    besides = f" The other {thin} leave not enough data on tune and calibrate." if thin else ""
    return [
        f"Under the {len(enough)} thresholds with enough data: that persistence beats guessing "
        f"{_verdict(enough, lambda score: score.over_guessing)}; that log-HAR beats persistence "
        f"{_verdict(enough, lambda score: score.over_persistence)}.{besides}",
        f"What changes is the figure: {_range_of_figures(enough)} A score needs its threshold beside it.",
    ]


def _verdict(scores: Sequence[Sensitivity], gain: Callable[[Sensitivity], Gain | None]) -> str:
    """Say under which thresholds a conclusion holds: the 95 % interval of the gain lies above 0."""
    gains = {score.name: found for score in scores if (found := gain(score)) is not None}
    open_ = [name for name, found in gains.items() if found.low <= 0.0 <= found.high]
    reversed_ = [name for name, found in gains.items() if found.high < 0.0]
    if not open_ and not reversed_:
        return "holds under every one of them"
    said = f"holds under {len(gains) - len(open_) - len(reversed_)} of {len(gains)}"
    if open_:
        said += f", is open under {', '.join(open_)} (the interval of the gain includes 0)"
    return said + (f", is reversed under {', '.join(reversed_)}" if reversed_ else "")


def _range_of_figures(scores: Sequence[Sensitivity]) -> str:
    pr_auc = {score.name: score.log_har.pr_auc or 0.0 for score in scores}
    lift = {score.name: score.log_har.lift or 0.0 for score in scores}
    return f"the PR-AUC of log-HAR goes {_from_to(pr_auc, '.2f')}, its lift {_from_to(lift, '.1f')}."


def _from_to(values: dict[str, float], form: str) -> str:
    least, most = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    return f"from {values[least]:{form}} ({least}) to {values[most]:{form}} ({most})"
