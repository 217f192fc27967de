"""The window engine a pipeline uses: the compiled kernel behind a small facade, or its pure twin.

It takes the ticks that admission let through; its rows go to the scorer, to the log and to ``store``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from volspike.features.columns import FeatureSet
from volspike.features.flow import PureFlowEngine
from volspike.features.memory import BAD_QUOTE, FULL, grown, memory_of, most_inside, new_memory, state_of
from volspike.features.sets import FLOW, IMBALANCE
from volspike.features.snapshot import read_snapshot, write_snapshot
from volspike.features.trade import PureTradeEngine
from volspike.features.window import Ints, PureWindowEngine, bad_quote, out_of_order


class Engine(Protocol):
    """What both window engines offer; ``PureWindowEngine`` documents the methods."""

    feature_set: FeatureSet
    price_decimals: int
    compiled: bool

    @property
    def step(self) -> Callable[..., tuple[float, ...]]:
        """Take one tick, the integers ``feature_set.inputs``; return its values, then the tick count."""

    def batch(self, *columns: Ints) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
        """Take many ticks; return values of shape (n, columns) and tick counts of shape (n,)."""

    def snapshot(self) -> bytes:
        """Return the state as bytes."""

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot of either engine."""


_Makers = dict[str, Callable[[FeatureSet, int], Engine]]


def make_engine(feature_set: FeatureSet, price_decimals: int) -> Engine:
    """Return the compiled engine where numba is installed, else the pure one (about 10 times slower a tick).

    Both give the same bits; ``compiled`` on the result says which one it is.
    """
    # They are made of the engine below.
    from volspike.features.flow_engine import FlowEngine
    from volspike.features.trade_engine import TradeEngine

    window = _window_of(feature_set)
    try:
        compiled: _Makers = {"core": WindowEngine, "flow": FlowEngine, "trade": TradeEngine}
        return compiled[window](feature_set, price_decimals)
    except ModuleNotFoundError as error:
        if error.name != "numba":
            raise  # a fault of our own would make everything slower without a word
        pure: _Makers = {"core": PureWindowEngine, "flow": PureFlowEngine, "trade": PureTradeEngine}
        return pure[window](feature_set, price_decimals)


def _window_of(feature_set: FeatureSet) -> Literal["core", "flow", "trade"]:
    """Return which window has the columns of a set."""
    if feature_set.needs_trades:
        return "trade"
    return "flow" if FLOW[0] in feature_set.columns else "core"


class WindowEngine:
    """The compiled window engine: same interface and same bits as ``PureWindowEngine``.

    Parameters
    ----------
    feature_set : FeatureSet
        Which features, in which order.
    price_decimals : int
        Prices are integers in units of ``10**-price_decimals``.

    Raises
    ------
    ImportError
        If numba is not installed.
    ValueError
        If the set has columns that this engine does not compute; ``make_engine`` knows which one does.
    """

    compiled = True
    _window: Literal["core", "flow", "trade"] = "core"

    def __init__(self, feature_set: FeatureSet, price_decimals: int) -> None:
        from volspike.features import kernel, kernel_block

        if _window_of(feature_set) != self._window:
            raise ValueError(f"{type(self).__name__} does not compute the set {feature_set.name!r}")
        self.feature_set = feature_set
        self.price_decimals = price_decimals
        self._sized = IMBALANCE in feature_set.columns
        self._price_scale = float(10**price_decimals)
        self._batch = kernel.batch
        self._scratch = np.empty(kernel_block.SCRATCH_WORDS, np.int64)
        self._address = np.zeros(1, np.int64)
        self._hold(new_memory(self._price_scale, self._sized))
        maker = kernel.step_sized if self._sized else kernel.step_core
        # As ``PureWindowEngine.step``.
        self.step: Callable[..., tuple[float, ...]]
        self.step = maker.make(self._address.ctypes.data, self._step_instead)

    def _hold(self, memory: Ints) -> None:
        self._memory = memory
        self._address[0] = memory.ctypes.data

    def _step_instead(self, *tick: int) -> tuple[float, ...]:
        """Take the tick as a batch, which makes room for it or says what is wrong with it."""
        values, ticks = self.batch(*(np.array([number], np.int64) for number in tick))
        return (*values[0].tolist(), float(ticks[0]))

    def batch(self, *columns: Ints) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
        """Take many ticks, continuing the same state. See ``PureWindowEngine.batch``."""
        inputs = self.feature_set.inputs
        if len(columns) != len(inputs):
            raise TypeError(f"a tick of the set {self.feature_set.name!r} is {', '.join(inputs)}")
        columns = tuple(np.ascontiguousarray(column, np.int64) for column in columns)
        n = len(columns[0])
        if any(column.shape != (n,) for column in columns):
            raise ValueError("the columns of a batch differ in length")
        values = np.empty((len(self.feature_set.columns), n), np.float64)
        ticks = np.empty(n, np.int32)
        done = 0
        while done < n:
            done, status = self._batch(self._memory, self._scratch, self._sized, done, columns, values, ticks)
            if done < n:
                self._recover(status, columns[0][done:])
        return values.T, ticks

    def _recover(self, status: int, event_ns: Ints) -> None:
        """Make room for the ticks not taken, or say what is wrong with the first."""
        if status == FULL:
            self._hold(grown(self._memory, most_inside(event_ns)))
        elif status == BAD_QUOTE:
            raise bad_quote(int(event_ns[0]))
        else:
            raise out_of_order(int(event_ns[0]))

    def snapshot(self) -> bytes:
        """Return the state as bytes, which either engine can restore."""
        state = state_of(self._memory)
        return write_snapshot(state, self.feature_set, self.price_decimals)

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot. See ``PureWindowEngine.restore``."""
        state = read_snapshot(data, self.feature_set, self.price_decimals)
        self._hold(memory_of(state, self._price_scale, self._sized))
