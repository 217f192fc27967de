"""Walk forward: what a fold knows ends five minutes before its test rows, and its tau is its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candle_tables import DAY, FIRST, random_table
from volspike.errors import NotEnoughDataError
from volspike.evaluation.walk_forward import CHAMPION, REFERENCE, WalkForward, folds, walk_forward
from volspike.evaluation.walk_report import describe_trainings, report_walk
from volspike.labels.candles import candle_dataset
from volspike.labels.dataset import Dataset, fixed_tau, with_fixed_tau_of
from volspike.labels.splits import PURGE_S, Split, reach_ns
from volspike.labels.targets import HORIZON_S
from volspike.labels.tau import TauSpec
from volspike.models.adaptive_band import adapted
from volspike.models.calibration import ScoredRows
from volspike.models.settings import TrainSettings
from volspike.models.train import TrainResult, train

NS = 1_000_000_000
MINUTE_NS = 60 * NS
ORIGIN_NS = FIRST * MINUTE_NS
SETTINGS = TrainSettings(rounds=10, patience=5, learning_rate=0.3)
EVERY_S = 12 * 3600
FROM_NS, UNTIL_NS = ORIGIN_NS + 2 * DAY * MINUTE_NS, ORIGIN_NS + 3 * DAY * MINUTE_NS + 2 * 3600 * NS
READ = ("features", "rv_bps", "mid", "har_bps", "tau_bps", "sigma_future_bps")


def trained(rows: Dataset, split: Split) -> TrainResult:
    return train(rows, split, SETTINGS)


def quiet(_words: str) -> None:
    return


def walked(dataset: Dataset, **given_: int) -> WalkForward:
    span = {"from_ns": FROM_NS, "until_ns": UNTIL_NS, "every_s": EVERY_S} | given_
    return walk_forward(dataset, train=trained, say=quiet, **span)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return three days and a half of candles under a fixed tau, so that each fold has to find its own."""
    table = random_table(14, 3 * DAY + DAY // 2, hole_rate=0.01)
    swing = np.exp(0.5 * np.sin(table.minute / 300.0))
    wilder = {"high": table.low + (table.high - table.low) * swing * 2.0}
    return candle_dataset(replace(table, **wilder), TauSpec(mode="fixed", quantile=0.9))


@pytest.fixture(scope="module")
def whole(dataset: Dataset) -> WalkForward:
    return walked(dataset)


times = st.lists(st.integers(0, 5_000), min_size=1, max_size=300, unique=True).map(sorted)


@given(
    times, st.integers(0, 4_000), st.integers(1, 4_000), st.integers(1, 1_500), st.sampled_from((0, 7, 300))
)
@settings(max_examples=60, deadline=None)
def test_folds_tile_the_span_and_train_on_what_was_over_before_them(
    seconds: list[int], from_s: int, span_s: int, every_s: int, purge_s: int
) -> None:
    event_ns = np.array(seconds, np.int64) * NS + 500_000_000
    from_ns, until_ns = from_s * NS, (from_s + span_s) * NS
    found = list(folds(event_ns, from_ns, until_ns, every_s, purge_s))
    tested = np.concatenate([np.zeros(0, np.int64), *(split.test for split in found)])
    assert tested.tolist() == np.flatnonzero((event_ns >= from_ns) & (event_ns < until_ns)).tolist()
    for split in found:
        assert 10 * int(event_ns[split.test[-1]] - event_ns[split.test[0]]) < 11 * every_s * NS
        start_ns = from_ns + int(event_ns[split.test[0]] - from_ns) // (every_s * NS) * every_s * NS
        parts = [part for _, part in split.parts()]
        known = np.concatenate(parts[:3])
        ends_ns = (-(-event_ns[known] // NS) + HORIZON_S + purge_s) * NS
        assert (ends_ns <= start_ns).all()
        order = np.concatenate(parts)
        assert (np.diff(order) > 0).all()
        for before, after in pairwise(parts[:3]):
            if len(before) and len(after):
                assert reach_ns(event_ns[before], PURGE_S).max() <= event_ns[after[0]]
        assert split.purged == split.test[0] - len(known)
        assert split.boundaries_ns[2] == event_ns[split.test[0]]


def test_the_rows_are_those_of_the_span_each_in_its_fold(dataset: Dataset, whole: WalkForward) -> None:
    expected = dataset.event_ns[(dataset.event_ns >= FROM_NS) & (dataset.event_ns < UNTIL_NS)]
    assert whole.rows.event_ns.tolist() == expected.tolist()
    assert whole.fold.tolist() == ((expected - FROM_NS) // (EVERY_S * NS)).tolist()
    assert set(whole.fold.tolist()) == {0, 1, 2}
    assert len(whole.chosen) == 3
    for name, scored in whole.models.items():
        assert all(len(column) == len(expected) for column in scored), name
    assert set(whole.models) >= {"zscore", "logistic", "xgboost", "blend", CHAMPION, REFERENCE}
    assert "rule:persistence" in whole.models
    assert set(whole.open_at) == {"zscore", "logistic", "xgboost", "blend", CHAMPION}


def test_champion_and_reference_are_what_each_fold_chose(whole: WalkForward) -> None:
    for number, (champion, reference) in enumerate(whole.chosen):
        rows = whole.fold == number
        for served, chosen in ((CHAMPION, champion), (REFERENCE, f"rule:{reference}")):
            ours, theirs = whole.models[served].p_spike[rows], whole.models[chosen].p_spike[rows]
            assert ours.tobytes() == theirs.tobytes()
        assert whole.open_at[CHAMPION][rows].tolist() == whole.open_at[champion][rows].tolist()


def test_each_fold_has_a_fixed_tau_of_its_own_and_the_rows_carry_it(
    dataset: Dataset, whole: WalkForward
) -> None:
    taus = []
    for number, split in enumerate(folds(dataset.event_ns, FROM_NS, UNTIL_NS, EVERY_S)):
        rows = whole.fold == number
        labelled = split.fit[dataset.unlabelled[split.fit] == 0]
        mid = float(np.median(dataset.mid[split.fit]))
        tau = fixed_tau(dataset.sigma_future_bps[labelled], dataset.tau, mid, dataset.increment)
        assert set(whole.rows.tau_bps[rows].tolist()) == {tau}
        assert whole.rows.spike[rows].tolist() == [
            -1 if np.isnan(sigma) else int(sigma >= tau) for sigma in whole.rows.sigma_future_bps[rows]
        ]
        taus.append(tau)
    assert len(set(taus)) == 3


def test_the_report_gives_the_fixed_taus_of_the_folds_and_not_that_of_later_rows(
    dataset: Dataset, whole: WalkForward
) -> None:
    taus = [float(whole.rows.tau_bps[whole.fold == number][0]) for number in range(3)]
    tau = report_walk(whole)[0].tau
    assert (tau["fixed_low_bps"], tau["fixed_bps"], tau["fixed_high_bps"]) == tuple(sorted(taus))
    assert tau["fixed_bps"] != dataset.fixed_tau_bps
    assert [fold["fixed_bps"] for fold in describe_trainings(whole)["folds"]] == taus


def test_the_band_of_a_fold_is_the_one_that_serving_it_would_have_recorded(whole: WalkForward) -> None:
    moved = 0
    for number in range(3):
        here = np.flatnonzero(whole.fold == number)
        rows, scored = whole.rows.rows(here), whole.models["logistic"]
        ratios = np.log(scored.sigma_high_bps[here] / scored.sigma_bps[here])
        own = ScoredRows(*(column[here] for column in scored))
        # Each training begins at the band of its own; the outcomes of the fold move it from there.
        high = scored.sigma_bps[here] * np.exp(ratios[0])
        low = scored.sigma_bps[here] * scored.sigma_low_bps[here][0] / scored.sigma_bps[here][0]
        served = adapted(own._replace(sigma_low_bps=low, sigma_high_bps=high), rows).scored
        np.testing.assert_allclose(served.sigma_high_bps, own.sigma_high_bps, rtol=1e-9)
        np.testing.assert_allclose(served.sigma_low_bps, own.sigma_low_bps, rtol=1e-9)
        moved += len(np.unique(ratios.round(9)))
    assert moved > 100


def test_thin_folds_say_not_enough_data_and_which_model_is_missing_why(dataset: Dataset) -> None:
    calm = dataset.sigma_future_bps.copy()
    early = dataset.event_ns < ORIGIN_NS + DAY * MINUTE_NS
    calm[early & np.isfinite(calm)] = 3.0  # under any tau but that of rows that are all alike
    quiet_start = replace(
        dataset, tau=TauSpec(), tau_adaptive=np.ones(len(dataset), np.bool_), sigma_future_bps=calm
    )
    spike = np.where(dataset.spike < 0, -1, calm >= quiet_start.tau_bps).astype(np.int8)
    walk = walked(
        replace(quiet_start, spike=np.where(early & (spike == 1), 0, spike).astype(np.int8)),
        from_ns=ORIGIN_NS + DAY * MINUTE_NS // 2,
        until_ns=ORIGIN_NS + 2 * DAY * MINUTE_NS + DAY * MINUTE_NS // 2,
        every_s=DAY * 60,
    )
    said = describe_trainings(walk)
    assert set(said["not_fitted"]) == {"logistic", "xgboost", "blend"}
    assert "not enough data: the fit slice has no spike" in said["not_fitted"]["logistic"]
    assert "(the like in 1 of 2 folds)" in said["not_fitted"]["logistic"]
    assert "the simplest one to trust: tune has not enough data" in said["champion_reason"]
    assert [fold["enough_data"] for fold in said["folds"]] == [False, False]
    evaluation, _ = report_walk(walk)
    assert set(evaluation.notes) == {"zscore", CHAMPION}
    assert all(any("fit: not enough data" in note for note in notes) for notes in evaluation.notes.values())


def test_adaptive_rows_keep_their_tau() -> None:
    adaptive = candle_dataset(random_table(4, 600), TauSpec(quantile=0.9, floor_bps=0.5))
    fit = np.arange(100, 400)
    found = with_fixed_tau_of(adaptive, fit)
    assert 0 < (~adaptive.tau_adaptive).sum() < len(adaptive)
    assert found.tau_bps[adaptive.tau_adaptive].tolist() == adaptive.tau_bps[adaptive.tau_adaptive].tolist()
    assert set(found.tau_bps[~adaptive.tau_adaptive].tolist()) == {found.fixed_tau_bps}
    assert found.fixed_tau_bps != adaptive.fixed_tau_bps
    assert found.sha256 != adaptive.sha256


def spoiled(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """Return the dataset with all that is read of these rows turned upside down."""
    factor = np.ones(len(dataset))
    factor[rows] = 1.9
    arrays = {name: (getattr(dataset, name).T * factor).T for name in READ}
    spike = dataset.spike.copy()
    spike[rows] = np.where(spike[rows] >= 0, 1 - spike[rows], spike[rows])
    return replace(dataset, **arrays, z=dataset.z - (factor - 1.0), spike=spike)


def test_invariant_09_the_fixed_tau_of_a_fold_reads_its_fit_rows_alone(dataset: Dataset) -> None:
    fit = np.arange(200, 900)
    others = np.setdiff1d(np.arange(len(dataset)), fit)
    assert with_fixed_tau_of(spoiled(dataset, others), fit).fixed_tau_bps == (
        with_fixed_tau_of(dataset, fit).fixed_tau_bps
    )
    assert with_fixed_tau_of(spoiled(dataset, fit), fit).fixed_tau_bps != (
        with_fixed_tau_of(dataset, fit).fixed_tau_bps
    )


def test_a_rest_of_less_than_a_tenth_of_a_fold_goes_to_the_fold_before() -> None:
    event_ns = np.arange(100, dtype=np.int64) * NS
    counts = [
        [len(split.test) for split in folds(event_ns, 20 * NS, until * NS, 30, 0)]
        for until in (81, 82, 83, 21)
    ]
    assert counts == [[30, 31], [30, 32], [30, 30, 3], [1]]


def test_a_model_that_a_fold_lacks_is_named_with_the_fold_and_the_reason(dataset: Dataset) -> None:
    def calm_at_first(rows: Dataset, split: Split) -> TrainResult:
        if int(rows.event_ns[split.test[0]]) > FROM_NS + EVERY_S * NS // 2:
            return trained(rows, split)
        calm = np.where(rows.spike >= 0, 0, rows.spike).astype(np.int8)
        return trained(replace(rows, spike=calm), split)

    walk = walk_forward(dataset, FROM_NS, FROM_NS + 2 * EVERY_S * NS, EVERY_S, train=calm_at_first, say=quiet)
    assert set(walk.open_at) == {"zscore", CHAMPION}
    assert set(walk.left_out) == {"logistic", "xgboost", "blend", "log-har-logit"}
    for reason in walk.left_out.values():
        assert reason.startswith("fold 1 of 2: not enough data: the fit slice has")


@pytest.mark.parametrize("fold", [0, 1])
def test_invariant_09_what_begins_too_late_changes_no_prediction_of_a_fold(
    dataset: Dataset, whole: WalkForward, fold: int
) -> None:
    """Every row is spoiled whose label and the purge behind it reach the fold's test rows, but for those."""
    start_ns = FROM_NS + fold * EVERY_S * NS
    late = reach_ns(dataset.event_ns, PURGE_S) > start_ns
    mine = (dataset.event_ns >= start_ns) & (dataset.event_ns < start_ns + EVERY_S * NS)
    assert 0 < np.count_nonzero(late & (dataset.event_ns < start_ns)) <= 7
    again = walked(
        spoiled(dataset, np.flatnonzero(late & ~mine)),
        from_ns=start_ns,
        until_ns=start_ns + EVERY_S * NS,
    )
    assert again.chosen == (whole.chosen[fold],)
    rows = whole.fold == fold
    for name, scored in again.models.items():
        for ours, theirs in zip(scored, whole.models[name], strict=True):
            assert ours.tobytes() == theirs[rows].tobytes(), name
    for name, opens in again.open_at.items():
        assert opens.tolist() == whole.open_at[name][rows].tolist()
    # One row earlier is trained on.
    last_known = int(np.flatnonzero(~late & (dataset.spike >= 0))[-1])
    other = walked(
        spoiled(dataset, np.array([last_known])), from_ns=start_ns, until_ns=start_ns + EVERY_S * NS
    )
    assert other.models["logistic"].p_spike.tobytes() != again.models["logistic"].p_spike.tobytes()


def test_labels_of_the_tested_rows_change_no_prediction(dataset: Dataset, whole: WalkForward) -> None:
    tested = np.flatnonzero(dataset.event_ns >= FROM_NS + EVERY_S * NS)
    sigma = dataset.sigma_future_bps.copy()
    sigma[tested] *= 3.0
    again = walked(replace(dataset, sigma_future_bps=sigma), until_ns=FROM_NS + 2 * EVERY_S * NS)
    first = whole.fold == 0
    second = whole.fold == 1
    for name, scored in again.models.items():
        assert scored.p_spike[again.fold == 0].tobytes() == whole.models[name].p_spike[first].tobytes()
        assert scored.p_spike[again.fold == 1].tobytes() == whole.models[name].p_spike[second].tobytes()
    assert again.rows.spike[again.fold == 1].mean() > whole.rows.spike[second].mean()


def test_invariant_10_the_same_walk_gives_the_same_bytes(dataset: Dataset, whole: WalkForward) -> None:
    again = walked(dataset, until_ns=FROM_NS + EVERY_S * NS)
    rows = whole.fold == 0
    for name, scored in again.models.items():
        assert scored.p_spike.tobytes() == whole.models[name].p_spike[rows].tobytes()


def test_nothing_to_test_or_to_train_on_is_not_enough_data(dataset: Dataset) -> None:
    end_ns = int(dataset.event_ns[-1])
    with pytest.raises(NotEnoughDataError, match="no row in the span"):
        walked(dataset, from_ns=end_ns + NS, until_ns=end_ns + EVERY_S * NS)
    with pytest.raises(NotEnoughDataError, match="no labelled row in 0 rows of fit"):
        walked(dataset, from_ns=ORIGIN_NS, until_ns=UNTIL_NS)
