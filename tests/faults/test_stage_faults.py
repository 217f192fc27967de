"""Workers of both stages on a real broker: killed, frozen, joined, fed junk, and late for what is deleted."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import pytest
from broker_runs import (
    LONGEST_S,
    PARTITIONS,
    STAGES,
    Found,
    Pipeline,
    grouped,
    shown_by,
    start_forks,
    undisturbed,
)
from stage_runs import POINTS, Runs, market

from volspike.bus.port import Outgoing, Retention
from volspike.bus.topics import DEADLETTER, FEATURES, GAPS, TICKS, Topic

SESSION_S = 6.0
PORTION = 150


@pytest.fixture
def pipeline(kafka_bootstrap: str, make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return make_pipeline(kafka_bootstrap, session_s=SESSION_S)


def test_fault_32_workers_killed_at_each_step_of_the_protocol_show_everything_once(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    start_forks()
    ticks, fed = market(duration_s=900, breaks_s=(100.0,), copies=3), 0
    deadline = time.monotonic() + LONGEST_S
    chains = [_dying_at_each_step(pipeline, stage) for stage in STAGES]
    while chains:
        assert time.monotonic() < deadline, (pipeline.counts(), fed, pipeline.ended)
        # By and by: a life that takes all there is leaves nothing for the next ones to die of.
        if pipeline.has_read_all("featurize"):
            pipeline.feed(ticks[fed : fed + PORTION])
            fed += PORTION
        chains = [chain for chain in chains if next(chain, False)]
        time.sleep(0.02)
    assert fed < len(ticks)
    pipeline.finish(undisturbed(ticks[:fed], tmp_path / "log.db"))


def _dying_at_each_step(pipeline: Pipeline, stage: str) -> Iterator[bool]:
    """Start a worker for each step, which dies there; yield while it lives. The last one stays."""
    for point in POINTS:
        leaves = point == "stage.hand_over"
        # At the third visit the state is some batches behind.
        life = pipeline.start(stage, point=point, nth=1 if leaves else 3)
        while leaves and not life.is_at_work:
            yield True
        if leaves:
            life.send(SIGTERM)
        while life.exit_code is None:
            yield True
        assert life.exit_code == -SIGKILL, (point, life.said())
    pipeline.start(stage)


@pytest.mark.timeout(1_200)
def test_fault_32_workers_killed_at_random_points_show_everything_once(
    pipeline: Pipeline, full: bool, tmp_path: Path
) -> None:
    kills = 100 if full else 5
    ticks = market(duration_s=1_800 if full else 450, copies=3)
    rng = random.Random(1)
    for stage in STAGES:
        pipeline.start(stage)
    size = len(ticks) // kills
    for n in range(kills):
        pipeline.feed(ticks[n * size : (n + 1) * size if n < kills - 1 else len(ticks)])
        worker = pipeline.workers[f"{rng.choice(STAGES)}-w1"]
        pipeline.until(lambda worker=worker: worker.is_at_work)
        time.sleep(rng.uniform(0, 0.4))
        worker.send(SIGKILL)
        assert worker.wait() == -SIGKILL, worker.said()
        pipeline.tend()
    assert pipeline.ended == [str(-SIGKILL)] * kills
    pipeline.finish(undisturbed(ticks, tmp_path / "log.db"))


def test_fault_29_workers_that_join_and_leave_in_mid_window_show_everything_once(
    pipeline: Pipeline, ticks: list, expected: Found
) -> None:
    quarter = len(ticks) // 4
    for stage in STAGES:
        pipeline.start(stage)
    _feed_slowly(pipeline, ticks[:quarter])
    joined = [pipeline.start(stage, "w2") for stage in STAGES]
    _feed_slowly(pipeline, ticks[quarter : 2 * quarter])
    pipeline.until(lambda: all(worker.is_at_work for worker in joined))
    pipeline.feed(ticks[2 * quarter : 3 * quarter])
    pipeline.until(lambda: all(pipeline.has_read_all(stage) for stage in STAGES))
    pipeline.feed(ticks[3 * quarter : -quarter // 2])
    pipeline.stop(joined)
    assert all(int(worker.said()[-1].removeprefix("processed ")) > 100 for worker in joined)
    pipeline.feed(ticks[-quarter // 2 :])
    pipeline.finish(expected)
    assert not pipeline.ended


def _feed_slowly(pipeline: Pipeline, records: Sequence) -> None:
    for start in range(0, len(records), 100):
        pipeline.feed(records[start : start + 100])
        time.sleep(0.05)


@pytest.mark.parametrize("overslept", [False, True], ids=["", "for longer than a session"])
def test_fault_29_frozen_workers_whose_place_was_taken_are_fenced_and_write_nothing(
    overslept: bool, pipeline: Pipeline, ticks: list, expected: Found
) -> None:
    frozen = [pipeline.start(stage) for stage in STAGES]
    pipeline.feed(ticks[: len(ticks) // 2])
    pipeline.until(lambda: all(worker.is_at_work for worker in frozen))
    for worker in frozen:
        worker.send(SIGSTOP)
    for stage in STAGES:
        pipeline.start(stage)
    pipeline.until(lambda: all(worker.is_at_work for worker in pipeline.workers.values()))
    # Behind the session's end a client takes itself for lost and would join anew, under its name.
    time.sleep(1.5 * SESSION_S if overslept else 0.0)
    for worker in frozen:
        worker.send(SIGCONT)
    pipeline.feed(ticks[len(ticks) // 2 :])
    for worker in frozen:
        assert worker.wait() == 1, worker.said()
        assert worker.said()[-1].startswith("FencedError: ")
    pipeline.finish(expected)
    assert not pipeline.ended


def test_fault_31_a_poison_record_is_a_dead_letter_once_and_the_stream_goes_on(
    pipeline: Pipeline, ticks: list, expected: Found
) -> None:
    half = len(ticks) // 2
    pipeline.feed(ticks[:half])
    pipeline.foreign = {b"\xff junk", b"{}"}
    for topic, product in ((TICKS, "BTC-USD0"), (FEATURES, "ETH-USD1")):
        name = topic.name + pipeline.suffix
        pipeline.log.append([Outgoing(name, product, value, 1) for value in sorted(pipeline.foreign)])
    pipeline.feed(ticks[half:])
    for stage in STAGES:
        # Killed with the junk taken, and some of it not committed.
        pipeline.start(stage, point="bus.append.before_commit", nth=3)
    pipeline.finish(expected)
    assert pipeline.ended == [str(-SIGKILL)] * 2
    junk = [
        (record.topic, record.partition, record.offset, record.key, record.value)
        for topic in (TICKS, FEATURES)
        for record in pipeline.read(topic.name)
        if record.value in pipeline.foreign
    ]
    letters = [DEADLETTER.decode(record.value) for record in pipeline.read(DEADLETTER.name)]
    told = [(each.topic, each.partition, each.offset, each.product, each.raw) for each in letters]
    assert sorted(told) == sorted(junk)
    assert len(junk) == 4


def test_fault_30_where_retention_passes_a_stage_coverage_begins_anew_and_nothing_comes_twice(
    pipeline: Pipeline, ticks: list, tmp_path: Path
) -> None:
    """A third is done; then a fifth of the ticks left is deleted unread, and of the rows made of the rest."""
    third = len(ticks) // 3
    pipeline.feed(ticks[:third])
    for stage in STAGES:
        pipeline.start(stage)
    pipeline.until(lambda: pipeline.rows() == third and pipeline.has_read_all("score"))
    pipeline.stop()
    used = [number for number in range(PARTITIONS) if pipeline.records(TICKS.name, number)]
    twins = [_Twin(pipeline, number, tmp_path) for number in used]
    pipeline.feed(ticks[third:])
    for twin in twins:
        twin.delete_ticks()
    rows = sum(twin.featurize() for twin in twins)
    pipeline.start("featurize")
    pipeline.until(lambda: pipeline.rows() == rows)
    pipeline.stop()
    expected: Found = {}
    for twin in twins:
        twin.delete_rows()
        for topic, each in twin.score().items():
            expected.setdefault(topic, {}).update(each)
    pipeline.start("score")
    pipeline.finish(expected)
    gaps = [GAPS.decode(record.value) for record in pipeline.read(GAPS.name)]
    assert {gap.reason for gap in gaps} == {"retention"}
    assert sorted(gap.product for gap in gaps) == sorted(expected[FEATURES.name])
    for gap in gaps:
        stretches = [
            FEATURES.decode(value).covered_since_ns for value in expected[FEATURES.name][gap.product]
        ]
        assert gap.to_ns in stretches


class _Twin:
    """One partition on an embedded log, of which the same is deleted."""

    def __init__(self, pipeline: Pipeline, number: int, directory: Path) -> None:
        self._pipeline = pipeline
        self._number = number
        self._runs = Runs(directory / f"{number}.db")
        self._log = self._runs.open()
        self._done = self._copy_ticks()
        for stage in STAGES:
            assert self._runs.run(stage)

    def delete_ticks(self) -> None:
        count = self._done + self._copy_ticks()
        self._delete(TICKS, count)

    def featurize(self) -> int:
        """Return how many rows there are."""
        assert self._runs.run("featurize")
        self._features = self._log.read(FEATURES.name, 0, 10**6)
        return len(self._features)

    def delete_rows(self) -> None:
        self._delete(FEATURES, len(self._features))

    def score(self) -> Found:
        assert self._runs.run("score")
        found = shown_by(self._runs)
        found[FEATURES.name] = grouped((record.key, record.value) for record in self._features)
        self._runs.close()
        return found

    def _copy_ticks(self) -> int:
        there = self._log.end_offset(TICKS.name)
        records = self._pipeline.records(TICKS.name, self._number)[there:]
        self._log.append([Outgoing(TICKS.name, r.key, r.value, r.event_ns) for r in records])
        return len(records)

    def _delete(self, topic: Topic, count: int) -> None:
        """Delete, on both, of ``count`` records the first fifth behind those of the first third."""
        kept_from = self._done + (count - self._done) // 5
        assert self._log.retain(topic.name, Retention(rows=count - kept_from)) == kept_from
        offset = self._pipeline.records(topic.name, self._number)[kept_from].offset
        name = topic.name + self._pipeline.suffix
        self._pipeline.log.cluster.delete_before(name, self._number, offset)
