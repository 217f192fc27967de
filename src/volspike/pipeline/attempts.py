"""How the retrainings of a product went, read from its journal, and when another may be begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from volspike.monitoring.journal import (
    CHALLENGER,
    PROMOTED,
    RETRAIN_ABANDONED,
    RETRAIN_FAILED,
    RETRAIN_STARTED,
    JournalEntry,
)

# Market time until a retraining that failed is begun again, twice as long each time.
PAUSE_NS = 3_600_000_000_000
_MOST_DOUBLINGS = 20


@dataclass(frozen=True)
class Attempts:
    """The newest retraining that ended with a model in its place, and those since that did not.

    Attributes
    ----------
    done : JournalEntry or None
        The line of its begin.
    failed_ns : tuple of int
        When those since were begun, ns of market time: killed, failed, or under way still.
    """

    done: JournalEntry | None
    failed_ns: tuple[int, ...]

    def not_before_ns(self, every_ns: float, alarm_ns: int) -> float:
        """Return when another may be begun, ns of market time.

        Parameters
        ----------
        every_ns : float
            The retraining interval: no pause is longer.
        alarm_ns : int
            When the newest alarm of what serves was raised, 0 without one: what failed before does not count.
        """
        failed_ns = [begun_ns for begun_ns in self.failed_ns if begun_ns >= alarm_ns]
        if not failed_ns:
            return 0
        return failed_ns[-1] + min(PAUSE_NS << min(len(failed_ns) - 1, _MOST_DOUBLINGS), every_ns)


def attempts_of(journal: Sequence[JournalEntry]) -> Attempts:
    """Return how the retrainings of one product and feed went, whose entries these are, oldest first."""
    done: JournalEntry | None = None
    since: list[JournalEntry] = []
    for each in journal:
        if each.event == RETRAIN_STARTED:
            since.append(each)
        elif since and _is_end(each, since[-1]):
            done, since = since[-1], []
    return Attempts(done, tuple(each.market_ns for each in since))


def unended(journal: Sequence[JournalEntry]) -> JournalEntry | None:
    """Return the line of the newest retraining's begin, if none of these entries says that it has ended."""
    begun: JournalEntry | None = None
    for each in journal:
        if each.event == RETRAIN_STARTED:
            begun = each
        elif begun is not None and (
            each.event in (RETRAIN_ABANDONED, RETRAIN_FAILED) or _is_end(each, begun)
        ):
            begun = None
    return begun


def _is_end(entry: JournalEntry, started: JournalEntry) -> bool:
    """Tell whether a line says that what was trained has its place: a trial's promotion does not."""
    is_first = (entry.market_ns, entry.by) == (started.market_ns, started.by)
    return entry.event == CHALLENGER or (entry.event == PROMOTED and is_first)
