"""A position on the bus is of one archive: another data directory under its name is refused, harming none."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from volspike.bus.state_store import StateStore
from volspike.bus.topic_plan import planned_topics
from volspike.bus.topics import TICKS
from volspike.clock import SimulatedClock
from volspike.errors import BusError
from volspike.pipeline.archive_id import archive_id
from volspike.pipeline.frame_records import FrameRecords
from volspike.pipeline.home import Home
from volspike.pipeline.ingest_job import IngestJob, open_ingest
from volspike.records import Mark
from whole_runs import settings_for, wait_until

PARTITIONS = 2


@pytest.fixture
def suffix(kafka_bootstrap: str) -> str:
    from volspike.bus.kafka import KafkaLog

    made = f"-{secrets.token_hex(4)}"
    with closing(KafkaLog(kafka_bootstrap)) as log:
        log.cluster.create(planned_topics(PARTITIONS, None, made))
    return made


@pytest.fixture
def ingest(kafka_bootstrap: str, suffix: str, tmp_path: Path) -> Iterator[Callable[..., IngestJob]]:
    jobs = []

    def opened(directory: str, name: str = "ingest") -> IngestJob:
        where = {"bus": "kafka", "kafka_bootstrap": kafka_bootstrap, "topic_suffix": suffix}
        settings = settings_for(tmp_path / directory, **where)
        jobs.append(open_ingest(settings, name, 50, SimulatedClock()))
        return jobs[-1]

    yield opened
    for job in jobs:
        job.close()


def mark(seq: int) -> FrameRecords:
    record = Mark(
        product="BTC-USD",
        feed="exchange",
        session="s",
        event_ns=seq * 10**9,
        covered_since_ns=0,
        archive_seq=seq,
        archive_row=0,
    )
    return FrameRecords(seq, seq * 10**9, [(TICKS, record)])


def test_another_data_directory_of_the_same_name_is_refused_and_the_first_goes_on(ingest) -> None:
    first = ingest("first")
    first.publisher.put(mark(1))
    wait_until(lambda: first.publisher.published == 1)
    with pytest.raises(BusError) as refused:
        ingest("second")
    assert str(refused.value) == "name 'ingest': belongs to another data directory; give --name"
    first.publisher.put(mark(2))
    wait_until(lambda: first.publisher.published == 2)
    assert first.publisher.failure is None
    assert ingest("second", "second").publisher.failure is None


def test_a_name_is_taken_before_anything_is_published(ingest) -> None:
    first = ingest("first")
    wait_until(lambda: first.publisher.seq == 0)
    with pytest.raises(BusError, match="another data directory"):
        ingest("second")


def test_a_position_of_an_earlier_version_is_accepted_once_and_gets_the_id(
    ingest, kafka_bootstrap: str, suffix: str
) -> None:
    from volspike.bus.kafka import KafkaLog

    with closing(KafkaLog(kafka_bootstrap)) as log:
        store = StateStore(log, f"ingest{suffix}")
        log.append([store.record(0, "ingest", b'{"seq":0}', 0)])
        first = ingest("first")
        wait_until(lambda: first.publisher.seq == 0)
        with pytest.raises(BusError, match="another data directory"):
            ingest("second")
        assert len(msgspec.json.decode(store.load(0)["ingest"])["archive"]) == 32


def test_a_position_ahead_of_its_own_archive_is_told_with_both_numbers(
    ingest, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ingest("first")
    # Published and not archived: what a power cut leaves.
    first.publisher.put(mark(7))
    wait_until(lambda: first.publisher.published == 1)
    first.close()
    again = ingest("first")
    assert again.archive.last_seq == 7
    told = capsys.readouterr().err
    assert "published_to=7" in told
    assert "archived_to=0" in told


def test_an_id_is_made_once_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    file = Home(tmp_path).archive_id
    made = archive_id(file)
    assert archive_id(file) == made
    other = tmp_path / "other"
    other.mkdir()
    assert archive_id(Home(other).archive_id) != made
    file.write_text("")
    with pytest.raises(BusError, match="holds no id of an archive"):
        archive_id(file)
