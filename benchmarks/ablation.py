"""What each group of candle features is worth, or each feature: the walk-forward again without it.

    python -m benchmarks.ablation DATA_DIR [--each] [--from 2026-07-13T07:00] [--until 2026-07-25T07:00]

DATA_DIR holds candles (``volspike backfill``). What is left out is missing everywhere, in training and in
prediction. Above 0 is what the blend loses without it, with its 95 % interval of blocks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from volspike.evaluation.bootstrap import Gain
from volspike.evaluation.gains import compare
from volspike.evaluation.walk_forward import WalkForward, walk_forward
from volspike.features.candle_store import read_candles
from volspike.labels.candles import candle_dataset
from volspike.labels.dataset import Dataset, hashed
from volspike.models.settings import TrainSettings
from volspike.models.train import train
from volspike.pipeline.home import Home

GROUPS: dict[str, str | tuple[str, ...]] = {
    "volatility over 2 to 1,440 minutes": "range_rv_",
    "typical minute": "range_typical_",
    "single minutes before": "range_lag_",
    "range and place in it": ("range_over_", "position_in_", "peak_", "abs_return_"),
    "volume": "volume_level_",
    "season": "season_",
    "time of day": "day_",
    "minute of hour and quarter": "minute_of_",
}
EVERY_S = 2 * 86_400
MODEL = "blend"


def left_out(columns: Sequence[str], each: bool) -> dict[str, list[str]]:
    """Return the columns to leave out, by what they are called together: groups, or each by itself."""
    if each:
        return {f"`{name}`": [name] for name in columns}
    return {
        group: [name for name in columns if name.startswith(prefixes)] for group, prefixes in GROUPS.items()
    }


def without(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Return the dataset with some columns missing."""
    features = dataset.features.copy()
    features[:, np.isin(dataset.columns, names)] = np.nan
    return hashed(replace(dataset, features=features))


def walked(dataset: Dataset, from_ns: int, until_ns: int) -> WalkForward:
    """Return the walk-forward of all models."""
    how = TrainSettings(seed=7, models=("logistic", "xgboost", MODEL))
    return walk_forward(
        dataset, from_ns, until_ns, EVERY_S, lambda rows, split: train(rows, split, how), lambda _words: None
    )


def main() -> None:
    """Print one line a group, or a feature."""
    parser = argparse.ArgumentParser(description="What each group of candle features is worth.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--each", action="store_true", help="each feature by itself")
    parser.add_argument("--from", dest="first", default="2026-07-13T07:00")
    parser.add_argument("--until", default="2026-07-25T07:00")
    given = parser.parse_args()
    span = [int(np.datetime64(text, "ns").astype(np.int64)) for text in (given.first, given.until)]
    dataset = candle_dataset(read_candles(Home(given.data_dir).candles, None))
    whole = walked(dataset, *span)
    print("| left out | log-loss | QLIKE | PR-AUC |\n|---|---|---|---|")
    for group, names in left_out(dataset.columns, given.each).items():
        less = walked(without(dataset, names), *span)
        gains = compare(whole.rows, whole.models[MODEL], less.models[MODEL])
        cells = (gain_text(gains[score]) for score in ("log_loss", "qlike", "pr_auc"))
        print(f"| {group} | {' | '.join(cells)} |", flush=True)


def gain_text(gain: Gain | None) -> str:
    """Return a gain with its interval."""
    return "-" if gain is None else f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"


if __name__ == "__main__":
    main()
