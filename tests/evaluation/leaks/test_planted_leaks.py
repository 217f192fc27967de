"""A file without a leak passes; one leak planted in it is found, and found by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted import START_S, Columns, clean, frame, future_std, labels, trailing_std

from volspike.evaluation.leaks.examine import examine
from volspike.evaluation.leaks.finding import Finding
from volspike.pipeline.foreign_features import read_foreign
from volspike.pipeline.foreign_roles import Told

SEEDS = (1, 2)
Plant = Callable[[Columns, np.random.Generator], Columns]


def found(columns: Columns, folder: Path, told: Told = Told()) -> dict[str, Finding]:  # noqa: B008 - frozen
    path = folder / "rows.parquet"
    frame(columns).write_parquet(path)
    return {finding.leak: finding for finding in examine(read_foreign(path, told))}


def leaks(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.status == "leak"}


def time_s(columns: Columns) -> np.ndarray:
    return columns["event_time"] - START_S


def later(values: np.ndarray, count: int) -> np.ndarray:
    """Return each row's value of so many rows later."""
    moved = np.full(len(values), np.nan)
    moved[: len(values) - count] = values[count:]
    return moved


def next_row(columns: Columns, rng: np.random.Generator) -> Columns:
    return columns | {"label": labels(later(columns["return_std"], 1))}


def backward_after_shift(columns: Columns, rng: np.random.Generator) -> Columns:
    """Roll over sixty rows backwards after a shift of one; the column itself is not in the file."""
    returns = pl.Series(np.diff(np.log(columns["mid"]), prepend=np.nan)).shift(-1)
    return columns | {"label": labels(returns.fill_nan(None).rolling_std(60).fill_null(np.nan).to_numpy())}


def present_feature(columns: Columns, rng: np.random.Generator) -> Columns:
    return columns | {"label": labels(columns["return_std"])}


def window_ten_seconds_later(columns: Columns, rng: np.random.Generator) -> Columns:
    """Take the label's minute from 50 s before the row to 10 s after it, which no row nearby holds."""
    time = time_s(columns)
    place = np.minimum(np.searchsorted(time, time + 10.0), len(time) - 1)
    return columns | {"label": labels(np.where(time + 70 < time[-1], columns["return_std"][place], np.nan))}


def centred_window(columns: Columns, rng: np.random.Generator) -> Columns:
    ahead = future_std(time_s(columns), columns["mid"])
    return columns | {"activity": np.nan_to_num(ahead) * rng.lognormal(0.0, 0.1, len(ahead))}


def return_of_the_next_second(columns: Columns, rng: np.random.Generator) -> Columns:
    time, mid = time_s(columns), columns["mid"]
    place = np.minimum(np.searchsorted(time, np.ceil(time) + 1.0, side="right") - 1, len(time) - 1)
    return columns | {"momentum": np.log(mid[place] / mid)}


def smoothed(columns: Columns, rng: np.random.Generator) -> Columns:
    sigma = pl.Series(future_std(time_s(columns), columns["mid"])).fill_nan(None)
    even = sigma.ewm_mean(span=200, ignore_nulls=True).to_numpy()
    return columns | {"label": labels(np.where(sigma.is_null().to_numpy(), np.nan, even))}


def smoothed_volatility(columns: Columns, rng: np.random.Generator) -> Columns:
    sigma = pl.Series(future_std(time_s(columns), columns["mid"])).fill_nan(None)
    even = sigma.rolling_mean(90, min_samples=1).to_numpy()
    even = np.where(sigma.is_null().to_numpy(), np.nan, even)
    return columns | {"label": labels(even), "sigma_future": even}


def tau_of_all_rows(columns: Columns, rng: np.random.Generator) -> Columns:
    return columns | {"label": labels(future_std(time_s(columns), columns["mid"]), known=1.0)}


def volume_as_clock(columns: Columns, rng: np.random.Generator) -> Columns:
    count = len(columns["mid"])
    return columns | {"volume_24h": 9_000 + np.cumsum(rng.normal(0.02, 0.1, count))}


def duplicate_ticks(columns: Columns, rng: np.random.Generator) -> Columns:
    twice = np.sort(
        np.concatenate((np.arange(len(columns["mid"])), rng.integers(0, len(columns["mid"]), 300)))
    )
    return {name: values[twice] for name, values in columns.items()}


def repeated_trades(columns: Columns, rng: np.random.Generator) -> Columns:
    trade_id = np.arange(len(columns["mid"]))
    return columns | {"trade_id": np.where(trade_id % 50 == 7, trade_id - 1, trade_id)}


def shuffled_parts(columns: Columns, rng: np.random.Generator) -> Columns:
    return columns | {"split": np.where(rng.random(len(columns["mid"])) < 0.7, "train", "test")}


def label_over_a_gap(columns: Columns, rng: np.random.Generator) -> Columns:
    time = time_s(columns)
    kept = (time < 4_000.0) | (time > 4_300.0)
    return {name: values[kept] for name, values in columns.items()}


def counted_by_receipt(columns: Columns, rng: np.random.Generator) -> Columns:
    """Let the line stall for up to half a minute now and then."""
    stall = np.repeat(rng.exponential(4.0, len(columns["mid"]) // 40 + 1), 40)[: len(columns["mid"])]
    received = np.maximum.accumulate(columns["event_time"] + stall)
    first = np.searchsorted(received, received - 60.0, side="right")
    count = np.arange(len(received)) - first + 1
    return columns | {"received_at": received, "intensity": count / 60.0}


def receipt_alone(columns: Columns, rng: np.random.Generator) -> Columns:
    return {"received_at": columns["event_time"]} | {k: v for k, v in columns.items() if k != "event_time"}


# The leak that must be named, and others that may follow from it.
PLANTED: list[tuple[Plant, str, set[str]]] = [
    (next_row, "next-row label", {"too easy a label", "smoothed label"}),
    (backward_after_shift, "next-row label", {"too easy a label", "smoothed label"}),
    (present_feature, "label is a feature", {"too easy a label", "smoothed label"}),
    (window_ten_seconds_later, "too easy a label", {"smoothed label"}),
    (centred_window, "feature reads ahead", {"too easy a label"}),
    (return_of_the_next_second, "feature reads ahead", set()),
    (smoothed, "smoothed label", {"too easy a label"}),
    (smoothed_volatility, "smoothed label", {"too easy a label"}),
    (tau_of_all_rows, "tau of later rows", set()),
    (volume_as_clock, "level as a clock", set()),
    (duplicate_ticks, "duplicate ticks", set()),
    (repeated_trades, "duplicate ticks", set()),
    (shuffled_parts, "shuffled split", set()),
    (label_over_a_gap, "label over a gap", set()),
    (counted_by_receipt, "receive clock", set()),
    (receipt_alone, "receive clock", set()),
]


@pytest.mark.parametrize("seed", range(6))
def test_a_file_without_a_leak_passes(seed: int, tmp_path: Path) -> None:
    findings = found(clean(seed), tmp_path)
    assert leaks(findings) == set()
    assert findings["next-row label"].status == "clean"
    assert findings["too easy a label"].status == "clean"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("plant", "leak", "others"), PLANTED, ids=[plant.__name__ for plant, *_ in PLANTED])
def test_a_planted_leak_is_found_by_name(
    plant: Plant, leak: str, others: set[str], seed: int, tmp_path: Path
) -> None:
    columns = plant(clean(seed), np.random.default_rng(seed))
    findings = found(columns, tmp_path)
    assert leak in leaks(findings), findings[leak]
    assert leaks(findings) <= {leak} | others


def test_every_leak_that_rows_can_show_is_planted_here(tmp_path: Path) -> None:
    judged = {name for name, finding in found(clean(1), tmp_path).items() if finding.measures}
    assert judged == {leak for _, leak, _ in PLANTED}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_next_row_shares_all_but_one_tick(seed: int, tmp_path: Path) -> None:
    columns = next_row(clean(seed), np.random.default_rng(seed))
    ticks = float(np.mean(columns["intensity"])) * 60
    figure = found(columns, tmp_path)["next-row label"].figure
    assert figure == pytest.approx(1 - 1 / ticks, abs=0.005)


def test_the_next_row_of_minutes_shares_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    volatility = np.exp(np.cumsum(rng.normal(0.0, 0.2, 3_000)) * 0.2)
    columns = {
        "event_time": START_S + 60.0 * np.arange(3_000),
        "volatility": volatility,
        "label": labels(later(volatility, 1)),
    }
    finding = found(columns, tmp_path)["next-row label"]
    assert (finding.status, finding.figure) == ("clean", 0.0)


def test_persistence_falls_to_what_it_is_worth_under_the_true_label(tmp_path: Path) -> None:
    finding = found(next_row(clean(1), np.random.default_rng(1)), tmp_path)["too easy a label"]
    assert finding.status == "leak"
    assert finding.figure is not None
    assert finding.figure > 0.95


def test_a_gap_whose_rows_are_kept_without_label_is_clean(tmp_path: Path) -> None:
    columns = label_over_a_gap(clean(3), np.random.default_rng(3))
    time = time_s(columns)
    columns["label"] = np.where((time > 3_939.0) & (time < 4_000.0), np.nan, columns["label"])
    assert found(columns, tmp_path)["label over a gap"].status == "clean"


def test_a_gap_where_rows_were_left_out_is_not_judged(tmp_path: Path) -> None:
    columns = label_over_a_gap(clean(3), np.random.default_rng(3))
    labelled = np.isfinite(columns["label"])
    columns = {name: values[labelled] for name, values in columns.items()}
    assert found(columns, tmp_path)["label over a gap"].status == "can't tell"


def test_a_split_in_time_order_is_clean_and_the_contrast_is_told(tmp_path: Path) -> None:
    columns = clean(1)
    time = time_s(columns)
    part = np.where(time < 7_000, "train", np.where(time > 7_300, "test", ""))
    finding = found(columns | {"split": part}, tmp_path)["shuffled split"]
    assert finding.status == "clean"
    assert "split in time" in finding.words


def test_a_price_is_no_leak_until_a_model_sees_it(tmp_path: Path) -> None:
    columns = clean(0)
    columns["mid"] = columns["mid"] + 0.05 * np.arange(len(columns["mid"]))
    assert found(columns, tmp_path)["level as a clock"].status == "can't tell"
    told = Told(features=("return_std", "mid"))
    assert found(columns, tmp_path, told)["level as a clock"].status == "leak"


def test_without_prices_it_is_said_what_is_missing(tmp_path: Path) -> None:
    columns = clean(0)
    del columns["mid"]
    findings = found(columns, tmp_path)
    for name in ("too easy a label", "feature reads ahead", "smoothed label"):
        assert findings[name].status == "can't tell"
        assert "price" in findings[name].words


def test_the_trailing_deviation_of_the_audit_is_that_of_the_file(tmp_path: Path) -> None:
    columns = clean(2, hours=0.5)
    path = tmp_path / "rows.parquet"
    frame(columns).write_parquet(path)
    rows = read_foreign(path, Told())
    assert rows.tick_returns is not None
    ours = rows.tick_returns.trailing_std(60 * 10**9)
    np.testing.assert_allclose(ours, trailing_std(time_s(columns), columns["mid"]), rtol=1e-6)
