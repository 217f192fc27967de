"""The rows and marks on ``ticks.features`` held to what the archive leads to, byte by byte."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from volspike.bus.port import Log, LogRecord
from volspike.bus.topics import FEATURES, TICKS
from volspike.errors import ProtocolError
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_tick_set
from volspike.pipeline.archive_past import ArchivePast
from volspike.pipeline.feature_rows import FeatureRows
from volspike.pipeline.home import Home
from volspike.pipeline.stage_report import topic_records
from volspike.recording.reader import Archive
from volspike.records import FeatureRow, Mark, Tick

_EVER = 1 << 62
# Of what is compared, what should be 0.
FAULTS = ("different", "missing", "extra", "duplicates", "out_of_order")


class Position(NamedTuple):
    """Where in the archive a row or mark comes from; one each for a product."""

    seq: int
    row: int
    is_mark: bool


@dataclass(frozen=True)
class RowComparison:
    """What a comparison found.

    Attributes
    ----------
    counts : dict of str to int
        ``rows`` on the topic, of these ``identical``, ``different``, ``extra`` (the archive does not lead to
        them), ``duplicates`` of one before, and how many came ``out_of_order``; rows ``missing`` on the
        topic; rows ``of_other_products``, which this archive has not and which are not compared.
    first_fault : str
        Where the first of them lies; empty without any.
    """

    counts: dict[str, int]
    first_fault: str

    @property
    def faults(self) -> dict[str, int]:
        """The counts that should be 0 and are not."""
        return {name: self.counts[name] for name in FAULTS if self.counts[name]}

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to compare, on the topic and in the archive."""
        return not self.counts["rows"] and not self.counts["missing"]

    def as_dict(self) -> dict[str, Any]:
        """Return the counts, and where the first fault lies."""
        return {**self.counts, "first_fault": self.first_fault or None}


class _Expected:
    """What the archive leads to of one product: the bytes by position, in order."""

    def __init__(self) -> None:
        self.values: dict[Position, bytes] = {}

    def since(self, seq: int) -> dict[Position, tuple[int, bytes]]:
        kept = (each for each in self.values.items() if each[0].seq >= seq)
        return {position: (rank, value) for rank, (position, value) in enumerate(kept)}


def compare_rows(log: Log, suffix: str, home: Home, scales: PriceScales, feature_set: str) -> RowComparison:
    """Hold the rows and marks of ``ticks.features`` to what the archive leads to, byte by byte.

    They are matched by their position in the archive. Of each product only what lies behind the first record
    on the topic: retention may have deleted others, and an ingest publishes no frames that were archived
    before it.
    """
    expected = _expected_rows(home, scales, feature_set)
    found: dict[str, list[tuple[Position | None, LogRecord]]] = defaultdict(list)
    for record in topic_records(log, FEATURES.name + suffix):
        found[record.key].append((_position(record), record))
    others = sum(len(records) for product, records in found.items() if product not in expected)
    firsts = {
        product: min((position.seq for position, _ in found[product] if position is not None), default=0)
        for product in found.keys() & expected.keys()
    }
    first_of_all = min(firsts.values(), default=0)
    comparing = _Comparing()
    for product in sorted(expected):
        wanted = expected[product].since(firsts.get(product, first_of_all))
        comparing.product(product, wanted, found[product])
    return RowComparison({**comparing.counts, "of_other_products": others}, comparing.first_fault)


class _Comparing:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(("rows", "identical", *FAULTS), 0))
        self.first_fault = ""

    def product(
        self,
        product: str,
        wanted: dict[Position, tuple[int, bytes]],
        found: list[tuple[Position | None, LogRecord]],
    ) -> None:
        seen: set[Position] = set()
        newest = -1
        self.counts["rows"] += len(found)
        for position, record in found:
            if position is None or position not in wanted:
                self._fault("extra", record)
                continue
            if position in seen:
                self._fault("duplicates", record)
                continue
            seen.add(position)
            rank, value = wanted[position]
            if value == record.value:
                self.counts["identical"] += 1
            else:
                self._fault("different", record)
            if rank < newest:
                self._fault("out_of_order", record)
            newest = max(newest, rank)
        self._miss(product, [position for position in wanted if position not in seen])

    def _fault(self, kind: str, record: LogRecord) -> None:
        self.counts[kind] += 1
        what = kind.replace("_", " ").removesuffix("s")
        place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        self.first_fault = self.first_fault or f"{what}: {place}, {record.key}"

    def _miss(self, product: str, missing: list[Position]) -> None:
        self.counts["missing"] += len(missing)
        if missing:
            place = f"archive {missing[0].seq}/{missing[0].row}, {product}"
            self.first_fault = self.first_fault or f"missing: {place}"


def _position(record: LogRecord) -> Position | None:
    """Return the position that a record names, None if it is none that can be read."""
    try:
        event = FEATURES.decode(record.value)
    except ProtocolError:
        return None
    return Position(event.archive_seq, event.archive_row, isinstance(event, Mark))


def _expected_rows(home: Home, scales: PriceScales, feature_set: str) -> dict[str, _Expected]:
    expected: dict[str, _Expected] = defaultdict(_Expected)
    for event in _expected_events(home, scales, feature_set):
        position = Position(event.archive_seq, event.archive_row, isinstance(event, Mark))
        expected[event.product].values[position] = FEATURES.encode(event)
    return expected


def _expected_events(home: Home, scales: PriceScales, feature_set: str) -> Iterator[FeatureRow | Mark]:
    made: dict[tuple[str, str], FeatureRows] = {}
    chosen = get_tick_set(feature_set)
    for frame in ArchivePast(Archive(home.root), scales, 0).unpublished(_EVER):
        for topic, event in frame.records:
            if topic is TICKS and isinstance(event, Tick):
                key = (event.product, event.feed)
                rows = made.get(key) or made.setdefault(key, FeatureRows(chosen, event.price_decimals))
                yield rows.row(event, event.covered_since_ns)
            elif topic is TICKS and isinstance(event, Mark):
                yield event
