"""Keeps a log that fails from stopping the stream: the archive has everything that it would have said."""

from __future__ import annotations

from volspike.bus.topics import Topic
from volspike.bus.writer import LogWriter
from volspike.errors import BusError
from volspike.logs import get_logger
from volspike.records import Record

log = get_logger()


class LogGuard:
    """Hands records to the log for as long as it takes them.

    Parameters
    ----------
    writer : LogWriter
        The log's writer; closed by ``close``.

    Attributes
    ----------
    failure : BusError or None
        What stopped the log; no record is handed over any more.
    """

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._put = writer.put
        self.failure: BusError | None = None

    def put(self, topic: Topic, record: Record) -> None:
        """Hand over one record."""
        if self.failure is None:
            try:
                self._put(topic, record)
            except BusError as error:
                self._lose(error)

    def close(self) -> None:
        """Write what is left and close the log."""
        try:
            self._writer.close()
        except BusError as error:
            if self.failure is None:
                self._lose(error)

    def _lose(self, error: BusError) -> None:
        self.failure = error
        log.error("the log has stopped; predictions go on", reason=str(error))
