"""What time it is in the market of a data directory, for steps that are done by hand."""

from __future__ import annotations

from volspike.clock import Clock
from volspike.exchange.candles import FEED as CANDLES
from volspike.models.standing import Standing
from volspike.monitoring.graded import BLOCK_S
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.home import Home

HOUR_NS = 3_600_000_000_000
NS = 1_000_000_000


def market_ns_of(home: Home, standing: Standing, clock: Clock) -> int:
    """Return the market time (ns) of a step that is done now.

    It is that of the wall, unless the market's clock is another, as with a simulator or with recordings: then
    the file of the newest rows was not written when these rows were new. There it is the newest event time
    known, of graded or of feature rows.

    Parameters
    ----------
    standing : Standing
        Whose product and feed are meant.
    clock : Clock
        Of the wall.
    """
    if standing.feed == CANDLES:
        return clock.market_ns()
    known = [*_graded(home, standing.product), *_rows(home, standing.product, standing.feed)]
    newest_ns, written_ns = max(known, default=(0, 0))
    return newest_ns if abs(written_ns - newest_ns) > HOUR_NS else clock.market_ns()


def _graded(home: Home, product: str) -> list[tuple[int, int]]:
    """Return the end of the newest graded half hour, and when it was written; nothing without one."""
    ledger = Ledger(home.ledger)
    start_s, written_ns = ledger.newest_s(product), ledger.newest_written_ns(product)
    return [] if start_s is None or written_ns is None else [((start_s + BLOCK_S) * NS, written_ns)]


def _rows(home: Home, product: str, feed: str) -> list[tuple[int, int]]:
    """Return the newest event time of the stored rows, and when they were written; nothing without any."""
    from volspike.features.store import finished_files, key_of, newest_rows

    paths = [path for path in finished_files(home.features) if key_of(path) == (product, feed)]
    if not paths:
        return []
    _, _, newest_ns = newest_rows(home.features, product, feed)
    return [(newest_ns, max(path.stat().st_mtime_ns for path in paths))]
