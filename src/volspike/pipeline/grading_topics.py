"""From the topics of predictions and outcomes to the graded ledger, going on where it was left."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from volspike.bus.port import Log
from volspike.bus.topics import OUTCOMES, PREDICTIONS, Topic
from volspike.errors import ProtocolError, VolspikeError
from volspike.monitoring.grading import Grader
from volspike.monitoring.ledger import Ledger
from volspike.records import Outcome, Prediction

_READ_ROWS = 10_000


class TopicGrader:
    """Reads what was predicted and how it turned out, and writes the blocks that are complete.

    It reads without a group: the ledger notes from where on it has to be read again, behind the blocks that
    are written. So a death at any point costs some reading, and a block is never written twice.

    Parameters
    ----------
    log : Log
        Read from.
    ledger : Ledger
        Written to.
    suffix : str
        Ends the name of every topic.

    Attributes
    ----------
    newest_ns : int
        Event time of the newest prediction read, 0 before the first: what time it is in the market.
    """

    def __init__(self, log: Log, ledger: Ledger, suffix: str = "") -> None:
        self._log = log
        self._ledger = ledger
        self._suffix = suffix
        self._graders: dict[int, Grader] = {}
        self._held: dict[int, deque[tuple[int, Outcome]]] = {}
        self._next = ledger.cursor()
        self.newest_ns = 0

    def step(self) -> set[str]:
        """Read what is new; return the products that have a new block.

        Raises
        ------
        BusError
            The topics can't be read.
        ModelError
            The ledger can't be written.
        """
        fresh: set[str] = set()
        try:
            for partition in range(self._log.partitions(PREDICTIONS.name + self._suffix)):
                fresh |= self._partition(partition)
            if fresh:
                self._ledger.move(self._cursor())
        except VolspikeError:
            self._begin_again()
            raise
        return fresh

    def _begin_again(self) -> None:
        """Forget what was half taken: it is read again, as after a restart."""
        self._graders.clear()
        self._held.clear()
        self._next = self._ledger.cursor()

    def _partition(self, partition: int) -> set[str]:
        grader = self._graders.setdefault(partition, Grader())
        held = self._held.setdefault(partition, deque())
        fresh: set[str] = set()
        is_all = False
        while not is_all:
            # Predictions first: an outcome is known a minute behind its prediction, and can be matched then.
            predictions = self._read(PREDICTIONS, partition)
            is_all = not predictions
            for offset, prediction in predictions:
                assert isinstance(prediction, Prediction)
                self.newest_ns = max(self.newest_ns, prediction.event_ns)
                grader.predicted(prediction, offset)
            fresh |= self._outcomes(partition, grader, held, is_all)
        return fresh | {block.product for block in grader.silent() if self._ledger.add(block)}

    def _outcomes(
        self, partition: int, grader: Grader, held: deque[tuple[int, Outcome]], is_all: bool
    ) -> set[str]:
        """Take the outcomes of what has been taken; of a long log no more is held than is read at once."""
        fresh: set[str] = set()
        while (is_all or len(held) < _READ_ROWS) and (outcomes := self._read(OUTCOMES, partition)):
            for offset, made in outcomes:
                assert isinstance(made, Outcome)
                held.append((offset, made))
            fresh |= self._grade(grader, held)
        return fresh | self._grade(grader, held)

    def _grade(self, grader: Grader, held: deque[tuple[int, Outcome]]) -> set[str]:
        fresh: set[str] = set()
        for _ in range(len(held)):
            offset, outcome = held.popleft()
            if not grader.knows(outcome):
                held.append((offset, outcome))
                continue
            for block in grader.turned_out(outcome, offset):
                if self._ledger.add(block):
                    fresh.add(block.product)
        return fresh

    def _read(self, topic: Topic, partition: int) -> list[tuple[int, Prediction | Outcome]]:
        """Return the next records of a topic; none at its end."""
        name = topic.name + self._suffix
        place = f"{name}/{partition}"
        start = max(self._next.get(place, 0), self._log.start_offset(name, partition))
        found: list[tuple[int, Prediction | Outcome]] = []
        while not found and (records := self._log.read(name, start, _READ_ROWS, partition)):
            start = records[-1].offset + 1
            for record in records:
                with suppress(ProtocolError):  # whoever wrote it is not of this version; it is none of ours
                    found.append((record.offset, topic.decode(record.value)))
        if not found and start > self._log.end_offset(name, partition):
            start = 0  # another log has taken the place of a damaged one: that is read from its begin
        self._next[place] = start
        return found

    def _cursor(self) -> dict[str, int]:
        """Return from where on the blocks that are not complete can be made again."""
        cursor = dict(self._next)
        for partition, grader in self._graders.items():
            for topic, needed in zip((PREDICTIONS, OUTCOMES), grader.needed(), strict=True):
                place = f"{topic.name}{self._suffix}/{partition}"
                if needed is not None and place in cursor:
                    cursor[place] = min(cursor[place], needed)
            for offset, _ in self._held[partition]:
                place = f"{OUTCOMES.name}{self._suffix}/{partition}"
                cursor[place] = min(cursor[place], offset)
        return cursor
