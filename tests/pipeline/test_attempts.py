"""Retrainings as the journal tells of them: which are done, which are to be begun again, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from volspike.monitoring.journal import (
    CHALLENGER,
    PROMOTED,
    RETRAIN_ABANDONED,
    RETRAIN_FAILED,
    RETRAIN_STARTED,
    JournalEntry,
)
from volspike.pipeline.attempts import PAUSE_NS, Attempts, attempts_of, unended


def line(event: str, market_ns: int, by: str = "schedule") -> JournalEntry:
    return JournalEntry(market_ns=market_ns, event=event, product="BTC-USD", feed="exchange", by=by)


def test_of_an_empty_journal_nothing_is_done_and_nothing_has_to_wait() -> None:
    assert attempts_of([]) == Attempts(None, ())
    assert attempts_of([]).not_before_ns(1e18, 0) == 0


def test_a_model_in_its_place_ends_a_retraining_and_failing_does_not() -> None:
    done, failed = line(RETRAIN_STARTED, 5), line(RETRAIN_FAILED, 5)
    journal = [line(RETRAIN_STARTED, 3), line(RETRAIN_ABANDONED, 5), done]
    assert attempts_of([*journal, failed]) == Attempts(None, (3, 5))
    # Died behind the rename: the next one says so first, then adds the line of the challenger.
    found = [failed, line(CHALLENGER, 9, "found")]
    assert attempts_of([*journal, *found]) == Attempts(done, ())
    assert attempts_of([*journal, *found, line(RETRAIN_STARTED, 11)]) == Attempts(done, (11,))


def test_the_first_champion_ends_a_retraining_and_the_promotion_of_another_model_does_not() -> None:
    started = line(RETRAIN_STARTED, 5)
    assert attempts_of([started, line(PROMOTED, 5)]).done == started
    for other in (line(PROMOTED, 6), line(PROMOTED, 5, "user")):
        assert attempts_of([started, other]) == Attempts(None, (5,))


def test_a_retraining_is_not_ended_by_the_promotion_of_another_model() -> None:
    """One that died behind it was never told of."""
    started = line(RETRAIN_STARTED, 5)
    assert unended([]) is None
    assert unended([line(RETRAIN_STARTED, 3), started]) == started
    for end in (line(RETRAIN_ABANDONED, 6), line(RETRAIN_FAILED, 5), line(CHALLENGER, 5), line(PROMOTED, 5)):
        assert unended([started, end]) is None
        assert unended([end, started]) == started
    for other in (line(PROMOTED, 6), line(PROMOTED, 5, "user")):
        assert unended([started, other]) == started


def test_what_failed_before_an_alarm_makes_no_pause_behind_it_longer() -> None:
    attempts = Attempts(None, (10, 20, 30, 40))
    assert attempts.not_before_ns(1e18, 0) == 40 + 8 * PAUSE_NS
    assert attempts.not_before_ns(1e18, 40) == 40 + PAUSE_NS
    assert attempts.not_before_ns(1e18, 41) == 0


@given(st.lists(st.integers(1, 2**62), min_size=1, max_size=60), st.integers(1, 10_000 * PAUSE_NS))
def test_the_pause_grows_from_an_hour_and_is_never_longer_than_the_interval(
    begun_ns: list[int], every_ns: int
) -> None:
    pauses = [
        Attempts(None, tuple(begun_ns[:n])).not_before_ns(every_ns, 0) - begun_ns[n - 1]
        for n in range(1, len(begun_ns) + 1)
    ]
    assert pauses[0] == min(PAUSE_NS, every_ns)
    assert max(pauses) <= every_ns
    assert pauses == sorted(pauses)
