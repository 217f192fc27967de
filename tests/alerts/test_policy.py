"""When alerts open and close. Time lines show p(spike) second by second: open at 0.6, close below 0.4."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter

import pytest

from made_records import make_prediction
from volspike.alerts.policy import NS, AlertPolicy, alert_id
from volspike.errors import ConfigError
from volspike.records import Alert, Prediction

HIGH, MIDDLE, LOW = 0.8, 0.5, 0.1


def predict(second: float, p: float, *, product: str = "BTC-USD", late: bool = False) -> Prediction:
    return make_prediction(
        product=product,
        event_ns=round(second * NS),
        model_version="3",
        p_spike=p,
        sigma_bps=5.0,
        reference_p_spike=1.0 - p,
        late=late,
    )


def make_policy(**changes) -> AlertPolicy:
    return AlertPolicy("tiny", 0.6, 0.4, **{"cooldown_s": 30, "hold_s": 5, "stale_s": 60} | changes)


def run(
    policy: AlertPolicy, levels: Sequence[float | None], start: int = 100, covered: int = 0
) -> list[tuple[str, int]]:
    """Step once a second (None: a mark); return (state, second) of what opened and closed."""
    out = []
    for second, p in enumerate(levels, start):
        prediction = None if p is None else predict(second, p)
        alert = policy.step("BTC-USD", second * NS, covered * NS, prediction)
        if alert is not None:
            out.append((alert.state, alert.event_ns // NS))
    return out


def test_it_opens_at_the_threshold_and_closes_after_the_hold() -> None:
    """p: . . # # # - - - - - -      (# at or above open, - below close)
    open at 102, first below at 105, closed at 110."""
    assert run(make_policy(), [LOW, 0.59, 0.6, HIGH, HIGH] + [LOW] * 8) == [("opened", 102), ("closed", 110)]


def test_between_the_thresholds_it_stays_as_it_is() -> None:
    """p: = = # = = = = = = = =      (= between close and open): neither opens nor closes."""
    policy = make_policy()
    assert run(policy, [MIDDLE] * 5) == []
    assert run(policy, [HIGH] + [MIDDLE] * 100, start=105) == [("opened", 105)]


def test_a_short_dip_does_not_close_it() -> None:
    """p: # - - - - # - - - - #      four seconds below, five are needed."""
    assert run(make_policy(), [HIGH, *[LOW, LOW, LOW, LOW, MIDDLE] * 10]) == [("opened", 100)]


def test_the_cooldown_runs_from_the_close() -> None:
    """closed at 106; p is high again from 107; opens at 136."""
    assert run(make_policy(), [HIGH] + [LOW] * 6 + [HIGH] * 40) == [
        ("opened", 100),
        ("closed", 106),
        ("opened", 136),
    ]


def test_a_break_closes_it_and_late_predictions_open_nothing() -> None:
    policy = make_policy()
    run(policy, [HIGH])
    closed = policy.step("BTC-USD", 105 * NS, 105 * NS, None)
    assert closed is not None
    assert (closed.state, closed.event_ns, closed.opened_ns) == ("closed", 105 * NS, 100 * NS)
    assert policy.step("BTC-USD", 200 * NS, 105 * NS, predict(200, 1.0, late=True)) is None
    assert policy.step("BTC-USD", 201 * NS, 105 * NS, predict(201, 1.0)) is not None


def test_late_predictions_neither_hold_open_nor_close() -> None:
    policy = make_policy()
    run(policy, [HIGH])
    for second in range(101, 159):
        assert policy.step("BTC-USD", second * NS, 0, predict(second, LOW, late=True)) is None
    closed = policy.step("BTC-USD", 160 * NS, 0, predict(160, HIGH, late=True))
    assert closed is not None
    assert closed.state == "closed"


def test_it_closes_when_predictions_stop_coming() -> None:
    """p: # m m m ... (m marks): closed 60 s after the last prediction."""
    assert run(make_policy(), [HIGH] + [None] * 70) == [("opened", 100), ("closed", 160)]


def test_no_alert_without_predictions() -> None:
    assert run(make_policy(), [None] * 200) == []


def test_products_are_apart() -> None:
    policy = make_policy()
    for product in ("BTC-USD", "ETH-USD"):
        assert policy.step(product, 100 * NS, 0, predict(100, HIGH, product=product)) is not None
    assert [alert.product for alert in policy.end()] == ["BTC-USD", "ETH-USD"]
    assert policy.end() == []


def test_the_end_of_the_stream_closes_what_is_open() -> None:
    policy = make_policy()
    run(policy, [HIGH, HIGH])
    (closed,) = policy.end()
    assert (closed.state, closed.event_ns, closed.opened_ns) == ("closed", 101 * NS, 100 * NS)


def test_what_an_alert_says() -> None:
    alert = make_policy().step("BTC-USD", 100 * NS, 0, predict(100, HIGH))
    assert alert == Alert(
        id=alert_id("BTC-USD", "tiny", 100 * NS),
        product="BTC-USD",
        state="opened",
        model="tiny",
        model_version="3",
        event_ns=100 * NS,
        opened_ns=100 * NS,
        p_spike=HIGH,
        threshold=0.6,
        sigma_now_bps=1.0,
        sigma_bps=5.0,
        tau_bps=4.0,
        mid=100.0,
    )


def wander(seed: int) -> list[float | None]:
    rng = random.Random(seed)
    return [rng.choice([LOW, MIDDLE, HIGH, None]) for _ in range(2_000)]


def test_ids_are_stable_over_a_replay_and_differ_between_alerts() -> None:
    def replay() -> list[Alert]:
        policy, alerts = make_policy(hold_s=1), []
        for second, p in enumerate(wander(5), 100):
            alerts.append(policy.step("BTC-USD", second * NS, 0, None if p is None else predict(second, p)))
        return [alert for alert in alerts if alert is not None]

    first = replay()
    assert replay() == first
    opened = [alert.id for alert in first if alert.state == "opened"]
    assert len(set(opened)) == len(opened) > 5
    assert [alert.id for alert in first if alert.state == "closed"] == opened[: len(first) // 2]


@pytest.mark.parametrize("period", [1, 2, 7, 13, 41])
def test_flapping_is_bounded(period: int) -> None:
    """A score that oscillates for 1,000 s: at most 1 + floor(L / (hold + cooldown)) alerts."""
    levels = [HIGH if (second // period) % 2 == 0 else 0.0 for second in range(1_000)]
    events = run(make_policy(hold_s=5, cooldown_s=30), levels)
    opened = [second for state, second in events if state == "opened"]
    assert 1 <= len(opened) <= 1 + 1_000 // 35
    assert all(b - a >= 35 for a, b in pairwise(opened))


def test_states_alternate_on_any_input() -> None:
    for seed in range(10):
        states = [state for state, _ in run(make_policy(hold_s=seed % 3, cooldown_s=seed), wander(seed))]
        assert states == ["opened", "closed"] * (len(states) // 2) + ["opened"] * (len(states) % 2)


def test_the_reference_can_have_a_policy_of_its_own() -> None:
    policy = make_policy(probability=attrgetter("reference_p_spike"))
    alert = policy.step("BTC-USD", 100 * NS, 0, predict(100, LOW))
    assert alert is not None
    assert alert.p_spike == pytest.approx(0.9)


@pytest.mark.parametrize(("opening", "closing"), [(0.4, 0.6), (1.1, 0.5), (0.5, -0.1), (float("nan"), 0.1)])
def test_thresholds_that_do_not_fit_are_refused(opening: float, closing: float) -> None:
    with pytest.raises(ConfigError, match="0 <= close <= open <= 1"):
        AlertPolicy("tiny", opening, closing)
    with pytest.raises(ConfigError, match="seconds >= 0"):
        AlertPolicy("tiny", 0.6, 0.4, cooldown_s=-1)


def test_an_alert_that_is_open_when_the_model_changes_closes_under_its_own_id() -> None:
    """As a promotion does it: a fresh policy of the new model takes up the state of the one before."""
    before = AlertPolicy("old", 0.5, 0.4, cooldown_s=0.0, hold_s=0.0)
    opened = before.step("BTC-USD", 1, 0, make_prediction(p_spike=0.9, model="old"))
    assert opened is not None
    after = AlertPolicy("new", 0.8, 0.7, cooldown_s=0.0, hold_s=0.0)
    after.import_state(before.export_state())
    assert after.step("BTC-USD", 2, 0, make_prediction(p_spike=0.75, model="new")) is None
    closed = after.step("BTC-USD", 3, 0, make_prediction(p_spike=0.1, model="new"))
    assert closed is not None
    assert (closed.id, closed.opened_ns, closed.state) == (opened.id, opened.event_ns, "closed")
    reopened = after.step("BTC-USD", 4, 0, make_prediction(p_spike=0.9, model="new"))
    assert reopened is not None
    assert reopened.id == alert_id("BTC-USD", "new", 4) != opened.id
