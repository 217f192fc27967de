"""How far a group is behind, asked of the bus when somebody wants to know, on a thread with a log of its own.

The lag of a partition is the number of offsets from the group's committed one to the end of what is
committed. On the embedded log that is the number of records. On Kafka every transaction that wrote to the
partition has an offset there too, its mark: so the lag is above the number of records, by one mark for each
transaction, and a group that has read everything has a lag of 1, the last mark.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from volspike.bus.port import Log
from volspike.errors import BusError
from volspike.logs import get_logger

Partition = tuple[str, int]

log = get_logger()


class GroupLag:
    """Tells the lag of a group in some partitions.

    Parameters
    ----------
    open_log : callable
        Opens the bus; called on the thread, again after it failed.
    group : str
        Whose committed offsets.
    fresh_s : float
        How long an answer is good.
    patience_s : float
        How long ``newest`` waits for one.
    """

    def __init__(
        self, open_log: Callable[[], Log], group: str, *, fresh_s: float = 5.0, patience_s: float = 3.0
    ) -> None:
        self._open_log = open_log
        self._group = group
        self._fresh_s = fresh_s
        self._patience_s = patience_s
        self._asked = threading.Condition()
        self._wanted: tuple[Partition, ...] | None = None
        self._lags: dict[Partition, int] = {}
        self._known_s = -math.inf
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)
        self._thread.start()

    def newest(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return the lag of each partition in offsets; of none while the bus doesn't answer."""
        if not partitions:
            return {}
        now_s = time.monotonic()
        deadline = now_s + self._patience_s
        with self._asked:
            while not self._is_known(partitions, now_s - self._fresh_s):
                self._wanted = tuple(partitions)
                self._asked.notify_all()
                if not self._asked.wait(deadline - time.monotonic()):
                    return {}
            return {partition: self._lags[partition] for partition in partitions}

    def __enter__(self) -> GroupLag:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._asked:
            self._is_over = True
            self._asked.notify_all()
        self._thread.join(self._patience_s)

    def _is_known(self, partitions: Sequence[Partition], since_s: float) -> bool:
        return self._known_s >= since_s and all(partition in self._lags for partition in partitions)

    def _run(self) -> None:
        bus: Log | None = None
        is_away = False
        while (wanted := self._next()) is not None:
            try:
                bus = bus or self._open_log()
                self._tell({partition: self._read(bus, partition) for partition in wanted})
                is_away = False
            except BusError as error:
                if not is_away:
                    log.warning("the lag is unknown", reason=str(error))
                bus, is_away = None, True
        if bus is not None:
            bus.close()

    def _next(self) -> tuple[Partition, ...] | None:
        with self._asked:
            while self._wanted is None and not self._is_over:
                self._asked.wait()
            wanted, self._wanted = self._wanted, None
            return None if self._is_over else wanted

    def _tell(self, lags: dict[Partition, int]) -> None:
        with self._asked:
            self._lags, self._known_s = lags, time.monotonic()
            self._asked.notify_all()

    def _read(self, bus: Log, partition: Partition) -> int:
        # In this order: what comes in between is lag by then.
        committed = bus.group_offset(self._group, *partition)
        end = bus.end_offset(*partition)
        return max(0, end - (bus.start_offset(*partition) if committed is None else committed))
