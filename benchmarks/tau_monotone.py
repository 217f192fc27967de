"""Does a probability ever rise with its threshold? Every row of a training is asked again at other taus.

    python -m benchmarks.tau_monotone DATA_DIR [--feed candles]

Only tau changes, from a quarter to four times what it was, in 57 steps of 5 %; the state stays. The logistic
regression, the classifier of XGBoost and all rules are fitted so that none can rise. Two heads of the blend
predict sigma from inputs that are ratios to tau, and trees can't be held to what matters there.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from volspike.config import load_settings
from volspike.labels.dataset import Dataset
from volspike.labels.splits import chronological_split
from volspike.models.predictor import CalibratedPredictor
from volspike.models.settings import TrainSettings
from volspike.models.train import train
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import training_data

SPAN, STEPS = math.log(4.0), 57
NOISE = 1e-12


def rises(predictor: CalibratedPredictor, rows: Dataset) -> tuple[float, float, float]:
    """Return how often p(spike) rises by a step of tau, and by how much: the 99.9 % quantile and the most.

    Parameters
    ----------
    predictor : CalibratedPredictor
        The model.
    rows : Dataset
        n rows; 56 n steps are looked at.
    """
    factors = np.exp(np.linspace(-SPAN, SPAN, STEPS))
    p = np.array(
        [predictor.predict_batch(replace(rows, tau_bps=rows.tau_bps * each)).p_spike for each in factors]
    )
    up = np.diff(p, axis=0)
    return float(np.mean(up > NOISE)), float(np.quantile(up, 0.999)), float(max(up.max(), 0.0))


def main() -> None:
    """Print one line a model and rule."""
    parser = argparse.ArgumentParser(description="Does p(spike) ever rise with tau?")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--feed", default=None)
    given = parser.parse_args()
    settings = load_settings({"data_dir": given.data_dir})
    dataset = training_data(Home(given.data_dir), settings, None, given.feed).dataset
    made = train(dataset, chronological_split(dataset), TrainSettings(seed=settings.seed))
    print("| | steps with a rise | 99.9 % of steps rise by less than | the most |\n|---|---|---|---|")
    predictors = {name: bundle.predictor for name, bundle in made.bundles.items()} | made.references
    for name, predictor in predictors.items():
        share, nearly_all, most = rises(predictor, dataset)
        print(f"| {name} | {share:.4%} | {max(nearly_all, 0.0):.1e} | {most:.1e} |", flush=True)


if __name__ == "__main__":
    main()
