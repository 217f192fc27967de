"""Champion against challenger on the same live rows: who is better, and may the challenger take over?

The decision is by an e-process on the difference of their log-losses, clipped and summed by half hours: if
the challenger is no better it ever reaches 1 / alpha with a chance of at most alpha, however often one looks.
Everything else must agree before it is promoted (``gate``), and is reported beside it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.evaluation.bootstrap import Blocks, Gain, average_precision_gain, make_blocks, mean_gain
from volspike.evaluation.deciles import equal_mass
from volspike.evaluation.enough import Evidence, count_evidence
from volspike.evaluation.episodes import EpisodeScores, GradedSeconds, score_episodes
from volspike.evaluation.ranking import average_precision
from volspike.evaluation.reliability import recalibrate
from volspike.evaluation.scores import log_loss, log_losses
from volspike.evaluation.sigma_scores import qlike, qlike_losses
from volspike.labels.targets import HORIZON_S
from volspike.monitoring.betting import log_e_path, log_factors
from volspike.monitoring.contender import Contender
from volspike.monitoring.gate import ALPHA, Condition, judge
from volspike.monitoring.paired_blocks import (
    LOSS_CLIP_NATS,
    BlockFigures,
    block_means,
    loss_differences,
    scaled,
)

F8 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SideScores:
    """One of the two on the rows that both have a probability for; None where undefined.

    Attributes
    ----------
    log_loss, pr_auc, qlike : float or None
        Mean log-loss in nats, average precision, mean QLIKE.
    slope, top_decile_ratio : float or None
        Of the recalibration, and observed over predicted spikes in the top decile.
    episodes : EpisodeScores or None
        How its alerts fared; None where they were not given.
    """

    log_loss: float | None
    pr_auc: float | None
    qlike: float | None
    slope: float | None
    top_decile_ratio: float | None
    episodes: EpisodeScores | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The report of one comparison.

    Attributes
    ----------
    rows : int
        Labelled rows that both have a probability for.
    evidence : Evidence
        In them.
    champion, challenger : SideScores
        Both sides.
    log_e, log_e_most : float or None
        Logarithm of the e-process that the challenger is better, after the last block and the largest so far.
    log_loss, pr_auc, qlike : Gain or None
        By how much the challenger is better, unclipped, with block-bootstrap intervals; None where the rows
        leave fewer than 10 blocks or are of one class, and where intervals were not asked for.
    conditions : tuple of Condition
        All that a promotion asks for, and whether it is met.
    """

    rows: int
    evidence: Evidence
    champion: SideScores
    challenger: SideScores
    log_e: float | None
    log_e_most: float | None
    log_loss: Gain | None
    pr_auc: Gain | None
    qlike: Gain | None
    conditions: tuple[Condition, ...]

    @property
    def promote(self) -> bool:
        """Tell whether the challenger may take over."""
        return all(condition.met for condition in self.conditions)

    @property
    def words(self) -> str:
        """Return the verdict in a line, with every reason against a promotion or all for it."""
        against = [condition.words for condition in self.conditions if not condition.met]
        if against:
            return "not promoted: " + "; ".join(against)
        return "promoted: " + "; ".join(condition.words for condition in self.conditions)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a JSON-able dict."""
        return asdict(self) | {"promote": self.promote, "words": self.words}


def compare_contenders(
    rows: GradedSeconds,
    sigma_future_bps: F8,
    champion: Contender,
    challenger: Contender,
    floor_bps: float,
    alpha: float = ALPHA,
    *,
    intervals: bool = True,
) -> Comparison:
    """Compare two models on the graded rows since the challenger entered its shadow.

    Parameters
    ----------
    rows : GradedSeconds
        n rows of finished blocks, of one product and feed.
    sigma_future_bps : float64[n]
        Realised volatility, basis points; NaN where unlabelled.
    champion, challenger : Contender
        What both said of them. A row without the champion's probability is left out; one without the
        challenger's speaks against it.
    floor_bps : float
        One quote increment over the price, basis points: the least volatility that counts.
    alpha : float
        Chance of a challenger that is no better to be promoted, at most, over the whole of its shadow.
    intervals : bool
        Without them the report has no bootstrap, which takes most of the time; the decision is the same.
    """
    labelled = (rows.spike >= 0) & champion.told
    both = labelled & challenger.told
    y, second = rows.spike[both] == 1, rows.second[both]
    realised = sigma_future_bps[both]
    ours, theirs = _rows_of(challenger, both), _rows_of(champion, both)
    blocks = make_blocks(second) if intervals else None
    evidence = count_evidence(second, rows.run[both], rows.spike[both])
    loss = _mean_gain(log_losses(y, ours.p), log_losses(y, theirs.p), blocks)
    path = evidence_path(rows, champion, challenger).value
    sides = [_score(rows, both, realised, side, floor_bps) for side in (theirs, ours)]
    log_e = float(path[-1]) if len(path) else None
    return Comparison(
        rows=len(y),
        evidence=evidence,
        champion=sides[0],
        challenger=sides[1],
        log_e=log_e,
        log_e_most=float(np.max(path)) if len(path) else None,
        log_loss=loss,
        pr_auc=_precision_gain(y, ours.p, theirs.p, blocks),
        qlike=_qlike_gain(realised, ours.sigma_bps, theirs.sigma_bps, floor_bps, blocks),
        conditions=judge(
            labels=rows.spike[labelled],
            challenger=_rows_of(challenger, labelled),
            evidence=evidence,
            log_e=log_e,
            alpha=alpha,
            mean_gain=None if not len(y) else _mean_difference(y, ours.p, theirs.p),
            calibrations=tuple((side.slope, side.top_decile_ratio) for side in sides),
        ),
    )


def _rows_of(side: Contender, kept: Labels) -> Contender:
    return replace(side, p=side.p[kept], sigma_bps=None if side.sigma_bps is None else side.sigma_bps[kept])


def evidence_path(rows: GradedSeconds, champion: Contender, challenger: Contender) -> BlockFigures:
    """Return the log e-value that the challenger is better after each block; see ``compare_contenders``.

    A look at the end of a block finds the figure of that block: what comes later changes none before it.
    """
    both = (rows.spike >= 0) & champion.told & challenger.told
    difference = loss_differences(rows.spike[both] == 1, champion.p[both], challenger.p[both])
    means = block_means(rows.second[both], difference, rows.step_s)
    return BlockFigures(means.block, log_e_path(log_factors(scaled(means.value, LOSS_CLIP_NATS))))


def _mean_difference(y: Labels, challenger: F8, champion: F8) -> float:
    return float(np.mean(log_losses(y, champion) - log_losses(y, challenger)))


def _mean_gain(ours: F8, theirs: F8, blocks: Blocks | None) -> Gain | None:
    return None if blocks is None else mean_gain(ours, theirs, blocks)


def _precision_gain(y: Labels, ours: F8, theirs: F8, blocks: Blocks | None) -> Gain | None:
    if blocks is None or not np.any(y) or np.all(y):
        return None
    return average_precision_gain(y, ours, theirs, blocks)


def _qlike_gain(
    realised: F8, ours: F8 | None, theirs: F8 | None, floor_bps: float, blocks: Blocks | None
) -> Gain | None:
    if blocks is None or ours is None or theirs is None:
        return None
    known = np.isfinite(realised) & np.isfinite(ours) & np.isfinite(theirs)
    if not np.any(known):
        return None
    floor = np.full(np.count_nonzero(known), floor_bps)
    loss, other = (qlike_losses(realised[known], side[known], floor) for side in (ours, theirs))
    return mean_gain(loss, other, replace(blocks, of=blocks.of[known]))


def _score(rows: GradedSeconds, both: Labels, realised: F8, side: Contender, floor_bps: float) -> SideScores:
    """Score one side (its predictions cut to these rows) on the rows that both have a probability for."""
    y, p = rows.spike[both] == 1, side.p
    line = recalibrate(y, p, max(1.0, HORIZON_S / rows.step_s)) if len(p) else None
    return SideScores(
        log_loss=log_loss(y, p),
        pr_auc=average_precision(y, p),
        qlike=_mean_qlike(realised, side.sigma_bps, floor_bps),
        slope=None if line is None else line.slope,
        top_decile_ratio=_top_decile_ratio(y, p),
        episodes=None if side.alerts is None else score_episodes(rows, side.alerts),
    )


def _mean_qlike(realised: F8, sigma_bps: F8 | None, floor_bps: float) -> float | None:
    if sigma_bps is None:
        return None
    known = np.isfinite(realised) & np.isfinite(sigma_bps)
    return qlike(realised[known], sigma_bps[known], np.full(np.count_nonzero(known), floor_bps))


def _top_decile_ratio(y: Labels, p: F8) -> float | None:
    groups = equal_mass(p)
    expected = float(np.sum(p[groups[-1]])) if groups else 0.0
    return float(np.sum(y[groups[-1]])) / expected if expected > 0.0 else None
