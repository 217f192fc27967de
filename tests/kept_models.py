"""A data directory with models on trial and a graded ledger, and a caretaker for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
import numpy.typing as npt

from made_bundles import FEED, PRODUCT
from made_records import PREDICTION
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing
from volspike.bus.topics import PREDICTIONS
from volspike.evaluation.episodes import GradedSeconds
from volspike.monitoring.graded import BLOCK_S, GradedRows
from volspike.monitoring.grading import GradedBlock
from volspike.monitoring.journal import JournalEntry, read_journal
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.caretaker import Caretaker
from volspike.pipeline.grading_topics import TopicGrader
from volspike.pipeline.home import Home
from volspike.pipeline.retraining import Request
from volspike.testing.manual_clock import ManualClock
from whole_runs import settings_for

NS = 1_000_000_000
F8 = npt.NDArray[np.float64]


def noisy(p: F8, noise: float, seed: int = 3) -> F8:
    """Return probabilities whose log-odds are off by so much, the same for thirty rows."""
    off = np.random.default_rng(seed).normal(size=len(p) // 30 + 1).repeat(30)[: len(p)]
    odds = np.log(p / (1.0 - p)) + noise * off
    return 1.0 / (1.0 + np.exp(-odds))


def graded_rows(
    rows: GradedSeconds, champion: F8, challenger: F8, version: str, challenger_version: str
) -> GradedRows:
    """Return what a ledger holds of two models that have told these probabilities; no reference is told."""
    n, none = len(rows.second), np.full(len(rows.second), np.nan)
    return GradedRows(
        second=rows.second,
        covered_since_ns=np.full(n, rows.second[0] * NS),
        spike=rows.spike,
        tau_bps=np.full(n, 5.0),
        sigma_future_bps=np.where(rows.spike == 1, 8.0, 2.0),
        mid=np.full(n, 80_000.0),
        p=champion,
        sigma_bps=2.0 + 6.0 * champion,
        reference_p=none,
        reference_sigma_bps=none,
        challenger_p=challenger,
        challenger_sigma_bps=2.0 + 6.0 * challenger,
        version=np.full(n, version),
        challenger_version=np.full(n, challenger_version),
        in_sample=np.zeros(n, np.bool_),
        fallback=np.zeros(n, np.bool_),
    )


def write_ledger(home: Home, rows: GradedRows, product: str = PRODUCT) -> None:
    """Write the rows as blocks."""
    ledger = Ledger(home.ledger)
    of = rows.second // BLOCK_S
    for block in np.unique(of).tolist():
        ledger.add(GradedBlock(product, block * BLOCK_S, rows.where(of == block)))


class Kept:
    """A caretaker on a data directory; ``asked`` are the retrainings it has asked for.

    A market time is told to it as the job does it: by a prediction on the log.
    """

    def __init__(self, root: Path, **given: object) -> None:
        self.home = Home(root)
        self.asked: list[Request] = []
        self._log = EmbeddedLog(self.home.log, ManualClock())
        self._ledger = Ledger(self.home.ledger)
        self._settings = settings_for(root, **{"products": (PRODUCT,), **given})

    def __enter__(self) -> Kept:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._log.close()

    def caretaker(self, retrain: Callable[[Request], None] | None = None) -> Caretaker:
        """Return one that has just started."""
        grader = TopicGrader(self._log, self._ledger)
        return Caretaker(self.home, self._settings, FEED, grader, self._ledger, retrain or self.asked.append)

    def at(self, second: int) -> None:
        """Let it be so late in the market."""
        record = msgspec.structs.replace(PREDICTION, event_ns=second * NS, id=str(second))
        self._log.append([Outgoing(PREDICTIONS.name, PRODUCT, PREDICTIONS.encode(record), record.event_ns)])

    def journal(self) -> list[JournalEntry]:
        """Return all entries."""
        return read_journal(self.home.journal)

    def events(self) -> list[tuple[str, str, str]]:
        """Return event, version and cause of all entries."""
        return [(each.event, each.version, each.by) for each in self.journal()]
