"""The compiled engine of the set ``flow``: a window engine, and the flow window beside it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.features.columns import FeatureSet
from volspike.features.engine import WindowEngine
from volspike.features.flow_memory import COVERED, capacity_for, new_memory, quotes_of
from volspike.features.flow_snapshot import Quotes, split_snapshot, write_flow_snapshot
from volspike.features.memory import COVERED as WINDOW_COVERED
from volspike.features.memory import Words, most_inside
from volspike.features.window import Ints

_Columns = tuple[Ints, ...]


class FlowEngine(WindowEngine):
    """The compiled flow engine: same interface and same bits as ``flow.PureFlowEngine``.

    Parameters
    ----------
    feature_set : FeatureSet
        The set ``flow``.
    price_decimals : int
        Prices are integers in units of ``10**-price_decimals``.

    Raises
    ------
    ImportError
        If numba is not installed.
    ValueError
        If it is another set.
    """

    _computes_flow = True

    def __init__(self, feature_set: FeatureSet, price_decimals: int) -> None:
        super().__init__(feature_set, price_decimals)
        from volspike.features import kernel_flow

        self._window_batch, self._batch = self._batch, self._both
        self._flow_batch = kernel_flow.batch
        self._table = np.array([self._address.ctypes.data, 0], np.int64)
        self._hold_flow(new_memory())
        self.step = kernel_flow.step.make(self._table.ctypes.data, self._step_instead)

    def _hold_flow(self, memory: Words) -> None:
        self._flow = memory
        self._table[1] = memory.ctypes.data

    def _both(
        self,
        memory: Words,
        scratch: Words,
        sized: bool,
        done: int,
        columns: _Columns,
        values: npt.NDArray[np.float64],
        ticks: npt.NDArray[np.int32],
    ) -> tuple[int, int]:
        """Let the window engine take what it can, then the flow window the same ticks."""
        reached, status = self._window_batch(memory, scratch, sized, done, columns, values, ticks)
        while done < reached:
            done = self._flow_batch(self._flow, done, reached, columns, values)
            if done < reached:
                quotes, to_come = quotes_of(self._flow), most_inside(columns[0][done:reached])
                capacity = capacity_for(max(len(quotes), to_come))
                self._take_again(int(self._flow[COVERED]), quotes, capacity)
        return reached, status

    def _take_again(self, covered_since_ns: int, quotes: Quotes, capacity: int) -> None:
        """Begin anew with the ticks of the window, in a memory with room for ``capacity``."""
        n, memory = len(quotes), new_memory(capacity)
        event_ns, bid, ask, bid_size, ask_size = np.ascontiguousarray(quotes.T)
        columns = (event_ns, np.full(n, covered_since_ns), bid, ask, bid_size, ask_size)
        unused = np.zeros((len(self.feature_set.columns), n), np.float64)
        self._flow_batch(memory, 0, n, columns, unused)
        self._hold_flow(memory)

    def snapshot(self) -> bytes:
        """Return the state as bytes, which either engine can restore."""
        return write_flow_snapshot(super().snapshot(), quotes_of(self._flow))

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot. See ``PureWindowEngine.restore``."""
        window, quotes = split_snapshot(data)
        super().restore(window)
        covered_since_ns = int(self._memory[WINDOW_COVERED])
        self._take_again(covered_since_ns, quotes, capacity_for(len(quotes)))
