"""Featurize on a real broker: two workers, one of which joins and leaves in mid-stream."""

from __future__ import annotations

import secrets
import threading
import time

from stage_runs import CORE, market, write

from volspike.bus.topic_plan import TopicPlan, is_compacted, planned_topics
from volspike.bus.topics import FEATURES, TICKS
from volspike.bus.transactions import ExactlyOnce
from volspike.clock import SystemClock
from volspike.errors import BusError
from volspike.pipeline.feature_rows import FeatureRows
from volspike.pipeline.featurize_stage import FeaturizeStage
from volspike.records import Tick

PARTITIONS = 4
LONGEST_S = 60.0


class Worker(threading.Thread):
    def __init__(self, bootstrap: str, name: str, suffix: str) -> None:
        super().__init__()
        from volspike.bus.kafka import KafkaLog

        self._stop_asked = threading.Event()
        self._log = KafkaLog(bootstrap, name=name + suffix, session_s=6.0)
        self._reader = KafkaLog(bootstrap)
        self.loop = ExactlyOnce(
            self._log,
            f"featurize{suffix}",
            [TICKS.name + suffix],
            FeaturizeStage(self._reader, CORE, suffix=suffix),
            SystemClock(),
            batch_rows=200,
            state_s=0.5,
        )
        self.error: BusError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.loop.run(self._stop_asked.is_set)
        except BusError as error:
            self.error = error
        finally:
            self._log.close()
            self._reader.close()

    def leave(self) -> int:
        self._stop_asked.set()
        self.join(LONGEST_S)
        assert self.error is None
        return self.loop.processed


def wait_for(condition) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_workers_that_join_and_leave_show_every_row_once_and_to_the_bit(kafka_bootstrap: str) -> None:
    from volspike.bus.kafka import KafkaLog

    suffix = f"-{secrets.token_hex(4)}"
    log = KafkaLog(kafka_bootstrap)
    plans = [
        TopicPlan(p.name + suffix, PARTITIONS, -1, is_compacted(p.name)) for p in planned_topics(1, None)
    ]
    log.cluster.create(plans)
    ticks = market(duration_s=240, copies=5)
    third = len(ticks) // 3
    first = Worker(kafka_bootstrap, "w1", suffix)
    write(log, ticks[:third], suffix)
    wait_for(lambda: first.loop.processed > 0)
    second = Worker(kafka_bootstrap, "w2", suffix)
    for start in range(third, 2 * third, 100):
        write(log, ticks[start : min(start + 100, 2 * third)], suffix)
        time.sleep(0.05)
    wait_for(lambda: second.loop.processed > 0 or first.loop.processed + second.loop.processed == 2 * third)
    write(log, ticks[2 * third : 2 * third + 500], suffix)
    by_second = second.leave()
    write(log, ticks[2 * third + 500 :], suffix)
    wait_for(lambda: first.loop.processed + by_second == len(ticks))
    first.leave()
    assert by_second > 0
    found: dict[str, list[bytes]] = {}
    wait_for(
        lambda: (
            sum(len(log.read(FEATURES.name + suffix, 0, 10**6, n)) for n in range(PARTITIONS)) >= len(ticks)
        )
    )
    for number in range(PARTITIONS):
        for record in log.read(FEATURES.name + suffix, 0, 10**6, number):
            found.setdefault(record.key, []).append(record.value)
    for product, values in expected_rows(ticks).items():
        differ = [(i, a, b) for i, (a, b) in enumerate(zip(found[product], values, strict=True)) if a != b]
        assert not differ, (product, len(values), len(differ), differ[0])
    log.close()


def expected_rows(ticks: list) -> dict[str, list[bytes]]:
    rows: dict[str, FeatureRows] = {}
    expected: dict[str, list[bytes]] = {}
    for record in ticks:
        row = record
        if isinstance(record, Tick):
            maker = rows.setdefault(record.product, FeatureRows(CORE, record.price_decimals))
            row = maker.row(record, record.covered_since_ns)
        expected.setdefault(record.product, []).append(FEATURES.encode(row))
    return expected
