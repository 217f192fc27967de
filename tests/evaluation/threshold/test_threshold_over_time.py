"""Tau over time, the sentences made from the figures, and the pictures."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from threshold_market import START_MINUTE, builder, candles

from volspike.evaluation.bootstrap import Gain
from volspike.evaluation.threshold import pictures
from volspike.evaluation.threshold.analysis import ThresholdAnalysis, analyse_thresholds
from volspike.evaluation.threshold.balance import Balance
from volspike.evaluation.threshold.over_time import TauOverTime, tau_over_time
from volspike.evaluation.threshold.sensitivity import RuleScore, Sensitivity
from volspike.evaluation.threshold.tau_picture import draw_tau
from volspike.evaluation.threshold.words import in_words, of_sensitivity, period_name
from volspike.labels.dataset import Dataset
from volspike.labels.splits import chronological_split
from volspike.labels.tau import TauSpec

ASLEEP = (2_000, 2_100)
ENOUGH = Balance(5_000, 250, 0.05, 60, 30, 400, 40, True)


@pytest.fixture(scope="module")
def rows() -> tuple[Dataset, Dataset]:
    build = builder(candles(3, asleep=ASLEEP))
    return build(TauSpec("adaptive")), build(TauSpec("fixed"))


@pytest.fixture(scope="module")
def over_time(rows: tuple[Dataset, Dataset]) -> TauOverTime:
    return tau_over_time(*rows, chronological_split(rows[0]))


@pytest.mark.parametrize("kind", ["hour", "day", "session"])
def test_periods_hold_every_row_once_and_their_spikes_add_up(
    kind: str, rows: tuple[Dataset, Dataset], over_time: TauOverTime
) -> None:
    adaptive, fixed = rows
    periods = over_time.periods[kind]
    assert sum(period.rows for period in periods) == len(adaptive)
    assert all(one.end_ns < next_.start_ns for one, next_ in pairwise(periods))
    for name, data in (("base_rate", adaptive), ("fixed_base_rate", fixed)):
        spikes = sum(round(getattr(p, name) * p.labelled) for p in periods if p.labelled)
        assert spikes == np.count_nonzero(data.spike == 1)
    assert min(period.tau_low_bps for period in periods) == over_time.low_bps
    assert max(period.tau_high_bps for period in periods) == over_time.high_bps


def test_a_period_lies_on_one_side_of_the_end_of_fit(
    rows: tuple[Dataset, Dataset], over_time: TauOverTime
) -> None:
    fit_rows = len(chronological_split(rows[0]).fit)
    for periods in over_time.periods.values():
        assert sum(period.rows for period in periods if period.part == "fit") == fit_rows
        parts = [period.part for period in periods]
        assert parts == sorted(parts)


def test_hours_and_days_are_of_the_utc_clock_and_half_an_hour_ends_a_session(over_time: TauOverTime) -> None:
    hour, day, session = (over_time.periods[kind] for kind in ("hour", "day", "session"))
    assert {period.rows for period in hour[:24]} == {60}
    assert [period.rows for period in day[:2]] == [1_440, 1_340]
    assert session[0].rows == ASLEEP[0]
    assert len(session) == 3, "two, and the later one twice: fit ends in it"
    minutes = str(np.datetime64(START_MINUTE, "m"))
    assert period_name(day[0], "day") == minutes[:10]
    assert period_name(hour[0], "hour") == minutes.replace("T", " ")


def test_movement_is_the_change_of_tau_between_rows_so_far_apart(
    rows: tuple[Dataset, Dataset], over_time: TauOverTime
) -> None:
    adaptive, fixed = rows
    first, minute = slice(29, ASLEEP[0]), over_time.movement[0]
    tau = adaptive.tau_bps
    steps = np.concatenate([tau[first][1:] / tau[first][:-1], tau[2_001:] / tau[2_000:-1]]) - 1.0
    assert minute.pairs == len(steps)
    assert minute.median_frac == np.median(np.abs(steps))
    assert (minute.most_up_frac, minute.most_down_frac) == (max(steps), min(steps))
    still = tau_over_time(fixed, fixed, chronological_split(fixed))
    assert [move.pairs for move in still.movement] == [0, 0], "a fixed tau has no trailing quantile"
    assert (over_time.low_bps, over_time.high_bps) == (np.min(tau), np.max(tau))


def scores(*gains: tuple[str, float, float], balance: Balance = ENOUGH) -> list[Sensitivity]:
    return [
        Sensitivity(
            name=name,
            balance=balance,
            persistence=RuleScore(0.2, 4.0),
            log_har=RuleScore(0.2 + (low + high) / 2, 4.0 + 20 * (low + high) / 2),
            over_guessing=Gain(0.15, 0.1, 0.2, 20, 1_800),
            over_persistence=Gain((low + high) / 2, low, high, 20, 1_800),
        )
        for name, low, high in gains
    ]


def test_a_conclusion_holds_where_its_interval_lies_above_zero() -> None:
    first, figures = of_sensitivity(scores(("a", 0.01, 0.05), ("b", -0.01, 0.03), ("c", -0.2, -0.1)))
    assert "persistence beats guessing holds under every one of them" in first
    assert "holds under 1 of 3, is open under b" in first
    assert "is reversed under c" in first
    assert "from 0.05 (c) to 0.23 (a)" in figures
    (same, _) = of_sensitivity(scores(("a", 0.01, 0.05), ("b", 0.01, 0.03)))
    assert "that log-HAR beats persistence holds under every one of them." in same


def test_thin_scores_draw_no_conclusion() -> None:
    thin = replace(ENOUGH, enough_data=False)
    (only,) = of_sensitivity(scores(("a", 0.01, 0.05), balance=thin))
    assert only.startswith("Under none of the 1 thresholds")
    first, _ = of_sensitivity(scores(("a", 0.01, 0.05)) + scores(("b", -0.2, -0.1), balance=thin))
    assert "The other 1 leave not enough data" in first
    assert "reversed" not in first


@pytest.fixture(scope="module", params=[0.4, 8.0], ids=["thin", "whole"])
def analysis(request: pytest.FixtureRequest) -> ThresholdAnalysis:
    return analyse_thresholds(builder(candles(request.param)), TauSpec())


def test_the_words_carry_the_figures(analysis: ThresholdAnalysis) -> None:
    said = " ".join(in_words(analysis))
    over_time = analysis.over_time
    assert f"P95 of the volatility to come is {over_time.fixed_tau_bps:.3g} bps" in said
    assert f"between {over_time.low_bps:.3g} and {over_time.high_bps:.3g} bps" in said
    assert ("not enough data" in said) or analysis.percentiles.future_fit.enough_data
    later = [p.fixed_base_rate for p in over_time.periods[over_time.telling_kind] if p.part == "later"]
    assert f"{max(filter(None, later), default=0.0):.1%}" in said


def test_every_picture_is_sound_and_repeats_to_the_byte(analysis: ThresholdAnalysis) -> None:
    def drawn() -> list[str]:
        over_time = analysis.over_time
        figures = [
            pictures.draw_percentiles(analysis.percentiles),
            pictures.draw_balance(analysis.balances),
            pictures.draw_sensitivity(analysis.scores),
            draw_tau(analysis.adaptive, analysis.fixed, analysis.split),
            *(pictures.draw_periods(over_time, kind) for kind in over_time.periods),
        ]
        return [pictures.as_svg(figure) for figure in figures]

    first = drawn()
    assert first == drawn()
    for picture in first:
        assert ElementTree.fromstring(picture).tag.endswith("svg")
        assert 'href="http' not in picture
        assert len(picture) < 300_000
