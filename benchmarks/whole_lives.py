"""A whole life on a made market: its ticks, their feature rows, two trained models, and the rows as graded.

The market is made; everything behind it is what a job does: the compiled window engine, the labels, trainings
on stored rows, predictions of the models as they were trained, and the columns of the graded ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.changing_market import ChangingMarket
from benchmarks.market_sources import CORE, SCALES, first_tick
from volspike.features.columns import TRADE_INPUTS
from volspike.features.table import ADMITTED_COLUMNS, TICK, FeatureTable
from volspike.labels.dataset import Dataset, build_dataset, with_fixed_tau_of
from volspike.labels.splits import chronological_split
from volspike.labels.targets import HORIZON_S
from volspike.models.bundle import Bundle
from volspike.models.choose import evidence_of
from volspike.models.settings import TrainSettings
from volspike.models.train import train
from volspike.monitoring.graded import GradedRows, is_first_of
from volspike.pipeline.batch import BatchStage
from volspike.records import UNKNOWN
from volspike.simulation.market import MarketTick

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

NS = 1_000_000_000
DAY_S = 86_400
START_S = 1_893_456_000  # 2030-01-01T00:00:00Z
# The market that only judges lies behind all lives, so that no row of it is in sample.
FRESH_START_S = START_S + 100 * DAY_S
FRESH_SEED = 1_000_000
STAMP_NS = 1_000
MODEL = "logistic"


class Days(NamedTuple):
    """When what happens, in days of a life; ``fresh`` (each) and ``known``: of markets that only judge."""

    champion: float = 2.0
    challenger: float = 3.0
    end: float = 7.0
    fresh: float = 20.0
    known: float = 40.0


@dataclass(frozen=True, eq=False)
class Life:
    """The models of one market, and the rows that they have predicted since they were there."""

    champion: Bundle
    challenger: Bundle | None
    rows: GradedRows


def live(seed: int, change_s: int, days: Days, *, has_trial: bool = True) -> Life:
    """Let a market run: a champion is trained, serves, and gets a challenger, as a caretaker would have it.

    Parameters
    ----------
    seed, change_s : int
        Of the ``ChangingMarket``.
    days : Days
        When the champion is trained, when the challenger on all rows up to then, and when it ends.
    has_trial : bool
        Without it there is no challenger.
    """
    dataset = labelled_market(seed, START_S, days.end, change_s)
    champion = _trained(dataset, days.champion)
    challenger = _trained(dataset, days.challenger) if has_trial else None
    served = dataset.rows((dataset.second >= _second(days.champion)) & (dataset.second < _second(days.end)))
    return Life(champion, challenger, graded(served, champion, challenger, _second(days.challenger)))


def labelled_market(seed: int, start_s: int, days: float, change_s: int) -> Dataset:
    """Return the labelled rows of a market of so many days."""
    return build_dataset([feature_table(_market(seed, start_s, days, change_s))])


def wild_seconds(seed: int, change_s: int, days: float) -> npt.NDArray[np.bool_]:
    """Return which seconds of a life's market are part of a burst."""
    return _market(seed, START_S, days, change_s).wild


def _market(seed: int, start_s: int, days: float, change_s: int) -> ChangingMarket:
    length_s = round(days * DAY_S) + 2 * HORIZON_S  # so that the last minute's labels are known
    return ChangingMarket(seed, start_s * NS, length_s, change_s)


def feature_table(market: ChangingMarket) -> FeatureTable:
    """Return the feature rows of a market, as a replay would give them."""
    tick = next(event for event in market.events() if isinstance(event, MarketTick))
    decimals = SCALES.decimals(tick.product)
    cent = 10 ** (decimals - tick.price_decimals)
    stamp_ns, bid_cents = market.quotes()
    event_ns, bid = stamp_ns // STAMP_NS * STAMP_NS, bid_cents * cent
    first = msgspec.structs.replace(
        tick,
        event_ns=int(event_ns[0]),
        bid=int(bid[0]),
        ask=int(bid[0]) + cent,
        price_decimals=decimals,
    )
    column: dict[str, I8 | int] = {
        "kind": TICK,
        "seq": np.arange(len(bid)),
        "row": 0,
        "event_ns": event_ns,
        "covered_since_ns": first.event_ns,
        "bid": bid,
        "ask": bid + cent,
        "bid_size": first.bid_size,
        "ask_size": first.ask_size,
        "suspect": 0,
        **dict.fromkeys(TRADE_INPUTS, UNKNOWN),
    }
    stage = BatchStage(first_tick(first), CORE)
    columns = np.stack([np.broadcast_to(column[name], len(bid)) for name in ADMITTED_COLUMNS])
    return FeatureTable.concat([*stage.extend(columns), stage.take()])


def graded(
    served: Dataset, champion: Bundle, challenger: Bundle | None, tried_since_s: int = 0
) -> GradedRows:
    """Return labelled rows as the ledger would hold them.

    Parameters
    ----------
    served : Dataset
        Rows of one covered stretch, tau adaptive in all of them.
    champion, challenger : Bundle
        Who serves, and who predicts in its shadow, if anybody, from an epoch second on.
    """
    assert served.tau_adaptive.all(), "a fixed tau would be that of one training"
    assert served.run[0] == served.run[-1], "the market has a hole"
    own, reference = (each.predict_batch(served) for each in (champion.predictor, champion.reference))
    tried = (served.second >= tried_since_s) & (challenger is not None)
    other = own if challenger is None else challenger.predictor.predict_batch(served)
    first_ns, last_ns = champion.manifest.training.span_ns
    n = len(served)
    return GradedRows(
        second=served.second,
        covered_since_ns=np.full(n, served.event_ns[0]),
        spike=served.spike,
        tau_bps=served.tau_bps,
        sigma_future_bps=served.sigma_future_bps,
        mid=served.mid,
        p=own.p_spike,
        sigma_bps=own.sigma_bps,
        reference_p=reference.p_spike,
        reference_sigma_bps=reference.sigma_bps,
        challenger_p=np.where(tried, other.p_spike, np.nan),
        challenger_sigma_bps=np.where(tried, other.sigma_bps, np.nan),
        version=np.full(n, champion.manifest.version),
        challenger_version=np.where(tried, "" if challenger is None else challenger.manifest.version, ""),
        in_sample=(served.event_ns >= first_ns) & (served.event_ns <= last_ns),
        fallback=np.zeros(n, np.bool_),
    )


def fresh_market(number: int, days: float, change_s: int, every_s: int) -> Dataset:
    """Return labelled rows that no model has seen, behind a day in which tau and the lags fill up.

    Parameters
    ----------
    number : int
        Which of several such markets.
    days : float
        Its length.
    change_s : int
        Of the ``ChangingMarket``.
    every_s : int
        The first row of each so many seconds is returned.
    """
    dataset = labelled_market(FRESH_SEED + number, FRESH_START_S, 1.0 + days, change_s)
    end_s = FRESH_START_S + round((1.0 + days) * DAY_S)
    is_fresh = (dataset.second >= FRESH_START_S + DAY_S) & (dataset.second < end_s)
    return dataset.rows(is_fresh & is_first_of(dataset.second, every_s))


def _second(day: float) -> int:
    return START_S + round(day * DAY_S)


def _trained(dataset: Dataset, day: float) -> Bundle:
    """Return the model that a training at the end of a day would choose."""
    rows = dataset.rows(dataset.second + HORIZON_S < _second(day))
    split = chronological_split(rows)
    rows = with_fixed_tau_of(rows, split.fit)
    # The choice among all kinds needs more than this; without it the logistic model is the one to trust.
    assert not evidence_of(rows.rows(split.tune)).enough_data
    return train(rows, split, TrainSettings(models=(MODEL,))).bundles[MODEL]
