"""The state of a stage on its compacted topic: named blobs, and the source offset that they belong to.

A partition of the state topic holds the state of the source partition of the same number. Its keys:

    offset                          JSON: the source topic, and the offset of the next record to take
    <product>|<feed>|<name>|<i>     part i of a blob: zstd, cut into parts; part 0 begins with their number
    <product>|<feed>|m<slot>        a value of the stage's own, such as a minute of a journal

All records of one writing are in one transaction, so a reader sees a whole writing or none of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import msgspec
import zstandard

from volspike.bus.port import Log, Outgoing
from volspike.bus.topic_plan import state_topic
from volspike.errors import BusError

OFFSET_KEY = "offset"
PART_BYTES = 512 << 10
_READ_ROWS = 500
_LEVEL = 1
_LARGEST_BLOB = 1 << 30
_COUNT = struct.Struct("<I")


class StateOffset(msgspec.Struct, frozen=True):
    """Up to where a partition's state has taken its source.

    Attributes
    ----------
    topic : str
        The source.
    offset : int
        Of the next record to take.
    hole : int
        Offset behind the newest hole that retention has left; -1 without any.
    late : bool
        What all predictions between ``offset`` and the committed offset say of their lateness.
    unserved : tuple of (str, str)
        Products and feeds of which nothing between the two is predicted: no model serves them.
    """

    topic: str
    offset: int
    hole: int = -1
    late: bool = False
    unserved: tuple[tuple[str, str], ...] = ()


class StateStore:
    """Reads a stage's state, and makes the records that write it.

    Parameters
    ----------
    log : Log
        Where the state topic is.
    stage : str
        The stage's name.

    Attributes
    ----------
    topic : str
        The state topic.
    """

    def __init__(self, log: Log, stage: str) -> None:
        self._log = log
        self.topic = state_topic(stage)

    def load(self, partition: int) -> dict[str, bytes]:
        """Return the newest value of each key of a partition; what was cleared is absent."""
        self._log.settle(self.topic, partition)
        return self.committed(partition)

    def committed(self, partition: int) -> dict[str, bytes]:
        """Return the same without waiting for transactions that are open: what they write is left out."""
        newest: dict[str, bytes] = {}
        offset = 0
        while records := self._log.read(self.topic, offset, _READ_ROWS, partition):
            newest.update((record.key, record.value) for record in records)
            offset = records[-1].offset + 1
        return {key: value for key, value in newest.items() if value}

    def offset(self, state: Mapping[str, bytes]) -> StateOffset | None:
        """Return the source offset of a loaded state, None where there is no state.

        Raises
        ------
        BusError
            The record is none of this version.
        """
        value = state.get(OFFSET_KEY)
        if value is None:
            return None
        try:
            return msgspec.json.decode(value, type=StateOffset)
        except msgspec.DecodeError as error:
            raise self._damaged(OFFSET_KEY, str(error)) from error

    def record(self, partition: int, key: str, value: bytes, event_ns: int) -> Outgoing:
        """Return a record of the state; an empty value makes its key absent."""
        return Outgoing(self.topic, key, value, event_ns, partition)

    def offset_record(self, partition: int, place: StateOffset, event_ns: int) -> Outgoing:
        """Return the record that goes with each writing of a partition's state."""
        return self.record(partition, OFFSET_KEY, msgspec.json.encode(place), event_ns)

    def pack(self, partition: int, name: str, blob: bytes, event_ns: int) -> list[Outgoing]:
        """Return the records of a blob; ``name`` is ``<product>|<feed>|<name>``."""
        packed = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(blob)
        parts = [packed[start : start + PART_BYTES] for start in range(0, len(packed), PART_BYTES)]
        parts[0] = _COUNT.pack(len(parts)) + parts[0]
        return [self.record(partition, f"{name}|{i}", part, event_ns) for i, part in enumerate(parts)]

    def unpack(self, state: Mapping[str, bytes], name: str) -> bytes:
        """Return a blob out of a loaded state.

        Raises
        ------
        BusError
            A part is missing, or they don't belong together.
        """
        first = state.get(f"{name}|0", b"")
        if len(first) < _COUNT.size:
            raise self._damaged(name, "its first part is missing")
        (count,) = _COUNT.unpack_from(first)
        parts = [state.get(f"{name}|{i}", b"") for i in range(1, count)]
        if not all(parts):
            raise self._damaged(name, f"{parts.count(b'')} of {count} parts are missing")
        packed = b"".join([first[_COUNT.size :], *parts])
        try:
            return zstandard.ZstdDecompressor().decompress(packed, max_output_size=_LARGEST_BLOB)
        except zstandard.ZstdError as error:
            raise self._damaged(name, str(error)) from error

    def names(self, state: Mapping[str, bytes], name: str) -> Iterator[str]:
        """Yield the ``<product>|<feed>|<name>`` of every product that has a blob of this name."""
        ending = f"|{name}|0"
        return (key.removesuffix("|0") for key in state if key.endswith(ending))

    def _damaged(self, name: str, reason: str) -> BusError:
        remedy = "delete the topic and create it anew: the stage then begins at its committed offset"
        return BusError(f"{self.topic}, {name}", reason, remedy)
