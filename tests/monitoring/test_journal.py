"""The audit log: torn and foreign lines cost themselves alone, and a full disk is told."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volspike.errors import ModelError
from volspike.monitoring.journal import (
    DRIFT_ALARM,
    PROMOTED,
    RETRAIN_STARTED,
    JournalEntry,
    JournalReader,
    append_entry,
    newest,
    read_journal,
)


def entry(
    number: int, event: str = PROMOTED, product: str = "BTC-USD", feed: str = "exchange"
) -> JournalEntry:
    return JournalEntry(
        market_ns=number,
        event=event,
        product=product,
        feed=feed,
        by="trial",
        reason="because\nof it",
        detail={"log_e": 3.5, "rows": 7, "none": None},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.ndjson"


def test_entries_come_back_in_order_and_by_product_and_feed(path: Path) -> None:
    assert read_journal(path) == []
    written = [
        entry(1),
        entry(2, DRIFT_ALARM, "ETH-USD"),
        entry(3, RETRAIN_STARTED, feed="advanced"),
        entry(4),
    ]
    for each in written:
        append_entry(path, each)
    assert read_journal(path) == written
    assert read_journal(path, "ETH-USD") == written[1:2]
    assert read_journal(path, "BTC-USD", "exchange") == [written[0], written[3]]
    assert newest(written, PROMOTED) == written[3]
    assert newest(written, DRIFT_ALARM, RETRAIN_STARTED) == written[2]
    assert newest(written, "never") is None
    assert len(path.read_bytes().splitlines()) == 4


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 200), max_size=12))
def test_a_reader_that_looks_in_mid_line_tells_each_entry_once(cuts: list[int], tmp_path: Path) -> None:
    whole_path, path = tmp_path / "whole.ndjson", tmp_path / "growing.ndjson"
    for each in (whole_path, path):
        each.unlink(missing_ok=True)
    written = [entry(1), entry(2, product="ETH-USD"), entry(3), entry(4)]
    for each in written:
        append_entry(whole_path, each)
    whole = whole_path.read_bytes()
    reader = JournalReader(path)
    assert reader.news() == []
    told = []
    for cut in sorted({*np.cumsum(cuts).clip(max=len(whole)).tolist(), len(whole)}):
        path.write_bytes(whole[:cut])
        told += reader.news()
    assert told == written
    assert reader.of("BTC-USD", "exchange") == [written[0], written[2], written[3]]
    assert reader.of("SOL-USD", "exchange") == reader.news() == []


def test_what_a_reader_has_read_of_one_product_is_news_still(path: Path) -> None:
    """A drift alarm that came between a look for news and one at the standings was never told."""
    reader = JournalReader(path)
    append_entry(path, entry(1))
    assert reader.news() == [entry(1)]
    append_entry(path, entry(2))
    append_entry(path, entry(3, product="ETH-USD"))
    assert reader.of("BTC-USD", "exchange") == [entry(1), entry(2)]
    assert reader.news() == [entry(2), entry(3, product="ETH-USD")]
    assert reader.news() == []


def test_a_reader_begins_anew_where_the_journal_is_another_one(path: Path) -> None:
    for number in range(3):
        append_entry(path, entry(number))
    reader = JournalReader(path)
    assert len(reader.news()) == 3
    path.unlink()
    assert reader.of("BTC-USD", "exchange") == []
    append_entry(path, entry(7))
    assert reader.of("BTC-USD", "exchange") == [entry(7)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 250))
def test_invariant_06_a_torn_line_is_passed_over_and_the_next_is_whole(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "torn.ndjson"
    path.unlink(missing_ok=True)
    append_entry(path, entry(1))
    append_entry(path, entry(2))
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    kept = max(len(lines[0]), len(whole) - cut)
    path.write_bytes(whole[:kept])
    append_entry(path, entry(3))
    # What lacks its line end alone is all there.
    second = [entry(2)] if kept >= len(whole) - 1 else []
    assert read_journal(path) == [entry(1), *second, entry(3)]


@pytest.mark.parametrize(
    "foreign", [b"\xff\xfe", b"{}", b"null", b"[" * 100_000, b'{"market_ns":"x"}', b"\x00" * 50, b""]
)
def test_foreign_lines_are_passed_over(foreign: bytes, path: Path) -> None:
    append_entry(path, entry(1))
    with path.open("ab") as file:
        file.write(foreign + b"\n")
    append_entry(path, entry(2))
    assert read_journal(path) == [entry(1), entry(2)]


def test_a_field_that_a_later_version_writes_does_no_harm(path: Path) -> None:
    append_entry(path, entry(1))
    path.write_bytes(path.read_bytes().replace(b'{"v":1', b'{"later":[1],"v":2'))
    assert [each.market_ns for each in read_journal(path)] == [1]


def test_a_journal_that_can_not_be_used_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    for use in (
        lambda path: append_entry(path, entry(1)),
        read_journal,
        lambda path: JournalReader(path).news(),
    ):
        with pytest.raises(ModelError, match="directory"):
            use(tmp_path / "directory")


_FULL = """
import signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_journal import entry
from volspike.errors import ModelError
from volspike.monitoring.journal import append_entry
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    for number in range(100):
        append_entry(Path(sys.argv[1]), entry(number))
except ModelError as error:
    print(number, error)
"""


def test_a_full_disk_is_told_and_what_was_written_stays(path: Path) -> None:
    """A process that may write no file beyond 2,000 bytes, as if the disk were full."""
    ran = subprocess.run(
        [sys.executable, "-c", _FULL, str(path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000)),
    )
    number, _, words = ran.stdout.partition(" ")
    assert "can't be written" in words, ran
    assert path.stat().st_size == 2_000
    assert [each.market_ns for each in read_journal(path)] == list(range(int(number)))
    append_entry(path, entry(1_000))
    assert read_journal(path)[int(number) :] == [entry(1_000)]
