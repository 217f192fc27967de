from __future__ import annotations

import numpy as np

from graded_rows import START_S, assert_same, plain_blocks, rows_of, tell
from volspike.monitoring.graded import empty_rows, join_rows

ROWS = join_rows(
    [rows_of(rows) for _, rows in sorted(plain_blocks(tell("BTC-USD", 1, 9_000, every_s=2.0)).items())]
)


def test_of_each_ten_seconds_the_first_row_is_left() -> None:
    thin = ROWS.thinned(10)
    seen: dict[int, int] = {}
    for second in ROWS.second.tolist():
        seen.setdefault(second // 10, second)
    assert thin.second.tolist() == list(seen.values())
    assert len(thin) < len(ROWS) / 2
    assert_same(thin, ROWS.where(np.isin(ROWS.second, thin.second)))
    assert thin.graded.step_s == thin.step_s == 10


def test_which_rows_are_left_does_not_depend_on_what_they_say() -> None:
    other = ROWS.where(np.arange(len(ROWS)) >= 0)
    other.spike[:], other.p[:] = 1, 0.5
    assert other.thinned(10).second.tolist() == ROWS.thinned(10).second.tolist()


def test_what_is_thin_stays_as_it_is_and_parts_keep_their_step() -> None:
    thin = ROWS.thinned(10)
    assert thin.thinned(10) is thin
    assert ROWS.thinned(1) is ROWS
    late = thin.second >= START_S + 3_600
    parts = [thin.where(~late), thin.where(late)]
    assert [part.step_s for part in parts] == [10, 10]
    assert join_rows(parts).step_s == 10
    assert_same(join_rows(parts), thin)
    assert len(empty_rows().thinned(10)) == 0
