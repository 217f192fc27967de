"""How fast an online model should forget: a grid of memories, on candles before the days that are tested.

    python -m benchmarks.forgetting DATA_DIR [--start 2026-07-08T07:00] [--until 2026-07-13T07:00]

DATA_DIR holds candles (``volspike backfill``). A model is trained once on what lies before the start, and
from there it predicts and learns row by row up to the end; nothing from the end on is read. Each line is one
setting of ``Forgetting``: log-loss and QLIKE under adaptive and under fixed tau, and all four added up as
shares of those of the same model that learns nothing; the lowest of the last column is taken.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from volspike.evaluation.progressive import progressive
from volspike.evaluation.scores import score
from volspike.evaluation.walk_forward import folds
from volspike.features.candle_store import read_candles
from volspike.labels.candles import candle_dataset
from volspike.labels.dataset import Dataset, with_fixed_tau_of
from volspike.labels.tau import TauSpec
from volspike.models.bundle import Bundle, new_bundle
from volspike.models.calibration import ScoredRows
from volspike.models.fit_online import Forgetting
from volspike.models.manifest import WEIGHTS_FILE, pretty
from volspike.models.online import OnlinePredictor
from volspike.models.settings import TrainSettings
from volspike.models.train import train
from volspike.pipeline.home import Home

NS = 1_000_000_000
DAY = 1_440.0
MEMORY_WINDOWS = (DAY / 4, DAY, 3 * DAY)
PRIOR_WINDOWS = (DAY, 4 * DAY, 16 * DAY)
RECALIBRATION_WINDOWS = (DAY / 96, DAY / 48, DAY / 24, DAY / 12, DAY / 4, DAY)
MODES: tuple[Literal["adaptive", "fixed"], ...] = ("adaptive", "fixed")


@dataclass(frozen=True)
class Trial:
    """A model trained before the start, the rows to predict, and the losses of what learns nothing."""

    bundle: Bundle
    rows: Dataset
    still: tuple[float, float]

    def losses(self, forgetting: Forgetting) -> tuple[float, float]:
        """Return log-loss and QLIKE of the model that learns at a pace."""
        return losses(self.rows, progressive(with_forgetting(self.bundle, forgetting), self.rows))

    def cost(self, found: tuple[float, float]) -> float:
        """Return both losses added up, as shares of those without learning; 2 is nothing gained."""
        return found[0] / self.still[0] + found[1] / self.still[1]


def losses(rows: Dataset, said: ScoredRows) -> tuple[float, float]:
    """Return log-loss and QLIKE."""
    found = score(rows, said.p_spike, said.sigma_bps)
    assert found.log_loss is not None
    assert found.qlike is not None
    return found.log_loss, found.qlike


def with_forgetting(bundle: Bundle, forgetting: Forgetting) -> OnlinePredictor:
    """Return a fresh online model of a bundle that learns at another pace."""
    assert isinstance(bundle.predictor, OnlinePredictor)
    fields = {name: getattr(forgetting, name) for name in Forgetting.__slots__}
    weights = bundle.predictor.weights
    changed = type(weights)(**{**{f: getattr(weights, f) for f in weights.__struct_fields__}, **fields})
    made = new_bundle(bundle.manifest, {**bundle.files, WEIGHTS_FILE: pretty(changed)}).predictor
    assert isinstance(made, OnlinePredictor)
    return made


def prepare(data_dir: Path, mode: Literal["adaptive", "fixed"], start_ns: int, until_ns: int) -> Trial:
    """Train on the candles before the start; keep those between it and the end."""
    whole = candle_dataset(read_candles(Home(data_dir).candles, None), TauSpec(mode))
    dataset = whole.rows(whole.event_ns < until_ns)
    (split,) = folds(dataset.event_ns, start_ns, until_ns, (until_ns - start_ns) // NS)
    known = with_fixed_tau_of(dataset, split.fit)
    bundle = train(known, split, TrainSettings(models=("online",))).bundles["online"]
    rows = known.rows(split.test)
    return Trial(bundle, rows, losses(rows, bundle.predictor.predict_batch(rows)))


def show(words: str, trials: tuple[Trial, ...], found: list[tuple[float, float]]) -> None:
    """Print one line of the table."""
    cost = sum(trial.cost(each) for trial, each in zip(trials, found, strict=True))
    figures = " | ".join(f"{log_loss:.5f} | {qlike:.4f}" for log_loss, qlike in found)
    print(f"| {words} | {figures} | {cost:.4f} |")


def main() -> None:
    """Print the grid as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--start", default="2026-07-08T07:00")
    parser.add_argument("--until", default="2026-07-13T07:00")
    given = parser.parse_args()
    span = (int(np.datetime64(at, "s").astype(np.int64)) * NS for at in (given.start, given.until))
    start_ns, until_ns = span
    trials = tuple(prepare(given.data_dir, mode, start_ns, until_ns) for mode in MODES)
    heads = "".join(f" log-loss, {mode} | QLIKE, {mode} |" for mode in MODES)
    print(f"| memory, prior, recalibration |{heads} cost |\n" + "|---" * 6 + "|")
    show("learns nothing", trials, [trial.still for trial in trials])
    for windows in product(MEMORY_WINDOWS, PRIOR_WINDOWS, RECALIBRATION_WINDOWS):
        found = [trial.losses(Forgetting(*windows)) for trial in trials]
        show(", ".join(f"{count:,.0f}" for count in windows), trials, found)


if __name__ == "__main__":
    main()
