"""Closed seconds for the regime tests: random ones with breaks and holes, and steady ones by hand."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from volspike.features.fixedpoint import LN2_FIXED
from volspike.features.grid import ClosedSecond, SecondArrays
from volspike.features.regime.columns import REGIME
from volspike.features.regime.state import RegimeState

START_S = 1_700_000_000
BP = round(1e-4 * 2**60)  # one basis point as a return


@dataclass(frozen=True)
class Kind:
    """What a stream is like: violent ones have the largest returns there can be."""

    seed: int = 0
    seconds: int = 400
    break_frac: float = 0.01
    longest_hole_s: int = 30
    still_frac: float = 0.5
    violent_frac: float = 0.0
    move: int = BP


kinds = st.builds(
    Kind,
    seed=st.integers(0, 2**32),
    seconds=st.one_of(st.integers(1, 1_200), st.just(2_500)),
    break_frac=st.sampled_from([0.0, 0.01, 0.05, 0.3]),
    longest_hole_s=st.sampled_from([1, 5, 30, 900, 90_000]),
    still_frac=st.sampled_from([0.0, 0.5, 0.98, 1.0]),
    violent_frac=st.sampled_from([0.0, 0.01, 1.0]),
    move=st.sampled_from([1, 2**13, BP, 100 * BP]),
)


def closed_seconds(kind: Kind) -> list[ClosedSecond]:
    """Return the closed seconds of one seeded stream; a break leaves a hole, or none but for its return."""
    rng = random.Random(kind.seed)
    second, run, found = START_S + rng.randrange(100_000), 0, []
    for i in range(kind.seconds):
        second += 1
        first = i == 0
        if i and rng.random() < kind.break_frac:
            second += rng.randrange(kind.longest_hole_s)
            run, first = run + 1, True
        found.append(ClosedSecond(second, None if first else _return(rng, kind), run, 20_000))
    return found


def _return(rng: random.Random, kind: Kind) -> int:
    if rng.random() < kind.violent_frac:
        return rng.choice((-1, 1)) * 2 * LN2_FIXED
    if rng.random() < kind.still_frac:
        return 0
    return rng.randrange(-kind.move, kind.move + 1) + rng.randrange(-kind.move, kind.move + 1)


def run_of(q: Sequence[int], first_second: int = START_S, run: int = 0) -> list[ClosedSecond]:
    """Return a covered run with the given returns; its first second, which has none, comes before them."""
    begin = ClosedSecond(first_second, None, run, 20_000)
    return [begin, *(ClosedSecond(first_second + 1 + i, each, run, 20_000) for i, each in enumerate(q))]


def arrays_of(closed: Sequence[ClosedSecond]) -> SecondArrays:
    """Return closed seconds in the form a stored stream has."""
    return SecondArrays(
        np.array([each.second for each in closed], np.int64),
        np.array([each.q or 0 for each in closed], np.int64),
        np.array([each.q is not None for each in closed], np.bool_),
        np.array([each.run for each in closed], np.int32),
        np.array([each.mid_sum for each in closed], np.int64),
        np.zeros(0, np.int32),
    )


def state_of(closed: Iterable[ClosedSecond]) -> RegimeState:
    """Return a fresh state that has been fed."""
    state = RegimeState()
    for each in closed:
        state.add(each)
    return state


def online(closed: Sequence[ClosedSecond], state: RegimeState | None = None) -> list[tuple[float, ...]]:
    """Return the values at the end of each closed second."""
    state = RegimeState() if state is None else state
    found = []
    for each in closed:
        state.add(each)
        found.append(state.values(each.second))
    return found


def seconds_of(closed: Sequence[ClosedSecond]) -> np.ndarray:
    return np.array([each.second for each in closed], np.int64)


def named(values: Sequence[float]) -> dict[str, float]:
    """Return values by the names of their columns."""
    return dict(zip(REGIME.names, values, strict=True))


def changed(closed: Sequence[ClosedSecond], q: int) -> list[ClosedSecond]:
    """Return closed seconds with every return put in place by another."""
    return [each if each.q is None else each._replace(q=q) for each in closed]
