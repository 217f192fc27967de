"""Where ``realism`` takes its markets from: the synthetic one, and the recordings beside the checkout."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from volspike.clock import SystemClock
from volspike.exchange.candles import CandleTable
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_feature_set
from volspike.features.store import read_features, stored_kinds
from volspike.features.table import ADMITTED_COLUMNS, TICK, FeatureTable
from volspike.pipeline.batch import BatchStage
from volspike.pipeline.home import Home
from volspike.pipeline.replay import replay_features
from volspike.recording.archive import ArchiveWriter
from volspike.recording.candle_csv import read_candle_csv
from volspike.recording.importer import import_recordings
from volspike.recording.sniff import ImportOptions
from volspike.records import UNKNOWN, Tick
from volspike.simulation.market import MarketTick
from volspike.simulation.synthetic import SyntheticMarket

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CORE = get_feature_set("core")
SCALES = PriceScales()
FEED = "exchange"
_SEVERAL = 65_536
# The Exchange's stamps are whole microseconds.
_STAMP_NS = 1_000


# Below the folder of recorded ticks. Of December, all but two recorders that overlap in a zone of their own.
RECORDINGS: Mapping[str, tuple[str, ...]] = {
    "nov-25": ("nov-2025-exchange-feed.ndjson.gz",),
    "dec-25": tuple(f"dec-2025/*_202512{day}_*.ndjson.gz" for day in ("01_164446", "05", "06")),
    "apr-26 03h": ("apr-2026-04T0319-btc-eth.ndjson.gz",),
    "apr-26 22h": ("apr-2026-04T2254.ndjson.gz",),
}
MINUTES = "minutes/*.csv.gz"

Tables = dict[str, dict[str, list[FeatureTable]]]
"""Feature tables by product, then by the name of the recording."""


def recorded_tables(data: Path) -> Tables:
    """Import every group of recordings into an archive that is gone afterwards, and replay it.

    Parameters
    ----------
    data : Path
        The folder of recordings.

    Returns
    -------
    dict
        Without the groups of which there is no file.
    """
    found: Tables = defaultdict(dict)
    for name, patterns in RECORDINGS.items():
        paths = [path for pattern in patterns for path in sorted((data / "ticks").glob(pattern))]
        for product, tables in (_replayed(paths) if paths else {}).items():
            found[product][name] = tables
    return found


def _replayed(paths: list[Path]) -> dict[str, list[FeatureTable]]:
    with TemporaryDirectory(prefix="volspike-realism-") as directory:
        home = Home(Path(directory))
        writer = ArchiveWriter(home.root, SystemClock())
        try:
            import_recordings(paths, writer, ImportOptions(), SCALES)
        finally:
            writer.close()
        replay_features(home, CORE, SCALES, lambda _frames: None)
        kinds = stored_kinds(home.features)
        return {product: [read_features(home.features, product, feed)] for product, feed, _ in kinds}


def recorded_minutes(data: Path) -> CandleTable | None:
    """Return the recorded minutes of BTC-USD as candles; None where there are none."""
    tables = [read_candle_csv(path)[0] for path in sorted(data.glob(MINUTES))]
    joined = None
    for table in tables:
        joined = table if joined is None else joined.joined(table)
    return joined


def synthetic_tables(market: SyntheticMarket) -> dict[str, list[FeatureTable]]:
    """Return the feature tables of a synthetic market with an end, by product, as a replay would give them.

    They lack only the marks of seconds without a tick, and the snapshot of the subscription.
    """
    rows: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    stages: dict[str, BatchStage] = {}
    tables: dict[str, list[FeatureTable]] = defaultdict(list)
    since_ns: dict[str, int] = {}
    for position, tick in enumerate(_ticks(market)):
        product = tick.product
        if product not in stages:
            since_ns[product] = tick.event_ns
            stages[product] = BatchStage(first_tick(tick), CORE)
        place = (TICK, position, 0, tick.event_ns, since_ns[product])
        rows[product].append((*place, *_quote(tick), False, *_trade(tick)))  # ADMITTED_COLUMNS
        if len(rows[product]) == _SEVERAL:
            tables[product] += _taken(stages[product], rows.pop(product))
    for product, rest in rows.items():
        tables[product] += _taken(stages[product], rest)
    return tables


def _ticks(market: SyntheticMarket) -> Iterator[MarketTick]:
    """Yield the ticks with stamps and prices in the units in which a replay would have them."""
    for event in market.events():
        if isinstance(event, MarketTick):
            decimals = SCALES.decimals(event.product)
            unit = 10 ** (decimals - event.price_decimals)
            yield msgspec.structs.replace(
                event,
                event_ns=event.event_ns // _STAMP_NS * _STAMP_NS,
                bid=event.bid * unit,
                ask=event.ask * unit,
                price=event.price * unit,
                price_decimals=decimals,
            )


def _quote(tick: MarketTick) -> tuple[int, int, int, int]:
    return tick.bid, tick.ask, tick.bid_size, tick.ask_size


def _trade(tick: MarketTick) -> tuple[int, int, int]:
    return tick.price, tick.size, UNKNOWN


def first_tick(tick: MarketTick) -> Tick:
    """Return what a batch stage asks of the first tick of a product."""
    return Tick(
        product=tick.product,
        feed=FEED,
        session="synthetic",
        event_ns=tick.event_ns,
        covered_since_ns=tick.event_ns,
        bid=tick.bid,
        ask=tick.ask,
        price_decimals=tick.price_decimals,
        archive_seq=0,
        archive_row=0,
        identity="",
    )


def _taken(stage: BatchStage, rows: list[tuple[int, ...]]) -> list[FeatureTable]:
    columns = np.array(rows, np.int64).T
    assert len(columns) == len(ADMITTED_COLUMNS)
    return [*stage.extend(columns), stage.take()] if len(rows) else []
