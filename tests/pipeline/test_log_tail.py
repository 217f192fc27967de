"""The newest prediction of each product is found at the end of the log, within the last hour of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from made_records import PREDICTION
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing
from volspike.bus.topics import PREDICTIONS
from volspike.pipeline import log_tail
from volspike.pipeline.log_tail import BAND_REACH_NS, newest_predictions
from volspike.testing.manual_clock import ManualClock

NS = 1_000_000_000


@pytest.mark.parametrize("chunk", [1, 3, 10_000])
def test_the_newest_of_each_product_within_an_hour_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(log_tail, "READ_ROWS", chunk)
    log = EmbeddedLog(tmp_path / "log.db", ManualClock())
    try:
        assert newest_predictions(log, ("A",)) == {}
        end_ns = 2_000_000_000 * NS
        made = [
            replace(PREDICTION, product=product, event_ns=event_ns, id=f"{n:016x}")
            for n, (product, event_ns) in enumerate(
                [
                    ("C", end_ns - BAND_REACH_NS - 1),
                    ("B", end_ns - BAND_REACH_NS),
                    ("A", end_ns - 5),
                    ("A", end_ns - 4),
                    ("D", end_ns),
                ]
            )
        ]
        log.append(
            [
                Outgoing(PREDICTIONS.name, each.product, PREDICTIONS.encode(each), each.event_ns)
                for each in made
            ]
        )
        assert newest_predictions(log, ("A", "B", "C", "E")) == {"A": made[3], "B": made[1]}
        assert newest_predictions(log, ()) == {}
    finally:
        log.close()
