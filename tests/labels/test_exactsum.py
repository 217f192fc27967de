from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.features.fixedpoint import LN2_FIXED, rv_bps
from volspike.labels.exactsum import prefix_squares, stretch_words, words_to_ints, words_to_rv_bps

returns = st.lists(
    st.one_of(
        st.integers(-(2**20), 2**20),
        st.integers(-2 * LN2_FIXED, 2 * LN2_FIXED),
        st.sampled_from((0, 2**32, 2**32 - 1, -(2**62), 2**63 - 1, -(2**63 - 1))),
    ),
    max_size=40,
)


@given(returns, st.data())
@settings(max_examples=100, deadline=None)
def test_sums_equal_python_integers(q: list[int], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(q)))
    stop = data.draw(st.integers(start, len(q)))
    words = stretch_words(
        prefix_squares(np.array(q, np.int64)), np.array([start, 0]), np.array([stop, len(q)])
    )
    expected = [sum(x * x for x in q[start:stop]), sum(x * x for x in q)]
    assert words_to_ints(words) == expected
    assert words_to_rv_bps(words).tolist() == [rv_bps(total) for total in expected]


def test_four_hours_of_the_largest_returns_do_not_overflow() -> None:
    q = np.full(14_400, 2 * LN2_FIXED, np.int64)
    words = stretch_words(prefix_squares(q), np.array([0]), np.array([14_400]))
    assert words_to_ints(words) == [14_400 * 4 * LN2_FIXED**2]
    assert words_to_rv_bps(words)[0] == rv_bps(14_400 * 4 * LN2_FIXED**2)
