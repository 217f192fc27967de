"""The broker itself fails under both stages: killed, restarted, away, its disk full, one of three lost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from broker_runs import LONGEST_S, STAGES, Found, Pipeline

from volspike.bus.local_broker import LocalBrokers

MIB = 1 << 20


def test_fault_26_a_broker_killed_and_restarted_under_load_costs_nothing(
    kafka_cache: Path,
    tmp_path: Path,
    make_pipeline: Callable[..., Pipeline],
    ticks: list,
    expected: Found,
    full: bool,
) -> None:
    third = len(ticks) // 3
    with LocalBrokers(tmp_path / "brokers", kafka_cache) as brokers:
        pipeline = make_pipeline(brokers.bootstrap)
        pipeline.feed(ticks[:third])
        for stage in STAGES:
            pipeline.start(stage)
        pipeline.until(lambda: pipeline.rows() > 0)
        brokers.kill_broker(0)
        time.sleep(30 if full else 5)
        brokers.start_broker(0)
        pipeline.feed(ticks[third : 2 * third])
        brokers.stop_broker(0)
        brokers.start_broker(0)
        pipeline.feed(ticks[2 * third :])
        pipeline.finish(expected)
        # The workers have waited, and needed nobody to start them again.
        assert not pipeline.ended
        pipeline.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a broker's data directory on a file system of its own, of 200 MiB."""
    directory = tmp_path / "brokers" / "broker-1" / "data"
    directory.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(directory)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small file system can be mounted here: {error}")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def test_fault_27_a_full_disk_ends_the_broker_and_with_space_all_goes_on(
    full: bool,
    small_disk: Path,
    kafka_cache: Path,
    tmp_path: Path,
    make_pipeline: Callable[..., Pipeline],
    ticks: list,
    expected: Found,
) -> None:
    _only_if(full)
    with LocalBrokers(tmp_path / "brokers", kafka_cache) as brokers:
        pipeline = make_pipeline(brokers.bootstrap)
        pipeline.feed(ticks)
        for stage in STAGES:
            pipeline.start(stage)
        pipeline.until(lambda: pipeline.rows() > 0)
        balloon = small_disk / "balloon"
        with pytest.raises(OSError, match="No space left"):
            _fill(balloon)
        deadline = time.monotonic() + LONGEST_S
        while brokers.is_running(0):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "No space left" in brokers.log_file().read_text()
        balloon.unlink()
        brokers.start_broker(0)
        pipeline.finish(expected)
        assert not pipeline.ended
        pipeline.close()


def _fill(balloon: Path) -> None:
    with balloon.open("wb", buffering=0) as file:
        for size in (MIB, 1):
            try:
                while file.write(b"0" * size):
                    pass
            except OSError:
                if size == 1:
                    raise


def test_fault_26_three_brokers_lose_one_under_load_and_show_everything_once(
    full: bool,
    kafka_cache: Path,
    tmp_path: Path,
    make_pipeline: Callable[..., Pipeline],
    ticks: list,
    expected: Found,
) -> None:
    _only_if(full)
    half = len(ticks) // 2
    with LocalBrokers(tmp_path / "brokers", kafka_cache, count=3) as brokers:
        pipeline = make_pipeline(brokers.bootstrap)
        for stage in STAGES:
            pipeline.start(stage)
        pipeline.feed(ticks[:half])
        pipeline.until(lambda: pipeline.rows() > 0)
        brokers.kill_broker(0)
        pipeline.feed(ticks[half:])
        pipeline.finish(expected)
        assert not pipeline.ended
        pipeline.close()


def _only_if(full: bool) -> None:
    if not full:
        pytest.skip("long: make faults runs it")
