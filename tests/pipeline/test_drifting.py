"""What a report of drift reads, and the bounds of one that is made beside a job."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volspike.labels.dataset import Dataset
from volspike.models.standing import Standing
from volspike.monitoring.data_quality import StoredRows
from volspike.monitoring.drift_windows import Window, choose_windows
from volspike.pipeline import drifting, stored_data
from volspike.pipeline.beside import Beside
from volspike.pipeline.drifting import DriftRequest
from volspike.pipeline.home import Home
from volspike.pipeline.limits import NICE
from volspike.pipeline.stored_candles import silent
from whole_runs import PRODUCT, finished, one_line_failure, settings_for, start, volspike, wait_until

MINUTE_NS = 60 * 10**9


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the number of rows of each reading of the store."""
    rows: list[int] = []
    real = stored_data.read_features

    def noted(*given: Any) -> Any:
        table = real(*given)
        rows.append(len(table))
        return table

    monkeypatch.setattr(stored_data, "read_features", noted)
    return rows


def assert_same_windows(
    found: tuple[Dataset, StoredRows], expected: tuple[Dataset, StoredRows], request: DriftRequest
) -> None:
    def windows_of(dataset: Dataset) -> tuple[Window, Window]:
        pair = choose_windows(dataset, request.compare, request.hours, request.reference_ns)
        return pair.reference, pair.current

    for mine, theirs in zip(windows_of(found[0]), windows_of(expected[0]), strict=True):
        assert (mine.first_ns, mine.last_ns, mine.evidence) == (
            theirs.first_ns,
            theirs.last_ns,
            theirs.evidence,
        )
        assert len(mine.rows) > 300
        for name in ("event_ns", "features", "rv_bps", "mid", "sigma_future_bps", "unlabelled"):
            values = (getattr(found[0], name)[mine.rows], getattr(expected[0], name)[theirs.rows])
            np.testing.assert_array_equal(*values, err_msg=name)
        stored = [each[1].between(mine.first_ns, mine.last_ns) for each in (found, expected)]
        for name in StoredRows.__slots__:
            values = tuple(getattr(each, name) for each in stored)
            np.testing.assert_array_equal(*values, err_msg=name)


def test_of_windows_that_are_known_beforehand_no_other_rows_are_read(
    trained: Callable[[], Path], read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(trained())
    settings = settings_for(home.root)
    whole = drifting._compared(home, settings, DriftRequest(), silent)
    (every,) = read
    newest_ns = int(whole.dataset.event_ns[-1])
    reference_ns = (newest_ns - 80 * MINUTE_NS, newest_ns - 65 * MINUTE_NS)
    request = DriftRequest("recent", hours=0.25, reference_ns=reference_ns)
    # With a day behind it, there is one span, and all of it is read.
    together = drifting._compared(home, settings, request, silent)
    assert read[1:] == [every]
    assert_same_windows((together.dataset, together.rows), (whole.dataset, whole.rows), request)
    monkeypatch.setattr(drifting, "TRAILING_NS", 10 * MINUTE_NS)
    apart = drifting._compared(home, settings, request, silent)
    assert len(read[2:]) == 2
    assert sum(read[2:]) < every / 2
    assert_same_windows((apart.dataset, apart.rows), (whole.dataset, whole.rows), request)
    run = apart.dataset.run
    begin = int(np.argmax(np.diff(apart.dataset.event_ns))) + 1
    assert run[begin - 1] < run[begin]
    assert apart.scored is not None
    assert len(apart.scored.p_spike) == len(apart.dataset)


def test_a_reference_of_which_nothing_is_stored_is_thin_and_no_error(
    trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(trained())
    monkeypatch.setattr(drifting, "TRAILING_NS", MINUTE_NS)
    request = DriftRequest("recent", hours=0.1, reference_ns=(0, 10**18))
    stored = drifting._compared(home, settings_for(home.root), request, silent)
    pair = choose_windows(stored.dataset, "recent", request.hours, request.reference_ns)
    assert pair.reference.is_thin
    assert not pair.current.is_thin


def test_one_that_the_caretaker_begins_gives_way_to_all_others(trained: Callable[[], Path]) -> None:
    process = Beside(Home(trained()), 60.0, lambda: 0.0)
    process.report_drift(Standing(PRODUCT, "exchange"))
    running = process._verb._running
    assert running is not None
    nice = min(19, os.nice(0) + NICE)
    wait_until(lambda: running.poll() is not None or os.getpriority(os.PRIO_PROCESS, running.pid) == nice)
    assert running.poll() is None
    process.close()


def test_beyond_its_time_it_ends_in_a_line(
    trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLSPIKE_RETRAIN_LIMIT_S", "0.1")
    line = one_line_failure(finished(start("drift", "--data-dir", trained(), "--bounded")))
    assert line.startswith("volspike: report of drift: it took longer than 0.1 s and was ended")


def test_out_of_memory_it_ends_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[tuple[object, ...]] = []

    @contextmanager
    def noted(*given: object) -> Iterator[None]:
        bounds.append(given)
        yield

    def too_much(*_given: object) -> None:
        np.ones(2**45)

    monkeypatch.setattr("volspike.pipeline.limits.one_thread", lambda: None)  # it is for a process
    monkeypatch.setattr("volspike.pipeline.limits.bounded", noted)
    monkeypatch.setattr("volspike.pipeline.drifting.report_drift", too_much)
    ran = volspike("drift", "--data-dir", tmp_path, "--bounded")
    assert "report of drift: MemoryError: Unable to allocate" in one_line_failure(ran)
    assert bounds == [(1_800.0, 4_096, "report of drift")]
