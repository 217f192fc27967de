"""How far an ingest has published its archive: kept on the bus, in the transactions of what it publishes.

Frame numbers are those of one archive, and on a bus that many machines reach the same name is soon given
twice. So the position carries the id of its archive (``archive_id.py``), and another archive is refused
before it writes anything: its frames would be taken for published ones, or drive out who is at work.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Log, Outgoing
from volspike.bus.state_store import StateStore
from volspike.errors import BusError

_PARTITION = 0


class _Place(msgspec.Struct, frozen=True, omit_defaults=True):
    seq: int
    archive: str = ""


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
    archive : str
        Id of the archive.
    """

    def __init__(self, name: str, suffix: str, note: Path, first_seq: int, archive: str) -> None:
        self._name = name
        self._archive = archive
        self._stage = f"ingest{suffix}"
        if not note.exists():
            fresh = note.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(_Place(first_seq)))
            fresh.replace(note)
        self._first_seq = _decode(note.read_bytes(), str(note)).seq

    def check(self, log: Log) -> None:
        """Refuse a position of another archive; waits for no transaction and writes nothing.

        Raises
        ------
        BusError
            Another data directory publishes under this name.
        """
        store = StateStore(log, self._stage)
        self._place(store.committed(_PARTITION), store.topic)

    def load(self, log: Log) -> int:
        """Return the number of the newest frame that is published; all before it are.

        A position that names no archive yet is given this one: there is none, or an earlier version wrote it.

        Raises
        ------
        BusError
            Another data directory publishes under this name.
        """
        store = StateStore(log, self._stage)
        place = self._place(store.load(_PARTITION), store.topic)
        # The embedded log lies in the data directory itself.
        if not place.archive and not isinstance(log, EmbeddedLog):
            log.append([self.record(log, place.seq, 0)])
        return place.seq

    def record(self, log: Log, seq: int, event_ns: int) -> Outgoing:
        """Return the record that goes with what is published up to a frame."""
        store = StateStore(log, self._stage)
        value = msgspec.json.encode(_Place(seq, self._archive))
        return store.record(_PARTITION, self._name, value, event_ns)

    def _place(self, state: Mapping[str, bytes], subject: str) -> _Place:
        value = state.get(self._name)
        place = _Place(self._first_seq) if value is None else _decode(value, subject)
        if place.archive not in ("", self._archive):
            raise BusError(f"name {self._name!r}", "belongs to another data directory", "give --name")
        return place


def _decode(value: bytes, subject: str) -> _Place:
    try:
        return msgspec.json.decode(value, type=_Place)
    except msgspec.DecodeError as error:
        remedy = "delete it, or ingest under another --name: publishing begins anew there"
        raise BusError(subject, f"tells no position ({error})", remedy) from None
