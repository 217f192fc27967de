from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from volspike.monitoring.feature_watch import FeatureVerdict, watch_features

BLOCK = 400


def process(a: float, rows: int, columns: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(rows + int(20 / (1 - a)), columns))
    return lfilter([np.sqrt(1 - a * a)], [1.0, -a], noise, axis=0)[-rows:]


def watch(
    values: np.ndarray, block: int = BLOCK, names: tuple[str, ...] = (), **settings: float
) -> FeatureVerdict:
    """Judge the last block of rows a second against all rows before it."""
    second = 1_000_000 + np.arange(len(values), dtype=np.int64)
    cut = len(values) - block
    names = names or tuple(f"c{i}" for i in range(values.shape[1]))
    return watch_features(second[:cut], values[:cut], second[cut:], values[cut:], names, **settings)


def test_what_has_not_changed_raises_alarms_at_the_stated_rate() -> None:
    runs = 150
    found = [watch(process(0.9, 20 * BLOCK, 2, seed)) for seed in range(runs)]
    assert {verdict.false_alarm_rate for verdict in found} == {0.05}
    assert {verdict.blocks for verdict in found} == {19}
    rate = np.mean([verdict.alarm for verdict in found])
    assert rate <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("change", [lambda x: 2.0 * x, lambda x: x + 1.0], ids=["scale", "mean"])
def test_what_has_changed_is_found_and_named(change) -> None:
    values = process(0.9, 20 * BLOCK, 3, 1)
    values[-BLOCK:, 1] = change(values[-BLOCK:, 1])
    verdict = watch(values, names=("calm", "changed", "still"))
    assert verdict.alarm
    assert verdict.score is not None
    assert verdict.threshold is not None
    assert verdict.score > verdict.threshold
    assert [column.drifted for column in verdict.columns] == [False, True, False]
    assert verdict.words.startswith("drift in changed (")
    assert verdict.p_value == 0.05


def test_the_rate_follows_the_blocks_and_what_is_asked_for() -> None:
    values = process(0.5, 60 * BLOCK, 1, 1)
    assert watch(values).false_alarm_rate == pytest.approx(3 / 60)
    assert watch(values, alpha=0.2).false_alarm_rate == pytest.approx(12 / 60)
    assert watch(values[-12 * BLOCK :]).false_alarm_rate == pytest.approx(1 / 12)


def test_with_too_few_blocks_there_is_no_alarm() -> None:
    values = process(0.5, 9 * BLOCK, 1, 1)
    values[-BLOCK:] += 10.0
    verdict = watch(values)
    assert (verdict.alarm, verdict.score, verdict.false_alarm_rate, verdict.blocks) == (False, None, None, 8)
    assert verdict.words.startswith("not enough data (8 blocks of")
    assert verdict.columns[0].status == "not enough data"


def test_a_column_that_remembers_longer_than_half_a_block_has_no_part_and_says_what_it_needs() -> None:
    values = process(0.9, 20 * BLOCK, 2, 2)
    values[:, 1] = process(0.999, 20 * BLOCK, 1, 3)[:, 0] + np.linspace(0.0, 5.0, len(values))
    verdict = watch(values)
    assert [column.status for column in verdict.columns] == ["judged", "too slow"]
    assert not verdict.alarm
    slow = verdict.columns[1]
    assert slow.correlation_s is not None
    assert slow.correlation_s > BLOCK / 2
    least, good = (f"{slow.correlation_s / frac / 3_600:.3g} h" for frac in (0.5, 0.1))
    assert f"a part from a window of {least} on, and small changes show from {good} on" in slow.words
    assert "1 can't be judged" in verdict.words
    somewhat = watch(process(0.97, 20 * BLOCK, 1, 4)).columns[0]
    assert somewhat.status == "judged"
    assert somewhat.words.startswith("slow: only a large change shows")


def bad_columns(rows: int) -> dict[str, np.ndarray]:
    one = np.full(rows, np.nan)
    one[-1] = 1.0
    rare = np.zeros(rows)
    rare[0] = 1.0
    constant_now = np.random.default_rng(1).normal(size=rows)
    constant_now[-BLOCK:] = 3.0
    return {
        "constant": np.ones(rows),
        "nan": np.full(rows, np.nan),
        "one value": one,
        "rare": rare,
        "constant now": constant_now,
        "infinite": np.full(rows, np.inf),
        "new": np.where(np.arange(rows) >= rows - BLOCK, np.arange(rows), np.nan),
        "gone": np.where(np.arange(rows) < rows - BLOCK, np.arange(rows), np.nan),
        "stepped": np.where(np.arange(rows) >= rows - BLOCK, 5.0, 0.0),
    }


def test_faults_44_a_bad_column_is_not_enough_data_and_spoils_nothing() -> None:
    rows = 20 * BLOCK
    bad = bad_columns(rows)
    good = process(0.9, rows, 1, 5)
    alone = watch(good, names=("good",))
    verdict = watch(np.column_stack([*bad.values(), good]), names=(*bad, "good"))
    assert {c.name: c.status for c in verdict.columns} == dict.fromkeys(bad, "not enough data") | {
        "good": "judged"
    }
    assert (verdict.score, verdict.alarm) == (alone.score, alone.alarm)
    only = watch(np.column_stack([*bad.values()]), names=tuple(bad))
    assert not only.alarm
    assert only.words == "not enough data (no column can be judged)"


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_faults_44_empty_and_one_row_windows_are_not_enough_data(rows: int) -> None:
    values = process(0.5, 20 * BLOCK, 2, 6)
    second = np.arange(len(values), dtype=np.int64)
    names = ("a", "b")
    for verdict in (
        watch_features(second, values, 20 * BLOCK + second[:rows], values[:rows], names),
        watch_features(second[:rows], values[:rows], 20 * BLOCK + second, values, names),
        watch_features(second[:0], values[:0], second[:rows], values[:rows], names),
    ):
        assert not verdict.alarm
        assert verdict.words.startswith("not enough data")
        assert [column.status for column in verdict.columns] == ["not enough data"] * 2


def test_blocks_are_as_long_as_the_window_and_those_with_holes_are_left_out() -> None:
    values = process(0.5, 20 * BLOCK, 1, 7)
    second = np.arange(len(values), dtype=np.int64)
    kept = np.ones(len(values), bool)
    kept[5 * BLOCK : 6 * BLOCK - 100] = False  # of one block a quarter is left
    kept[9 * BLOCK : 9 * BLOCK + 100] = False  # of another three quarters
    cut = 19 * BLOCK
    reference = kept[:cut]
    verdict = watch_features(
        second[:cut][reference], values[:cut][reference], second[cut:], values[cut:], ("a",)
    )
    assert (verdict.blocks, verdict.block_s) == (18, BLOCK)


@settings(max_examples=20)
@given(st.integers(0, 1_000), st.floats(0.1, 1e3), st.floats(-1e3, 1e3))
def test_a_unit_changes_nothing(seed: int, scale: float, shift: float) -> None:
    values = np.round(process(0.8, 12 * 100, 2, seed), 3)
    first, second = watch(values, 100), watch(scale * values + shift, 100)
    assert (first.alarm, first.p_value) == (second.alarm, second.p_value)


def test_the_verdict_can_be_written_as_json() -> None:
    told = json.loads(json.dumps(watch(process(0.5, 12 * BLOCK, 2, 8)).as_dict()))
    assert told["alarm"] in (True, False)
    assert [column["name"] for column in told["columns"]] == ["c0", "c1"]


def test_a_gap_in_the_current_window_raises_no_alarms_by_itself() -> None:
    """Of every block the same parts of its time are looked at."""
    runs, gap = 150, slice(-BLOCK * 4 // 5, -BLOCK // 5)
    alarms = []
    for seed in range(runs):
        values = process(0.5, 20 * BLOCK, 1, seed)
        second = 1_000_000 + np.arange(len(values), dtype=np.int64)
        current = np.delete(np.arange(len(values)), np.arange(len(values))[gap])[19 * BLOCK :]
        cut = slice(0, 19 * BLOCK)
        verdict = watch_features(second[cut], values[cut], second[current], values[current], ("c0",))
        assert verdict.false_alarm_rate == 0.05
        alarms.append(verdict.alarm)
    assert np.mean(alarms) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


def test_blocks_that_lack_a_column_count_for_none_and_too_many_leave_the_column_out() -> None:
    values = process(0.5, 20 * BLOCK, 2, 1)
    values[3 * BLOCK : 4 * BLOCK, 0] = np.nan
    one = watch(values)
    assert (one.blocks, one.false_alarm_rate) == (18, 1 / 19)
    assert [column.status for column in one.columns] == ["judged", "judged"]
    values[: 10 * BLOCK, 0] = np.nan
    half = watch(values)
    assert (half.blocks, half.false_alarm_rate) == (19, 1 / 20)
    assert [column.status for column in half.columns] == ["not enough data", "judged"]
    assert half.columns[0].words == "not enough data: 9 of 19 blocks of the reference have 30 values"
