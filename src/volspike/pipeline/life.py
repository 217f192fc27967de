"""Where the models of a product stand, in a line: who serves, who is on trial, whether drift was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from volspike.exchange.decimals import format_time_ns
from volspike.models.standing import Entry, Standing
from volspike.monitoring.journal import CHALLENGER, DRIFT_ALARM, RETRAIN_FAILED, JournalEntry


@dataclass(frozen=True)
class Life:
    """What standing and journal say of the models of a product and feed.

    Attributes
    ----------
    challenger : Entry or None
        Who is on trial.
    since_ns : int or None
        Since when, market time; None while the journal has not told it.
    alarms : dict of str to int
        When drift was last found (market time, ns), by version of the model.
    is_tended : bool
        Whether somebody looks after them.
    has_failed : bool
        Whether the newest retraining has.
    """

    challenger: Entry | None
    since_ns: int | None
    alarms: dict[str, int]
    is_tended: bool
    has_failed: bool = False

    def words(self, version: str) -> str:
        """Return the line of what is served in this version.

        Examples
        --------
        ``champion 81bb29277dbd, on trial: logistic 626da51fa152 since 07-29 12:10, drift: none``
        """
        trial = "nobody" if self.challenger is None else str(self.challenger)
        since = "" if self.since_ns is None else f" since {_minute(self.since_ns)}"
        if not self.is_tended:
            drift = "not watched, as no caretaker runs"
        else:
            drift = f"ALARM {_minute(self.alarms[version])}" if version in self.alarms else "none"
        return f"champion {version}, on trial: {trial}{since}, drift: {drift}"


def life_of(standing: Standing, journal: Sequence[JournalEntry], *, is_tended: bool) -> Life:
    """Return the life of a standing's models; ``journal`` has the entries of its product and feed."""
    challenger = standing.challenger
    begun = [
        each.market_ns
        for each in journal
        if each.event == CHALLENGER and challenger is not None and each.version == challenger.version
    ]
    alarms = {each.version: each.market_ns for each in journal if each.event == DRIFT_ALARM}
    has_failed = bool(journal) and journal[-1].event == RETRAIN_FAILED
    return Life(challenger, begun[-1] if begun else None, alarms, is_tended, has_failed)


def _minute(time_ns: int) -> str:
    return format_time_ns(time_ns)[5:16].replace("T", " ")
