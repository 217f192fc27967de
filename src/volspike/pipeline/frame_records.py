"""What one archived frame puts on the topics: ticks, marks, gaps and dead letters."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from volspike.bus.port import Outgoing
from volspike.bus.topics import DEADLETTER, GAPS, TICKS, Topic
from volspike.features.admission import Admitted, Dropped
from volspike.pipeline.ingest import dead_letter
from volspike.recording.frame import Frame
from volspike.records import UNKNOWN, Gap, Record


class FrameRecords(msgspec.Struct, frozen=True, gc=False):
    """The records of one frame, in the order in which they were made.

    Attributes
    ----------
    seq : int
        The frame's number in the archive.
    receive_ns : int
        When it was received.
    records : list of (Topic, Record)
        What it led to; often nothing.
    """

    seq: int
    receive_ns: int
    records: list[tuple[Topic, Record]]

    def outgoing(self, suffix: str) -> list[Outgoing]:
        """Return the records as they go on a log; ``suffix`` ends the names of the topics."""
        return [self._outgoing(topic, record, suffix) for topic, record in self.records]

    def _outgoing(self, topic: Topic, record: Record, suffix: str) -> Outgoing:
        event_ns = topic.event_ns(record)
        # A dead letter has no time of its own.
        at_ns = self.receive_ns if event_ns == UNKNOWN else event_ns
        return Outgoing(topic.name + suffix, topic.key(record), topic.encode(record), at_ns)


def frame_records(frame: Frame, admitted: Sequence[Admitted], feed: str) -> FrameRecords:
    """Return what the topics get of a frame that admission has answered."""
    records: list[tuple[Topic, Record]] = []
    for answer in admitted:
        if isinstance(answer, Dropped):
            if answer.dead:
                records.append((DEADLETTER, dead_letter(answer, feed, frame)))
        else:
            records.append((GAPS if isinstance(answer, Gap) else TICKS, answer))
    return FrameRecords(frame.seq, frame.receive_ns, records)
