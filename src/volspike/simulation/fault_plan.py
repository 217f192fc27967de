"""When the faults of a plan happen: once, again and again, or by chance."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence

from volspike.simulation.faults import Fault
from volspike.simulation.market import SECOND_NS


class FaultPlan:
    """The faults of a plan in the order of market time; a recurring one never ends.

    Parameters
    ----------
    faults : sequence of Fault
        What happens, and when.
    seed : int
        Decides the times of faults that happen by chance, each independently of the others.
    """

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._faults = faults
        self._rngs = [random.Random(f"fault {seed} {index}") for index in range(len(faults))]
        self._due: list[tuple[int, int]] = []
        for index, fault in enumerate(faults):
            first_ns = self._pause_ns(index) if _recurs(fault) else round(fault.after_s * SECOND_NS)
            heapq.heappush(self._due, (first_ns, index))

    @property
    def due_ns(self) -> int | None:
        """Return when the next fault is due, in market time after the first event; None after the last."""
        return self._due[0][0] if self._due else None

    def take(self) -> Fault:
        """Take the next fault."""
        due_ns, index = heapq.heappop(self._due)
        if _recurs(self._faults[index]):
            heapq.heappush(self._due, (due_ns + self._pause_ns(index), index))
        return self._faults[index]

    def _pause_ns(self, index: int) -> int:
        """Return the time until a recurring fault happens again; by chance, a geometric number of seconds."""
        fault = self._faults[index]
        if fault.every_s:
            return round(fault.every_s * SECOND_NS)
        if fault.p == 1.0:
            return SECOND_NS
        uniform = 1.0 - self._rngs[index].random()
        return (1 + int(math.log(uniform) / math.log1p(-fault.p))) * SECOND_NS


def _recurs(fault: Fault) -> bool:
    return bool(fault.every_s or fault.p)
