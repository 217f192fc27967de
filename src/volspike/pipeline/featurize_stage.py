"""Ticks to feature rows between topics: the stage ``featurize``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from volspike.bus.port import Log, LogRecord, Outgoing
from volspike.bus.topics import FEATURES, GAPS, TICKS
from volspike.errors import FeatureError, ProtocolError
from volspike.exchange.products import MAX_PRICE_DECIMALS
from volspike.features.columns import FeatureSet
from volspike.features.window import out_of_order
from volspike.logs import get_logger
from volspike.pipeline.feature_rows import FeatureRows
from volspike.pipeline.product_stage import PartitionMemory, ProductStage
from volspike.pipeline.stretch import Stretch
from volspike.records import UNKNOWN, Gap, Mark, Tick

_encode = msgspec.json.Encoder().encode
_BLOB = "window"

log = get_logger()


class _Stored(msgspec.Struct, array_like=True):
    product: str
    feed: str
    price_decimals: int
    newest_ns: int
    stretch: Stretch
    window: bytes


class _Window(msgspec.Struct):
    rows: FeatureRows
    stretch: Stretch
    newest_ns: int = UNKNOWN


class FeaturizeStage(ProductStage[_Window]):
    """Reads ticks and marks, writes feature rows and marks.

    Behind a hole in the ticks, and where a product is first seen in the middle of its stretch, coverage
    begins anew at the first tick: so no window spans the hole, and no window is complete that has not seen
    all of its minute. A gap record with reason ``retention`` says so. Marks before that tick are kept back.

    A record that can't be used becomes a dead letter.

    Parameters
    ----------
    reader : Log
        Read to restore.
    feature_set : FeatureSet
        Of all rows.
    suffix : str
        Ends the name of every topic, so that several pipelines fit on one cluster.
    """

    def __init__(self, reader: Log, feature_set: FeatureSet, *, suffix: str = "") -> None:
        super().__init__(reader, "featurize", suffix)
        self._feature_set = feature_set

    @property
    def _source(self) -> str:
        return TICKS.name + self._suffix

    def _take(self, partition: PartitionMemory[_Window], records: Sequence[LogRecord]) -> list[Outgoing]:
        out: list[Outgoing] = []
        decode, target = TICKS.decode, FEATURES.name + self._suffix
        products, changed, hole = partition.products, partition.changed, partition.hole
        for record in records:
            try:
                event = decode(record.value)
                product = event.product
                key = (product, event.feed)
                window = products.get(key)
                if window is not None and event.event_ns < window.newest_ns:
                    raise out_of_order(event.event_ns)
                if type(event) is Mark:
                    if window is None or window.stretch.hole != hole:
                        continue
                    value = self._mark(window, event)
                    window.newest_ns = event.event_ns
                    changed.add(key)
                else:
                    own_ns = event.covered_since_ns
                    if window is None or own_ns != window.stretch.own_ns or hole != window.stretch.hole:
                        window = self._move(partition, window, event, record, out)
                    value = _encode(window.rows.row(event, window.stretch.since_ns))
                    window.newest_ns = event.event_ns
                    changed.add(key)
            except (ProtocolError, FeatureError, OverflowError) as error:
                out.append(self._dead(record, error))
                continue
            out.append(Outgoing(target, product, value, event.event_ns))
        return out

    def _mark(self, window: _Window, mark: Mark) -> bytes:
        stretch = window.stretch
        if stretch.since_ns != mark.covered_since_ns:
            if mark.covered_since_ns != stretch.own_ns:
                stretch.move(mark.covered_since_ns)
            mark = msgspec.structs.replace(mark, covered_since_ns=stretch.since_ns)
        return _encode(mark)

    def _move(
        self,
        partition: PartitionMemory[_Window],
        window: _Window | None,
        tick: Tick,
        record: LogRecord,
        out: list[Outgoing],
    ) -> _Window:
        """Take account of a new product, stretch or hole at its first tick; return the window to use."""
        own_ns, event_ns = tick.covered_since_ns, tick.event_ns
        if window is None:
            # The first tick of a stretch has it begin: of any other, ticks before it are missing.
            resumes, from_ns = own_ns < event_ns, own_ns
            window = _Window(self._rows(tick), Stretch(hole=partition.hole))
            partition.products[tick.product, tick.feed] = window
        else:
            resumes, from_ns = window.stretch.hole != partition.hole, window.newest_ns
            if window.rows.price_decimals != tick.price_decimals:
                window.rows = self._rows(tick)
        if resumes:
            window.stretch.resume(own_ns, event_ns, partition.hole)
            out.append(self._gap_record(tick, record, from_ns))
        else:
            window.stretch.move(own_ns)
        return window

    def _rows(self, tick: Tick) -> FeatureRows:
        if not 0 <= tick.price_decimals <= MAX_PRICE_DECIMALS:
            reason = f"{tick.price_decimals} price decimals are not within 0 to {MAX_PRICE_DECIMALS}"
            raise FeatureError(tick.product, reason, "correct what wrote the tick")
        return FeatureRows(self._feature_set, tick.price_decimals)

    def _gap_record(self, tick: Tick, record: LogRecord, from_ns: int) -> Outgoing:
        gap = Gap(
            gap_id=f"{record.topic}/{record.partition}/{record.offset}",
            product=tick.product,
            feed=tick.feed,
            session=tick.session,
            reason="retention",
            from_ns=from_ns,
            to_ns=tick.event_ns,
        )
        return Outgoing(GAPS.name + self._suffix, tick.product, _encode(gap), tick.event_ns)

    def _load(self, partition: PartitionMemory[_Window], state: Mapping[str, bytes]) -> None:
        for name in self._store.names(state, _BLOB):
            stored = msgspec.msgpack.decode(self._store.unpack(state, name), type=_Stored)
            rows = FeatureRows(self._feature_set, stored.price_decimals)
            try:
                rows.restore(stored.window)
            except FeatureError as error:
                # The product is new then, and its coverage begins anew.
                log.warning("a stored window can't be used", product=stored.product, reason=error.reason)
                continue
            window = _Window(rows, stored.stretch, stored.newest_ns)
            partition.products[stored.product, stored.feed] = window

    def _write(self, partition: PartitionMemory[_Window], key: tuple[str, str]) -> list[Outgoing]:
        window = partition.products[key]
        product, feed = key
        stored = _Stored(
            product,
            feed,
            window.rows.price_decimals,
            window.newest_ns,
            window.stretch,
            window.rows.snapshot(),
        )
        blob = msgspec.msgpack.encode(stored)
        return self._store.pack(partition.number, f"{product}|{feed}|{_BLOB}", blob, partition.newest_ns)
