from __future__ import annotations

import numpy as np
import pytest
from evaluation_rows import NS, graded
from hypothesis import given, settings
from hypothesis import strategies as st

from made_records import make_prediction
from volspike.alerts.policy import AlertPolicy
from volspike.evaluation.episodes import (
    AlertSpan,
    GradedSeconds,
    choose_thresholds,
    onset_mask,
    open_alerts,
    score_episodes,
)
from volspike.records import Prediction


def onsets(rows: GradedSeconds) -> list[int]:
    return rows.second[onset_mask(rows)].tolist()


def test_an_onset_needs_sixty_quiet_seconds() -> None:
    assert onsets(graded([0] * 60 + [1, 1, 1])) == [61]
    assert onsets(graded([0] * 59 + [1, 1, 1])) == []
    # A second spike 60 quiet seconds after the last one is an onset; after 59 it is continuation.
    assert onsets(graded([0] * 60 + [1] + [0] * 60 + [1])) == [61, 122]
    assert onsets(graded([0] * 60 + [1] + [0] * 59 + [1])) == [61]


def test_an_unlabelled_second_or_a_break_forbids_an_onset() -> None:
    assert onsets(graded([0] * 30 + [-1] + [0] * 59 + [1])) == []
    assert onsets(graded([0] * 30 + [-1] + [0] * 60 + [1])) == [92]
    assert onsets(graded([0] * 100 + [1], run=[0] * 60 + [1] * 41)) == []


def test_seconds_without_a_tick_are_no_calm_seconds() -> None:
    second = np.concatenate((np.arange(10, 130, 2), [131]))
    rows = GradedSeconds(second, np.zeros(61, np.int32), np.array([0] * 60 + [1], np.int8))
    assert onsets(rows) == [131]
    assert onsets(GradedSeconds(rows.second[1:], rows.run[1:], rows.spike[1:])) == []


def test_no_rows() -> None:
    scores = score_episodes(graded([]), [])
    assert (scores.onsets, scores.onset_recall, scores.false_alarms_per_hour, scores.duty_frac) == (
        0,
        None,
        None,
        None,
    )


def an_hour() -> GradedSeconds:
    """Spikes at seconds 1001..1100 and 2001..2010 of 3600; c is 1061 and 2061."""
    spike = np.zeros(3_600, np.int8)
    spike[1_000:1_100] = 1
    spike[2_000:2_010] = 1
    return graded(spike.tolist())


@pytest.mark.parametrize(
    ("opened", "hits", "leads"),
    [
        (940, 0, ()),  # a second too early
        (941, 1, (120.0,)),
        (1_001, 1, (60.0,)),
        (1_060, 1, (1.0,)),
        (1_061, 0, ()),  # by now the present shows it
    ],
)
def test_a_hit_opens_from_a_minute_before_to_a_minute_after(
    opened: int, hits: int, leads: tuple[float, ...]
) -> None:
    scores = score_episodes(an_hour(), [AlertSpan(opened, opened + 30)])
    assert (scores.onsets, scores.hits, scores.leads_s) == (2, hits, leads)
    assert scores.onset_recall == hits / 2


def test_the_first_of_several_alerts_gives_the_lead() -> None:
    alerts = [AlertSpan(950, 960), AlertSpan(1_010, 1_100), AlertSpan(1_990, 2_020)]
    scores = score_episodes(an_hour(), alerts)
    assert scores.leads_s == (111.0, 71.0)
    assert scores.lead_s == 91.0


def test_an_alert_is_false_without_a_spike_in_its_minute() -> None:
    def false(alert: AlertSpan) -> int:
        return score_episodes(an_hour(), [alert]).false_alarms

    assert false(AlertSpan(940, 945)) == 1
    assert false(AlertSpan(941, 945)) == 0  # 1001 is in [941, 1001]
    assert false(AlertSpan(1_100, 1_105)) == 0
    assert false(AlertSpan(1_101, 1_105)) == 1


def test_an_alert_left_open_is_judged_every_ten_minutes() -> None:
    scores = score_episodes(an_hour(), [AlertSpan(980, None)])
    # Judged at 980 (true), 1580, 2180, 2780, 3380.
    assert scores.false_alarms == 4
    assert scores.false_alarms_per_hour == 4.0
    assert scores.duty_frac == pytest.approx((3_600 - 980) / 3_600)
    assert scores.hours == 1.0


def test_an_alert_before_unlabelled_seconds_is_not_judged() -> None:
    rows = graded([0] * 100 + [-1] * 100)
    assert score_episodes(rows, [AlertSpan(101, 110)]).ungraded_alerts == 1
    assert score_episodes(rows, [AlertSpan(100, 110)]).false_alarms == 1


def test_hysteresis_hold_and_cooldown() -> None:
    p = np.array([0.1, 0.6, 0.2, 0.4, 0.2, 0.2, 0.2, 0.7, 0.7, 0.1])
    rows = graded([0] * 10)
    alerts = open_alerts(rows.second, rows.run, p, 0.5, 0.3, cooldown_s=2, hold_s=2)
    # Below 0.3 at 3 for one second only, then from 5 on for two: closed at 7, opened again from 9 on.
    assert alerts == [AlertSpan(2, 7), AlertSpan(9, None)]


def test_a_break_or_silence_closes_an_alert_and_the_end_leaves_it_open() -> None:
    rows = graded([0] * 6, run=[0, 0, 0, 1, 1, 1])
    assert open_alerts(rows.second, rows.run, np.full(6, 0.9), 0.5, 0.3, cooldown_s=2) == [
        AlertSpan(1, 4),
        AlertSpan(6, None),
    ]
    second = np.array([10, 11, 90, 200], np.int64)
    alerts = open_alerts(second, np.zeros(4, np.int32), np.full(4, 0.9), 0.5, 0.3)
    assert alerts == [AlertSpan(10, 71), AlertSpan(200, None)]


def prediction(second: int, p: float) -> Prediction:
    return make_prediction(id=str(second), identity=str(second), event_ns=second * NS, p_spike=p)


@given(
    st.lists(st.tuples(st.integers(0, 10), st.integers(1, 30), st.booleans()), min_size=1, max_size=40),
)
@settings(max_examples=50, deadline=None)
def test_alerts_on_the_grid_are_those_of_the_live_policy(
    levels: list[tuple[int, int, bool]],
) -> None:
    p = np.concatenate([np.full(length, level / 10) for level, length, _ in levels])
    run = np.cumsum(np.concatenate([[int(broken), *[0] * (length - 1)] for _, length, broken in levels]))
    rows = graded([0] * len(p), run=run.tolist())
    policy, live = AlertPolicy("m", 0.7, 0.4), []
    for second, stretch, value in zip(rows.second.tolist(), run.tolist(), p.tolist(), strict=True):
        alert = policy.step("BTC-USD", second * NS, int(stretch), prediction(second, value))
        if alert is not None and alert.state == "opened":
            live.append(AlertSpan(second, None))
        elif alert is not None:
            live[-1] = AlertSpan(live[-1].open_second, second)
    assert open_alerts(rows.second, rows.run, p, 0.7, 0.4) == live


ONSETS_S = np.arange(1_000, 25_000, 1_000)  # 24 onsets in seven hours


def seven_hours() -> tuple[GradedSeconds, np.ndarray]:
    """Return spikes of 20 s, and probabilities that see each coming: twelve clearly, twelve less so."""
    spike, p = np.zeros(25_200, np.int8), np.full(25_200, 0.01)
    for k, onset in enumerate(ONSETS_S):
        spike[onset : onset + 20] = 1
        p[onset - 10 : onset + 10] = 0.5 if k % 2 else 0.3
    return graded(spike.tolist()), p


def test_thresholds_warn_of_every_onset_within_the_budget() -> None:
    rows, p = seven_hours()
    p[np.arange(500, 25_000, 1_000)] = 0.2  # 25 false alarms in seven hours below
    chosen = choose_thresholds(rows, p)
    assert (chosen.open_at, chosen.reason) == (0.3, "")
    assert chosen.episodes is not None
    assert (chosen.episodes.onset_recall, chosen.episodes.false_alarms) == (1.0, 0)
    faint = np.where(p == 0.3, 0.2, p)
    generous = choose_thresholds(rows, faint, max_false_alarms_per_hour=4.0)
    assert generous.open_at == 0.2
    strict = choose_thresholds(rows, faint, max_false_alarms_per_hour=2.0)
    assert strict.open_at == 0.5


@pytest.mark.parametrize("budget", [1.0, 2.0, 4.0])
def test_an_alert_that_is_open_nearly_always_is_not_chosen(budget: float) -> None:
    rows, p = seven_hours()
    # Opened 15 s before each onset and closed long after it: full recall, no false alarm but in the long end.
    lazy = np.full(25_200, 0.01)
    for onset in ONSETS_S:
        lazy[onset - 15 : onset + 560] = 0.2
    chosen = choose_thresholds(rows, np.maximum(p, lazy), budget)
    assert chosen.episodes is not None
    assert chosen.episodes.duty_frac is not None
    assert chosen.episodes.duty_frac <= np.mean(rows.spike == 1) + budget * 180 / 3600
    assert chosen.open_at > 0.2
    # Where open time is allowed for, the same threshold is the best.
    assert choose_thresholds(rows, lazy, 24.0).open_at == 0.2


def test_an_onset_under_an_open_alert_is_no_hit_and_told_apart() -> None:
    scores = score_episodes(an_hour(), [AlertSpan(900, 1_050), AlertSpan(2_100, 2_200)])
    assert (scores.onsets, scores.hits, scores.already_open) == (2, 0, 1)
    assert score_episodes(an_hour(), [AlertSpan(900, 1_001)]).already_open == 0
    assert score_episodes(an_hour(), [AlertSpan(900, None)]).already_open == 2
    both = score_episodes(an_hour(), [AlertSpan(900, 950), AlertSpan(990, None)])
    assert (both.hits, both.already_open) == (1, 1)


def test_with_few_onsets_the_threshold_is_one_that_is_seldom_reached_and_it_is_said() -> None:
    rows = an_hour()
    p = np.full(3_600, 0.03)
    p[990:1_050], p[1_995:2_005] = 0.5, 0.3
    p[np.arange(100, 900, 400)] = 0.07  # unusual, but no more than one minute in ten is a spike anyway
    chosen = choose_thresholds(rows, p)
    assert chosen.open_at == 0.3
    assert chosen.reason == (
        "2 onsets in the rows, 20 are needed to choose by: "
        "the lowest from 0.1 on with alerts open for 10.0% of the time at most"
    )
    assert chosen.episodes is not None
    # Probabilities that say nothing open no alert, whatever their level.
    flat = choose_thresholds(rows, np.full(3_600, 0.3))
    assert (flat.open_at, flat.episodes) == (0.5, None)
    assert "keeps the budget" in flat.reason


def test_a_calm_slice_does_not_make_every_probability_unusual() -> None:
    calm = graded([0] * 1_200)
    p = np.linspace(0.0001, 0.01, 1_200)
    assert choose_thresholds(calm, p).open_at == 0.5
    p[600:610] = 0.2
    assert choose_thresholds(calm, p).open_at == 0.2, "one false alarm in twenty minutes is no rate"
    p[900:910] = 0.2
    assert choose_thresholds(calm, p).open_at == 0.5


def test_defaults_say_why() -> None:
    assert choose_thresholds(graded([]), np.zeros(0)).reason == "no labelled row to choose them on"
    rows, _ = seven_hours()
    late = np.where(rows.spike == 1, 0.01, 0.4)  # nothing but false alarms
    nothing = choose_thresholds(rows, late)
    assert (nothing.open_at, nothing.close_at, nothing.episodes) == (0.5, 0.3, None)
    assert nothing.reason.startswith("no threshold warns of an onset within the budget")
