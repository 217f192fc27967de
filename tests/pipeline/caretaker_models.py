"""A champion and a challenger with a made ledger, for tests of the caretaker."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import drift_markets
from kept_models import NS, Kept, graded_rows, noisy
from made_bundles import FEED, PRODUCT, entry_of, make_bundle
from volspike.evaluation.episodes import GradedSeconds
from volspike.models.standing import (
    Entry,
    Standing,
    crown_champion,
    place_challenger,
    standing_of,
)
from volspike.monitoring.graded import GradedRows
from volspike.monitoring.journal import (
    CHALLENGER,
    RETRAIN_STARTED,
    JournalEntry,
    append_entry,
)
from volspike.pipeline.home import Home

HOURS = 40
EVERY_S = 10  # a product that has a tick in ten seconds


def thinned(rows: GradedSeconds, p: np.ndarray) -> tuple[GradedSeconds, np.ndarray]:
    kept = slice(None, None, EVERY_S)
    return GradedSeconds(rows.second[kept], rows.run[kept], rows.spike[kept]), p[kept]


ROWS, TRUE = thinned(*drift_markets.seconds(HOURS, 1))
BEGIN_S, END_S = int(ROWS.second[0]), int(ROWS.second[-1]) + EVERY_S
WEAK = noisy(TRUE, 1.0)
DAY_S = 86_400


class Models:
    """A champion that serves and a challenger in its shadow, placed when the ledger begins."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.home.create()
        self.champion = entry_of(make_bundle(self.home.models, 1, span_ns=(1, BEGIN_S * NS - 1)))
        self.challenger = entry_of(make_bundle(self.home.models, 2, span_ns=(1, BEGIN_S * NS - 1)))
        crown_champion(self.home.models, self.champion.name, self.champion.version)
        place_challenger(self.home.models, self.challenger.name, self.challenger.version)
        self.tell(RETRAIN_STARTED, Entry("", ""))
        self.tell(CHALLENGER, self.challenger)

    @property
    def standing(self) -> Standing:
        return standing_of(self.home.models, PRODUCT, FEED)

    def tell(self, event: str, entry: Entry, second: int = BEGIN_S, by: str = "schedule") -> None:
        append_entry(
            self.home.journal,
            JournalEntry(
                market_ns=second * NS,
                event=event,
                product=PRODUCT,
                feed=FEED,
                model=entry.name,
                version=entry.version,
                by=by,
            ),
        )

    def rows(self, champion=WEAK, challenger=TRUE) -> GradedRows:
        return graded_rows(ROWS, champion, challenger, self.champion.version, self.challenger.version)


def lines(kept: Kept) -> list[JournalEntry]:
    """Return what the journal has beyond the beginning of the trial."""
    return kept.journal()[2:]
