"""What each column of a tick set is worth: the walk-forward again without it.

    python -m benchmarks.tick_ablation DATA_DIR [--feature-set trade] [--every-hours 1]

DATA_DIR holds feature rows (``volspike replay --feature-set NAME``). A column is left out by making it
missing everywhere, in training and in prediction; one that is no input, or missing anyway, is passed over.
Above 0 is what the blend loses without it, with its 95 % interval of blocks, or ``-`` for too few blocks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.ablation import MODEL, gain_text, without
from volspike.config import load_settings
from volspike.evaluation.enough import count_evidence
from volspike.evaluation.gains import compare
from volspike.evaluation.walk_forward import WalkForward, walk_forward
from volspike.features.sets import get_feature_set
from volspike.labels.dataset import Dataset
from volspike.models.inputs import PRICE_UNIT
from volspike.models.settings import TrainSettings
from volspike.models.train import train
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import training_data

FIRST_FIT_FRAC = 0.3
HOUR_S = 3600
NS = 1_000_000_000


def known_inputs(dataset: Dataset) -> list[str]:
    """Return the columns that a model takes and that are not missing throughout."""
    columns = get_feature_set(dataset.feature_set).columns
    missing = [bool(np.isnan(dataset.features[:, i]).all()) for i in range(len(columns))]
    return [
        column.name
        for column, absent in zip(columns, missing, strict=True)
        if column.unit != PRICE_UNIT and not absent
    ]


def walked(dataset: Dataset, every_s: int) -> WalkForward:
    """Return the walk-forward of the last seven tenths of the rows."""
    how = TrainSettings(seed=7, models=("logistic", "xgboost", MODEL))
    from_ns = int(dataset.event_ns[int(FIRST_FIT_FRAC * len(dataset))])
    until_ns = int(dataset.event_ns[-1]) + 1
    return walk_forward(
        dataset, from_ns, until_ns, every_s, lambda rows, split: train(rows, split, how), lambda _words: None
    )


def main() -> None:
    """Print one line a column."""
    parser = argparse.ArgumentParser(description="What each column of a tick set is worth.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--feature-set", default="trade")
    parser.add_argument("--every-hours", type=float, default=1.0)
    given = parser.parse_args()
    home, settings = (
        Home(given.data_dir),
        load_settings({"data_dir": given.data_dir, "feature_set": given.feature_set}),
    )
    dataset = training_data(
        home, settings, None, None, say=lambda words: print(words, file=sys.stderr)
    ).dataset
    every_s = round(given.every_hours * HOUR_S)
    whole = walked(dataset, every_s)
    print(count_evidence(whole.rows.second, whole.rows.run, whole.rows.spike))
    print("| left out | log-loss | QLIKE | PR-AUC |\n|---|---|---|---|")
    for name in known_inputs(dataset):
        less = walked(without(dataset, (name,)), every_s)
        gains = compare(whole.rows, whole.models[MODEL], less.models[MODEL])
        cells = (gain_text(gains[score]) for score in ("log_loss", "qlike", "pr_auc"))
        print(f"| `{name}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
