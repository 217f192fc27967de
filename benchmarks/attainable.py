"""How much of what could be known do the models know? On a market whose true chances are known.

A model's share is ``(score - base) / (best - base)``: 0 for one that knows only how often spikes come, 1 for
one that knows the hidden state of the market.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.market_sources import synthetic_tables
from benchmarks.sheet import NOT_ENOUGH, Sheet, number
from benchmarks.true_chance import Fineness, true_chances
from volspike.evaluation.bootstrap import average_precision_share, make_blocks, mean_share
from volspike.evaluation.enough import Evidence
from volspike.evaluation.episodes import onset_mask
from volspike.evaluation.scores import Labels, average_precision, graded_seconds, log_losses
from volspike.labels.dataset import Dataset, build_dataset
from volspike.labels.splits import split_times
from volspike.models.choose import evidence_of
from volspike.models.rows import labelled
from volspike.models.settings import TrainSettings
from volspike.models.train import train
from volspike.simulation.synthetic import PRODUCTS, SyntheticMarket

F8 = npt.NDArray[np.float64]

PRODUCT = "BTC-USD"
START_NS = 1_700_000_000 * 1_000_000_000
# More of it for the test than a user would keep, so that the shares are known well.
FRACTIONS = (0.5, 0.075, 0.075, 0.35)
BINS = (0.0, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0)
BEST = "the true chance"
SCORES = ("PR-AUC", "onset PR-AUC", "log-loss")
INTERVALS = "0: the base rate; 1: the true chance. In brackets 95 % intervals of the block bootstrap."


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows of the test part, what everybody predicted for them, and how much evidence they hold."""

    rows: Dataset
    best: F8
    predicted: Mapping[str, F8]
    evidence: Evidence
    hours: float


def judge(seed: int, hours: float, fineness: Fineness) -> Judged:
    """Train on a synthetic market and predict what follows, by every model, every rule and the truth.

    Parameters
    ----------
    seed : int
        Of the market and of XGBoost's samples.
    hours : float
        Of the market; 35 % are for the test.
    fineness : Fineness
        Of the true chance.
    """
    market = SyntheticMarket(seed, (PRODUCT,), START_NS, int(hours * 3_600))
    dataset = build_dataset(synthetic_tables(market)[PRODUCT])
    split = split_times(dataset.event_ns, FRACTIONS)
    result = train(dataset, split, TrainSettings(seed=seed))
    rows = labelled(dataset, split.test)
    models = {name: bundle.predictor for name, bundle in result.bundles.items()}
    rules = {f"rule: {name}": rule for name, rule in result.references.items() if name not in models}
    predicted = {name: each.predict_batch(rows).p_spike for name, each in (models | rules).items()}
    states = market.hidden_states(PRODUCT, rows.second)
    best = true_chances(states, rows.tau_bps, PRODUCTS[PRODUCT].orders_per_second, fineness)
    return Judged(rows, best, predicted, evidence_of(rows), hours)


def score_sheets(judged: Judged) -> list[Sheet]:
    """Return average precision and log-loss of everybody, and their share of what is attainable."""
    spike, onset = judged.rows.spike == 1, onset_mask(graded_seconds(judged.rows))
    scored = _Scored(judged, spike, onset, ~spike | onset)
    scores = [scored.scores(name, p) for name, p in {BEST: judged.best, **judged.predicted}.items()]
    shares = [scored.shares(name, p) for name, p in judged.predicted.items()]
    title = f"the last {FRACTIONS[-1]:.0%} of {judged.hours:g} h of {PRODUCT}"
    return [
        Sheet(f"Scores: {title}", ("predicted by", *SCORES), tuple(scores), scored.note()),
        Sheet(f"Share of the attainable: {title}", ("predicted by", *SCORES), tuple(shares), INTERVALS),
    ]


@dataclass(frozen=True, eq=False)
class _Scored:
    """Spikes and onsets among the rows; ``pure`` are those that count for onsets."""

    judged: Judged
    spike: Labels
    onset: Labels
    pure: Labels

    def scores(self, name: str, p: F8) -> tuple[str, ...]:
        values = (
            average_precision(self.spike, p),
            average_precision(self.onset[self.pure], p[self.pure]),
            float(np.mean(log_losses(self.spike, p))),
        )
        return (name, *("-" if value is None else f"{value:.4f}" for value in values))

    def shares(self, name: str, p: F8) -> tuple[str, ...]:
        second, best, pure = self.judged.rows.second, self.judged.best, self.pure
        blocks, pure_blocks = make_blocks(second), make_blocks(second[pure])
        if blocks is None or pure_blocks is None or not self.onset.any():
            return (name, *[NOT_ENOUGH] * len(SCORES))
        losses, best_losses = log_losses(self.spike, p), log_losses(self.spike, best)
        gains = (
            average_precision_share(self.spike, p, best, blocks),
            average_precision_share(self.onset[pure], p[pure], best[pure], pure_blocks),
            mean_share(losses, best_losses, log_losses(self.spike, self._base_rate()), blocks),
        )
        mark = "" if self.judged.evidence.enough_data else "!"
        return (name, *(f"{gain.value:.2f}{mark} ({gain.low:.2f}..{gain.high:.2f})" for gain in gains))

    def note(self) -> str:
        loss = float(np.mean(log_losses(self.spike, self._base_rate())))
        return (
            f"{len(self.spike):,} rows, {self.judged.evidence}, {int(self.onset.sum())} onsets. Base rate "
            f"{self.spike.mean():.4f}, of onsets {self.onset[self.pure].mean():.4f}; its log-loss {loss:.4f}."
        )

    def _base_rate(self) -> F8:
        return np.full(len(self.spike), self.spike.mean())


def calibration_sheet(judged: Judged) -> Sheet:
    """Return, by bins of the true chance, its mean beside the share of rows that became spikes."""
    spike, best = judged.rows.spike == 1, judged.best
    which = np.clip(np.searchsorted(BINS, best, "right") - 1, 0, len(BINS) - 2)
    rows = []
    for i in range(len(BINS) - 1):
        here = which == i
        if here.any():
            name = f"{BINS[i]:g} to {BINS[i + 1]:g}"
            rows.append((name, f"{here.sum():,}", number(best[here].mean()), number(spike[here].mean())))
    rows.append(("all", f"{len(best):,}", number(best.mean()), number(spike.mean())))
    columns = ("true chance", "rows", "its mean", "became spikes")
    return Sheet("Is the true chance calibrated?", columns, tuple(rows))
