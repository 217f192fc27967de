"""A compiled window engine with a second window beside it, which takes the same ticks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.features.columns import FeatureSet
from volspike.features.engine import WindowEngine
from volspike.features.flow_memory import COVERED, capacity_for, ticks_of
from volspike.features.held_ticks import HeldTicks, Ticks
from volspike.features.memory import COVERED as WINDOW_COVERED
from volspike.features.memory import Words, most_inside
from volspike.features.window import Ints

_QUOTE_COLUMNS = 6  # what the first window takes of the inputs


class TwoWindowEngine(WindowEngine, ABC):
    """The columns of a window engine, then those of a second window; a base class.

    Parameters
    ----------
    feature_set : FeatureSet
        A set of the second window.
    price_decimals : int
        Prices are integers in units of ``10**-price_decimals``.

    Raises
    ------
    ImportError
        If numba is not installed.
    ValueError
        If it is another set.
    """

    _held: HeldTicks

    def __init__(self, feature_set: FeatureSet, price_decimals: int) -> None:
        super().__init__(feature_set, price_decimals)
        kernel = self._kernel()
        self._window_batch, self._batch = self._batch, self._both
        self._second_batch = kernel.batch
        self._table = np.array([self._address.ctypes.data, 0], np.int64)
        self._hold_second(self._new_memory(capacity_for(0)))
        self.step = kernel.step.make(self._table.ctypes.data, self._step_instead)

    @abstractmethod
    def _kernel(self) -> Any:
        """Return the module of the second window's ``step`` and ``batch``."""

    @abstractmethod
    def _new_memory(self, capacity: int) -> Words:
        """Return the memory of an empty second window, laid out as ``flow_memory`` says."""

    def _hold_second(self, memory: Words) -> None:
        self._second = memory
        self._table[1] = memory.ctypes.data

    def _both(
        self,
        memory: Words,
        scratch: Words,
        sized: bool,
        done: int,
        columns: tuple[Ints, ...],
        values: npt.NDArray[np.float64],
        ticks: npt.NDArray[np.int32],
    ) -> tuple[int, int]:
        """Let the window engine take what it can, then the second window the same ticks."""
        quotes = columns[:_QUOTE_COLUMNS]
        reached, status = self._window_batch(memory, scratch, sized, done, quotes, values, ticks)
        while done < reached:
            done = self._second_batch(self._second, done, reached, columns, values)
            if done < reached:
                inside, to_come = self._ticks(), most_inside(columns[0][done:reached])
                capacity = capacity_for(max(len(inside), to_come))
                self._take_again(int(self._second[COVERED]), inside, capacity)
        return reached, status

    def _ticks(self) -> Ticks:
        return ticks_of(self._second, len(self._held.names))

    def _take_again(self, covered_since_ns: int, ticks: Ticks, capacity: int) -> None:
        """Begin anew with the ticks of the window, in a memory with room for ``capacity``."""
        n, memory = len(ticks), self._new_memory(capacity)
        columns = self._held.columns(ticks, covered_since_ns, self.feature_set.inputs)
        unused = np.zeros((len(self.feature_set.columns), n), np.float64)
        self._second_batch(memory, 0, n, columns, unused)
        self._hold_second(memory)

    def snapshot(self) -> bytes:
        """Return the state as bytes, which either engine can restore."""
        return self._held.write(super().snapshot(), self._ticks())

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot. See ``PureWindowEngine.restore``."""
        window, ticks = self._held.split(data)
        super().restore(window)
        self._take_again(int(self._memory[WINDOW_COVERED]), ticks, capacity_for(len(ticks)))
