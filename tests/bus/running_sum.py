"""A stage with a memory: ``python running_sum.py WHERE NAME SOURCE TARGET STATE POINT NTH``.

It emits the sum of each partition so far, and ends when all that the source held at its start is committed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from log_worker import open_log

from volspike.bus.port import Log, LogRecord, OffsetGap, Outgoing, Place
from volspike.bus.transactions import ExactlyOnce
from volspike.clock import SystemClock
from volspike.errors import FencedError
from volspike.testing.crash_point import CrashPoint


class RunningSum:
    """Emits for each record the sum of its partition up to it; restores from its state and what follows."""

    def __init__(self, reader: Log, source: str, target: str, state: str) -> None:
        self._reader = reader
        self._source = source
        self._target = target
        self._state = state
        self._sums: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self.restored: list[tuple[int, int]] = []

    def restore(self, place: Place) -> None:
        self._sums[place.partition], offset = self._latest(place)
        self.restored.append((place.partition, offset))
        while offset < place.offset and (records := self._rest(place, offset)):
            earlier = [record for record in records if record.offset < place.offset]
            self._sums[place.partition] += sum(int(record.value) for record in earlier)
            offset = records[-1].offset + 1
        self._next[place.partition] = place.offset

    def _rest(self, place: Place, offset: int) -> list[LogRecord]:
        return self._reader.read(self._source, offset, 500, place.partition)

    def drop(self, topic: str, partition: int) -> None:
        self._sums.pop(partition, None)

    def gap(self, gap: OffsetGap) -> None:
        raise AssertionError("nothing is deleted here")

    def process(self, records: Sequence[LogRecord]) -> list[Outgoing]:
        out = []
        for record in records:
            self._sums[record.partition] += int(record.value)
            self._next[record.partition] = record.offset + 1
            value = f"{record.partition} {record.offset} {self._sums[record.partition]}"
            out.append(Outgoing(self._target, record.key, value.encode(), record.event_ns))
        return out

    def state(self, partitions: Sequence[tuple[str, int]]) -> list[Outgoing]:
        return [
            Outgoing(self._state, str(n), json.dumps([n, self._next[n], self._sums[n]]).encode(), 1)
            for _, n in partitions
        ]

    def _latest(self, place: Place) -> tuple[int, int]:
        best = (0, 0)
        for record in self._reader.read(self._state, 0, 100_000):
            number, offset, total = json.loads(record.value)
            if number == place.partition and best[1] < offset <= place.offset:
                best = total, offset
        return best


def main(where: str, name: str, source: str, target: str, state: str, point: str, nth: str) -> None:
    log = open_log(where, name, CrashPoint(point, nth=int(nth), kill=True))
    reader = open_log(where)
    stage = RunningSum(reader, source, target, state)
    loop = ExactlyOnce(log, f"sum-{source}", [source], stage, SystemClock(), batch_rows=7, state_s=0.1)
    loop.join()
    print("ready", flush=True)
    ends = [log.end_offset(source, n) for n in range(log.partitions(source))]
    idle = 0
    while idle < 5:
        idle = 0 if loop.step() or not _done(log, f"sum-{source}", source, ends) else idle + 1
    loop.close()
    print(f"restored {stage.restored}", flush=True)


def _done(log: Log, group: str, source: str, ends: list[int]) -> bool:
    reached = [log.group_offset(group, source, n) or 0 for n in range(len(ends))]
    # A transaction's mark may lie behind the last record.
    return all(offset >= end - 1 for offset, end in zip(reached, ends, strict=True))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except FencedError as error:
        sys.exit(f"fenced: {error}")
