"""volspike's own rows: nothing is found in them, and each leak that is planted is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from label_streams import Event, at, feature_table

from volspike.evaluation.leaks.examine import examine_own
from volspike.evaluation.leaks.recompute import features_recomputed, labels_recomputed
from volspike.features.sets import get_feature_set
from volspike.features.table import FeatureTable
from volspike.labels.dataset import Dataset, build_dataset
from volspike.labels.splits import Split, chronological_split
from volspike.labels.tau import TauSpec

HOURS = 1.2
FIXED = TauSpec("fixed", 0.9)


def stream(seed: int) -> list[Event]:
    """Return a market of calm and wild minutes with a break half way."""
    rng = np.random.default_rng(seed)
    seconds = np.cumsum(rng.exponential(1.0, int(HOURS * 3_600)))
    wild = np.repeat(rng.lognormal(0.0, 0.8, len(seconds) // 200 + 1), 200)[: len(seconds)]
    mids = 12_000_000 + np.cumsum(np.rint(rng.normal(0.0, 300.0, len(seconds)) * wild)).astype(np.int64)
    broken = seconds[len(seconds) // 2]
    since = [at(0.0) if second < broken else at(float(broken)) for second in seconds]
    return [Event(at(float(s)), c, int(m)) for s, c, m in zip(seconds, since, mids, strict=True)]


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    return feature_table(stream(3))


@pytest.fixture(scope="module")
def dataset(table: FeatureTable) -> Dataset:
    return build_dataset([table], "rv", FIXED)


@pytest.fixture(scope="module")
def split(dataset: Dataset) -> Split:
    return chronological_split(dataset)


def failed(table: FeatureTable, dataset: Dataset, split: Split) -> set[str]:
    found = examine_own(table, dataset, split)
    return {name for name, finding in found.items() if finding.status == "leak"}


@pytest.mark.parametrize("seed", [4, 5, 6])
@pytest.mark.parametrize("target", ["rv", "std"])
def test_invariant_09_no_leak_is_found_in_honest_rows(seed: int, target: str) -> None:
    table = feature_table(stream(seed))
    dataset = build_dataset([table], target, FIXED)
    found = examine_own(table, dataset, chronological_split(dataset))
    assert {name: f.words for name, f in found.items() if f.status == "leak"} == {}
    assert (
        found["shared_ticks"].status == found["causality"].status == found["past_of_label"].status == "clean"
    )


def test_invariant_02_a_feature_that_reads_a_tick_ahead_is_found(
    table: FeatureTable, dataset: Dataset, split: Split
) -> None:
    ahead = np.roll(table.values, -1, axis=0)
    for column in range(table.values.shape[1]):
        values = table.values.copy()
        values[:, column] = ahead[:, column]
        planted = replace(table, values=values)
        assert features_recomputed(planted, build_dataset([planted], "rv", FIXED)).status == "leak", column
    assert features_recomputed(table, dataset).status == "clean"


@pytest.mark.parametrize("name", ["har_bps", "z", "tau_bps", "rv_bps", "mid"])
def test_invariant_02_state_that_reads_ahead_is_found(
    table: FeatureTable, dataset: Dataset, name: str
) -> None:
    values = getattr(dataset, name)
    finding = features_recomputed(table, replace(dataset, **{name: np.roll(values, -30, axis=0) * 1.01}))
    assert finding.status == "leak"
    assert name in finding.words


def test_the_next_row_as_a_target_is_found_thrice(table: FeatureTable) -> None:
    dataset = build_dataset([table], "next-row", FIXED)
    found = examine_own(table, dataset, chronological_split(dataset))
    for name in ("shared_ticks", "past_of_label", "persistence"):
        assert found[name].status == "leak", found[name]
    ticks = float(np.mean(table.ticks[table.complete]))
    assert found["shared_ticks"].figure == pytest.approx(1 - 1 / ticks, abs=0.01)
    assert labels_recomputed(table, dataset).figure == 1.0


def test_a_label_that_is_a_feature_is_found(table: FeatureTable, dataset: Dataset, split: Split) -> None:
    now = np.where(np.isnan(dataset.sigma_future_bps), np.nan, dataset.rv_bps)
    spike = np.where(np.isnan(now), -1, now >= np.quantile(dataset.rv_bps, 0.9)).astype(np.int8)
    planted = replace(dataset, sigma_future_bps=now, spike=spike)
    assert "present_feature" in failed(table, planted, split)


def test_repeated_rows_are_found(table: FeatureTable, dataset: Dataset, split: Split) -> None:
    twice = table.take(np.sort(np.concatenate((np.arange(len(table)), np.arange(0, len(table), 20)))))
    assert "duplicates" in failed(twice, dataset, split)


def test_invariant_04_a_label_over_a_break_is_found(
    table: FeatureTable, dataset: Dataset, split: Split
) -> None:
    last = np.flatnonzero(np.diff(dataset.run))
    assert len(last) == 1
    spike, sigma = dataset.spike.copy(), dataset.sigma_future_bps.copy()
    spike[last], sigma[last] = 0, 1.0
    assert failed(table, replace(dataset, spike=spike, sigma_future_bps=sigma), split) == {"breaks"}


def test_event_time_as_a_feature_is_found(table: FeatureTable, dataset: Dataset, split: Split) -> None:
    values = table.values.copy()
    values[:, 2] = table.event_ns.astype(np.float64)
    assert "clock" in failed(replace(table, values=values), dataset, split)


def test_rows_of_test_among_those_of_training_are_found(
    table: FeatureTable, dataset: Dataset, split: Split
) -> None:
    order = np.random.default_rng(0).permutation(len(dataset))
    shuffled = replace(split, fit=np.sort(order[len(split.test) :]), test=np.sort(order[: len(split.test)]))
    assert failed(table, dataset, shuffled) == {"shuffle"}


@pytest.mark.parametrize("seconds", [125, 200, 400])
def test_thin_rows_are_examined_and_nothing_is_made_up(seconds: int) -> None:
    events = [event for event in stream(7) if event.event_ns <= at(float(seconds))]
    table = feature_table(events)
    dataset = build_dataset([table], "rv", FIXED, fixed_tau_bps=5.0)
    found = examine_own(table, dataset, chronological_split(dataset))
    assert {name: f.words for name, f in found.items() if f.status == "leak"} == {}
    assert found["clock"].status == found["persistence"].status == "can't tell"


@pytest.mark.parametrize("name", ["core-sized", "flow", "trade"])
def test_sizes_and_trades_that_are_not_stored_are_left_out_of_the_proof(
    table: FeatureTable, name: str
) -> None:
    added = len(get_feature_set(name).columns) - table.values.shape[1]
    values = np.hstack((table.values, np.full((len(table), added), 0.25)))
    sized = replace(table, feature_set=name, values=values)
    finding = features_recomputed(sized, build_dataset([sized], "rv", FIXED))
    assert finding.status == "clean"
    assert "are left out" in finding.words
