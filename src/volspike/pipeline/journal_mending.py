"""Lines of the audit log for what was done to a product's models by a process that died before it told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from volspike.models.standing import Entry, Standing, change_standing
from volspike.monitoring.journal import (
    BY_FOUND,
    CHALLENGER,
    PROMOTED,
    RETIRED,
    ROLLED_BACK,
    JournalEntry,
    newest,
    not_ahead,
    read_journal,
)
from volspike.pipeline.home import Home
from volspike.pipeline.promotion import step, tell_change

_FOUND = "found in place and not told: training did it, or a process ended in between"


def mend_journal(home: Home, standing: Standing, market_ns: int) -> None:
    """Add the lines of what was done to a product's models and not told."""

    def tell(_before: Standing, now: Standing) -> None:
        journal = not_ahead(read_journal(home.journal, now.product, now.feed), market_ns)
        for event, entry in _untold(now, journal):
            tell_change(home, step(now, event, entry, BY_FOUND, _FOUND, market_ns, {}))

    change_standing(home.models, standing.product, standing.feed, lambda now: now, tell)


def _untold(now: Standing, journal: Sequence[JournalEntry]) -> Iterator[tuple[str, Entry | None]]:
    """Yield what a standing shows and its journal lacks: a crown, an end of a trial, a beginning of one.

    A first champion that training made is no news.
    """
    told, placed = newest(journal, PROMOTED, ROLLED_BACK), newest(journal, CHALLENGER)
    was_tried = any(each.event == CHALLENGER and each.version == now.version for each in journal)
    if told.version != now.version if told is not None else was_tried:
        yield ROLLED_BACK if now.champion is None else PROMOTED, now.champion
    if placed is not None and _is_on_trial(journal, placed.version):
        entry = Entry(placed.model, placed.version)
        if entry not in (now.champion, now.challenger):
            yield RETIRED, entry
    if now.challenger is not None and not _is_on_trial(journal, now.challenger.version):
        yield CHALLENGER, now.challenger


def _is_on_trial(journal: Sequence[JournalEntry], version: str) -> bool:
    """Tell whether the newest that a journal says of a model is that its trial began."""
    about = [each for each in journal if each.version == version]
    last = newest(about, CHALLENGER, RETIRED, PROMOTED, ROLLED_BACK)
    return last is not None and last.event == CHALLENGER
