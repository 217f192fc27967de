"""Reconnection policy, driven by an injected clock."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.exchange.backoff import BackoffPolicy, TokenBucket
from volspike.exchange.decimals import NS_PER_SECOND


def test_backoff_doubles_up_to_its_cap() -> None:
    policy = BackoffPolicy()
    assert [policy.ceiling_s(n) for n in (1, 2, 3, 7, 8, 9, 10**6)] == [
        0.25,
        0.5,
        1.0,
        16.0,
        30.0,
        30.0,
        30.0,
    ]


def test_backoff_jitter_is_full_and_seeded() -> None:
    policy = BackoffPolicy()
    draws = [policy.delay_s(8, Random(seed)) for seed in range(400)]
    assert draws == [policy.delay_s(8, Random(seed)) for seed in range(400)]
    assert min(draws) < 1.0 < 29.0 < max(draws)
    assert max(draws) <= 30.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 400_000_000), min_size=20, max_size=120), st.sampled_from([2.0, 4.0, 8.0]))
def test_fault_06_no_second_sees_more_attempts_than_the_rate(pauses_ns: list[int], rate: float) -> None:
    bucket, now_ns, attempts = TokenBucket(rate_per_s=rate), 0, []
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        now_ns += bucket.reserve_ns(now_ns)
        attempts.append(now_ns)
    for first in attempts:
        assert sum(first <= at < first + NS_PER_SECOND - 1000 for at in attempts) <= rate


def test_fault_06_a_storm_of_drops_is_bounded_and_jittered() -> None:
    policy, bucket, rng = BackoffPolicy(), TokenBucket(), Random(1)
    now_ns, attempts = 0, [0]
    bucket.reserve_ns(0)
    while now_ns < 600 * NS_PER_SECOND:
        now_ns += round(policy.delay_s(len(attempts), rng) * NS_PER_SECOND)
        now_ns += bucket.reserve_ns(now_ns)
        attempts.append(now_ns)
    gaps = {later - earlier for earlier, later in pairwise(attempts)}
    assert min(gaps) >= NS_PER_SECOND // 8
    assert 20 <= len(attempts) <= 120
    assert len(gaps) > len(attempts) // 2


def test_bucket_allows_its_burst_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=2.0, burst=3)
    assert [bucket.reserve_ns(0) for _ in range(4)] == [0, 0, 0, NS_PER_SECOND // 2]
    assert bucket.reserve_ns(100 * NS_PER_SECOND) == 0
