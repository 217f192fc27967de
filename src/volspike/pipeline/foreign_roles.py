"""What each column of somebody's feature file is, by its name or as told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from volspike.errors import FeatureError
from volspike.recording.field_names import (
    ASK,
    BID,
    EITHER_TIME,
    EXCHANGE_TIME,
    PRICE,
    PRODUCT,
    RECEIVE_TIME,
    TRADE_ID,
    normal,
)

MID = ("midprice", "mid", "midpx", "microprice")
OTHER_PRICE = (*PRICE, "rawprice", "close", "closeprice", "open", "high", "low")
LABEL = ("label", "isspike", "spike", "volspike", "volatilityspike", "y", "target", "class")
SPLIT = ("split", "fold", "part", "partition", "subset", "istest", "istrain")
SEQUENCE = (*TRADE_ID, "sequencenum", "sequence", "seq")
AHEAD = re.compile(r"future|forward|fwd|target|ahead|(^|_)next(_|$)|lead_", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """What the user says of a file.

    Attributes
    ----------
    label, time, next_row, split : str
        Names of columns; empty: found by their usual names.
    features : tuple of str
        The columns a model sees; empty: every number that has no other role.
    train_frac, window_s, horizon_s : float
        Share of the rows that training sees; seconds that features look back and labels ahead.
    tau_quantile : float
        Which quantile of ``next_row`` makes a positive, on the rows that training sees.
    """

    label: str = ""
    time: str = ""
    next_row: str = ""
    split: str = ""
    features: tuple[str, ...] = ()
    train_frac: float = 0.7
    window_s: float = 60.0
    horizon_s: float = 60.0
    tau_quantile: float = 0.95

    def options(self) -> Iterator[tuple[str, object]]:
        """Yield what can be said on the command line, by its option."""
        for name in ("label", "time", "next_row", "split", "features", "train_frac", "window_s", "horizon_s"):
            yield f"--{name.replace('_', '-')}", getattr(self, name)


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of the columns by role; empty where there is none."""

    time: str
    clock: Literal["exchange", "either", "receive"]
    receive: str
    product: str
    label: str
    target: str
    mid: tuple[str, ...]
    levels: tuple[str, ...]
    trade_id: str
    split: str
    features: tuple[str, ...]


def assign_roles(subject: str, columns: Sequence[str], numeric: Sequence[str], told: Told) -> Roles:
    """Say what each column is.

    Parameters
    ----------
    subject : str
        The file.
    columns, numeric : sequence of str
        All columns, and those that hold numbers or truth values.
    told : Told
        What the user says; it goes before what names suggest.

    Raises
    ------
    FeatureError
        If a column that was named is not there, or no time is found.
    """
    _check_named(subject, columns, told)
    find = _finder(columns)
    time = told.time or find((*EXCHANGE_TIME, *EITHER_TIME, *RECEIVE_TIME))
    if not time:
        raise FeatureError(subject, "it has no column of times", "name one with --time")
    label = told.label or ("" if told.next_row else find(LABEL))
    product, split, trade_id = find(PRODUCT), told.split or find(SPLIT), find(SEQUENCE)
    bid, ask = find(BID), find(ASK)
    mid = find(MID)
    price = (mid,) if mid else (bid, ask) if bid and ask else tuple(filter(None, (find(OTHER_PRICE),)))
    levels = [name for name in numeric if normal(name) in (*MID, *BID, *ASK, *OTHER_PRICE)]
    targets = [name for name in numeric if AHEAD.search(name) and name != label]
    receive = _first(name for name in columns if normal(name) in RECEIVE_TIME and name != time)
    taken = {time, receive, product, label, split, trade_id, *levels, *targets}
    return Roles(
        time=time,
        clock=_clock_of(time),
        receive=receive,
        product=product,
        label=label,
        target=_first(targets),
        mid=price,
        levels=() if told.features else tuple(levels),
        trade_id=trade_id,
        split=split,
        features=told.features or tuple(name for name in numeric if name not in taken),
    )


def _check_named(subject: str, columns: Sequence[str], told: Told) -> None:
    for name in filter(None, (told.label, told.time, told.next_row, told.split, *told.features)):
        if name not in columns:
            raise FeatureError(subject, f"it has no column {name!r}", f"name one of: {', '.join(columns)}")


def _finder(columns: Sequence[str]) -> Callable[[Sequence[str]], str]:
    spelled = {normal(name): name for name in reversed(columns)}
    return lambda names: next((spelled[name] for name in names if name in spelled), "")


def _first(names: Iterable[str]) -> str:
    return next(iter(names), "")


def _clock_of(time: str) -> Literal["exchange", "either", "receive"]:
    if normal(time) in EXCHANGE_TIME:
        return "exchange"
    return "receive" if normal(time) in RECEIVE_TIME else "either"
