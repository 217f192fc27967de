"""Rows on the topic are matched to the archive by position, and each fault is counted as what it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import LogRecord, Outgoing
from volspike.bus.topics import FEATURES
from volspike.clock import SystemClock
from volspike.exchange.products import PriceScales
from volspike.pipeline.home import Home
from volspike.pipeline.row_comparison import FAULTS, RowComparison, compare_rows
from whole_runs import PRODUCT, live_run, market_after_history, one_line_failure, ticks_at_least, volspike

ROWS = 200


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    root = tmp_path_factory.mktemp("ran") / "data"
    live_run(root, market_after_history(), ticks_at_least(ROWS))
    return Home(root)


@pytest.fixture(scope="module")
def written(home: Home) -> list[LogRecord]:
    with closing(EmbeddedLog(home.log, SystemClock())) as log:
        return log.read(FEATURES.name, 0, 100_000)


def compared(home: Home, path: Path, records: Sequence[LogRecord]) -> RowComparison:
    with closing(EmbeddedLog(path, SystemClock())) as log:
        log.append([Outgoing(FEATURES.name, each.key, each.value, each.event_ns) for each in records])
        return compare_rows(log, "", home, PriceScales(), "core")


def test_what_was_written_equals_the_archive(home: Home, written, tmp_path: Path) -> None:
    found = compared(home, tmp_path / "log.db", written)
    assert found.counts["identical"] == found.counts["rows"] == len(written) >= ROWS
    assert found.faults == {}
    assert found.first_fault == ""


@pytest.mark.parametrize("kind", FAULTS)
def test_one_fault_is_counted_once_and_named(kind: str, home: Home, written, tmp_path: Path) -> None:
    """Whatever is amiss with one record, all others are still found where they belong."""
    changed, at, seq = list(written), 50, FEATURES.decode(written[50].value).archive_seq
    if kind == "different":
        event = FEATURES.decode(written[50].value)
        event = msgspec.structs.replace(event, covered_since_ns=event.covered_since_ns + 1)
        changed[50] = msgspec.structs.replace(written[50], value=FEATURES.encode(event))
    elif kind == "missing":
        del changed[50]
    elif kind == "extra":
        changed.insert(50, msgspec.structs.replace(written[50], value=b"junk"))
    elif kind == "duplicates":
        changed.insert(51, written[50])
        at = 51
    else:
        changed[50], changed[51] = changed[51], changed[50]
        at = 51
    found = compared(home, tmp_path / "log.db", changed)
    assert found.faults == {kind: 1}
    lost = kind in ("different", "missing")
    assert found.counts["identical"] == len(written) - lost
    place = f"archive {seq}/" if kind == "missing" else f"ticks.features, partition 0, offset {at}, {PRODUCT}"
    assert place in found.first_fault


def test_products_of_another_archive_are_not_compared(home: Home, written, tmp_path: Path) -> None:
    foreign = [msgspec.structs.replace(each, key="OTHER-USD") for each in written[:9]]
    found = compared(home, tmp_path / "log.db", [*foreign, *written])
    assert found.faults == {}
    assert found.counts["of_other_products"] == 9
    assert found.counts["rows"] == len(written)


def test_nothing_to_compare_is_told_and_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "data" / "raw").mkdir(parents=True)
    ran = volspike("verify", "--topics", "embedded", "--data-dir", tmp_path / "data", "--json")
    assert "nothing was compared" in one_line_failure(ran)


def test_verify_names_the_first_fault(home: Home, written) -> None:
    with closing(EmbeddedLog(home.log, SystemClock())) as log:
        log.append([Outgoing(FEATURES.name, PRODUCT, written[-1].value, written[-1].event_ns)])
    ran = volspike("verify", "--topics", "embedded", "--data-dir", home.root, "--json")
    first = f"the first: duplicate: ticks.features, partition 0, offset {len(written)}, {PRODUCT}"
    assert first in one_line_failure(ran)
    assert ran.report["duplicates"] == 1
