"""How far an ingest has published its archive: kept on the bus, in the transactions of what it publishes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from volspike.bus.port import Log, Outgoing
from volspike.bus.state_store import StateStore
from volspike.errors import BusError

_PARTITION = 0


class _Place(msgspec.Struct, frozen=True):
    seq: int


class PublishPosition:
    """The position of one ingest.

    Where none was ever committed, publishing begins behind what the archive held at the very first start.
    That is noted beside the archive: the broker may be away until a later start.

    Parameters
    ----------
    name : str
        Of the ingest.
    suffix : str
        Ends the names of the topics.
    note : Path
        File of the first start.
    first_seq : int
        Newest frame in the archive now.
    """

    def __init__(self, name: str, suffix: str, note: Path, first_seq: int) -> None:
        self._name = name
        self._stage = f"ingest{suffix}"
        if not note.exists():
            fresh = note.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(_Place(first_seq)))
            fresh.replace(note)
        self._first_seq = _decode(note.read_bytes(), str(note))

    def load(self, log: Log) -> int:
        """Return the number of the newest frame that is published; all before it are."""
        store = StateStore(log, self._stage)
        value = store.load(_PARTITION).get(self._name)
        return self._first_seq if value is None else _decode(value, store.topic)

    def record(self, log: Log, seq: int, event_ns: int) -> Outgoing:
        """Return the record that goes with what is published up to a frame."""
        store = StateStore(log, self._stage)
        return store.record(_PARTITION, self._name, msgspec.json.encode(_Place(seq)), event_ns)


def _decode(value: bytes, subject: str) -> int:
    try:
        return msgspec.json.decode(value, type=_Place).seq
    except msgspec.DecodeError as error:
        remedy = "delete it, or ingest under another --name: publishing begins anew there"
        raise BusError(subject, f"tells no position ({error})", remedy) from None
