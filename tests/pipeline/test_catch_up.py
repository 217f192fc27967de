"""What a start finds undone in the log, down to single records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from made_records import MARK, make_alert, make_prediction, make_tick, row_of
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing
from volspike.bus.topics import ALERTS, FEATURES, GAPS, OUTCOMES, PREDICTIONS, TICKS, Topic
from volspike.pipeline.catch_up import CatchUp
from volspike.recording.frame import Frame, SegmentHeader
from volspike.records import Alert, Gap, Mark, Outcome, Prediction, Record, Tick
from volspike.testing.manual_clock import ManualClock

NS = 1_000_000_000
PRODUCTS = ("A-USD", "B-USD")
HEADER = SegmentHeader(
    feed="exchange", dialect="exchange", session="s", products=PRODUCTS, heartbeats=True, origin="live"
)


def tick(seq: int, second: float, product: str = "A-USD", covered_since_s: int = 0) -> Tick:
    return make_tick(
        product=product,
        event_ns=int(second * NS),
        covered_since_ns=covered_since_s * NS,
        bid=100_00 + seq % 3,
        ask=100_02 + seq % 3,
        price_decimals=2,
        archive_seq=seq,
        identity=f"{product}:{seq}",
    )


def mark(seq: int, second: int, product: str) -> Mark:
    return replace(MARK, product=product, event_ns=second * NS, covered_since_ns=0, archive_seq=seq)


def prediction(of: Tick, late: bool = False) -> Prediction:
    place = {"product": of.product, "identity": of.identity, "event_ns": of.event_ns}
    return make_prediction(id=f"p{of.archive_seq}", tau_bps=0.5, late=late, **place)


def alert(id_: str, state: str, second: int, opened: int) -> Alert:
    return make_alert(id=id_, product="A-USD", state=state, event_ns=second * NS, opened_ns=opened * NS)


@pytest.fixture
def log(tmp_path: Path) -> Any:
    made = EmbeddedLog(tmp_path / "log.db", ManualClock())
    yield made
    made.close()


def write(log: EmbeddedLog, *records: tuple[Topic, Record]) -> None:
    log.append([Outgoing(t.name, t.key(r), t.encode(r), t.event_ns(r)) for t, r in records])


def caught_up(
    log: EmbeddedLog,
    directory: Path,
    frames: list[list[Tick | Mark | Gap]],
    passed_ns: Mapping[str, int] = MappingProxyType({}),
) -> tuple[list[tuple[str, Any]], list[Alert]]:
    """Give the frames to a catch-up; return what it logs and what it tells."""
    put: list[tuple[str, Any]] = []
    catch_up = CatchUp(
        log, directory / "alerts.ndjson", lambda topic, record: put.append((topic.name, record))
    )
    catch_up.begin(HEADER, passed_ns)
    for admitted in frames:
        first = admitted[-1]
        assert isinstance(first, Tick | Mark)
        rows = [row_of(answer) if isinstance(answer, Tick) else None for answer in admitted]
        catch_up.frame(Frame(first.archive_seq, first.event_ns, "s", b"{}"), admitted, rows)
    return put, catch_up.finish()


def test_an_empty_log_gets_all_in_the_order_in_which_it_is_made(log, tmp_path: Path) -> None:
    first, second = tick(1, 1.0), mark(2, 3, "A-USD")
    put, _ = caught_up(log, tmp_path, [[first], [second]])
    assert put == [
        ("ticks.raw", first),
        ("ticks.features", row_of(first)),
        ("ticks.raw", second),
        ("ticks.features", second),
    ]


def test_a_batch_may_end_between_any_two_records_of_a_frame(log, tmp_path: Path) -> None:
    first, second = tick(1, 1.0), tick(3, 5.0)
    gap = Gap(
        gap_id="s/3", product="A-USD", feed="exchange", session="s", reason="heartbeats", from_ns=1, to_ns=5
    )
    marks: list[Tick | Mark | Gap] = [mark(2, 3, product) for product in PRODUCTS]
    frames: list[list[Tick | Mark | Gap]] = [[first], marks, [gap, second]]
    whole: list[tuple[Topic, Record]] = [(TICKS, first), (FEATURES, row_of(first))]
    whole += [(topic, each) for each in marks for topic in (TICKS, FEATURES)]
    whole += [(GAPS, gap), (TICKS, second), (FEATURES, row_of(second))]
    for logged in range(len(whole)):
        if logged:
            write(log, whole[logged - 1])
        put, _ = caught_up(log, tmp_path, frames)
        assert put == [(topic.name, record) for topic, record in whole[logged:]], logged


def test_predictions_are_graded_where_their_minute_was_whole(log, tmp_path: Path) -> None:
    ticks = [tick(1 + second, second + 0.5) for second in range(200)]
    settled, whole, late, cut = (prediction(ticks[second], second == 70) for second in (60, 61, 70, 150))
    write(
        log, *((topic, record) for t in ticks[:151] for topic, record in ((TICKS, t), (FEATURES, row_of(t))))
    )
    write(log, *((PREDICTIONS, made) for made in (settled, whole, late, cut)))
    outcome = Outcome(
        prediction_id=settled.id, product="A-USD", event_ns=1, matured_ns=60 * NS, p_spike=0.5, tau_bps=0.5
    )
    write(log, (OUTCOMES, outcome))
    put, _ = caught_up(log, tmp_path, [[each] for each in ticks])
    outcomes = {record.prediction_id: record for name, record in put if name == "ticks.outcomes"}
    assert set(outcomes) == {whole.id, late.id, cut.id}
    assert outcomes[whole.id].unlabelled is None
    assert outcomes[whole.id].matured_ns == ticks[122].event_ns
    assert outcomes[whole.id].spike == (outcomes[whole.id].sigma_future_bps >= 0.5)
    assert [outcomes[made.id].unlabelled for made in (late, cut)] == ["late", "break"]


@pytest.mark.parametrize("passed", [False, True])
def test_a_product_long_silent_is_not_forgotten(log, tmp_path: Path, passed: bool) -> None:
    silent = [tick(1 + second, second + 0.5, "B-USD") for second in range(100)]
    lively = [tick(200 + second, second + 100.5) for second in range(900)]
    write(log, *((TICKS, each) for each in (*silent, *lively)))
    made = [prediction(silent[-1]), prediction(lively[-1])]
    write(log, *((PREDICTIONS, each) for each in made))
    passed_ns = {"B-USD": silent[-1].event_ns} if passed else {}
    read = lively if passed else [*silent, *lively]
    put, _ = caught_up(log, tmp_path, [[each] for each in read], passed_ns)
    outcomes = [record for name, record in put if name == "ticks.outcomes"]
    assert [(o.prediction_id, o.unlabelled) for o in outcomes] == [(each.id, "break") for each in made]


def test_an_alert_left_open_is_closed_where_it_was_opened(log, tmp_path: Path) -> None:
    done = [alert("done", "opened", 10, 10), alert("done", "closed", 20, 10)]
    logged, told = alert("logged", "opened", 930, 930), alert("told", "opened", 950, 950)
    last = tick(1, 960.0)
    write(log, (TICKS, last), (FEATURES, row_of(last)), *((ALERTS, each) for each in (*done, logged)))
    lines = [msgspec.json.encode(each) for each in (*done, told)]
    (tmp_path / "alerts.ndjson").write_bytes(b"\n".join(lines) + b'\n{"torn": ')
    put, to_tell = caught_up(log, tmp_path, [[last]])
    closed = [
        msgspec.structs.replace(each, state="closed", event_ns=last.event_ns) for each in (logged, told)
    ]
    assert put == [("ticks.alerts", each) for each in (told, *closed)]
    assert to_tell == [logged, *closed]
    write(log, *((ALERTS, each) for each in (told, *closed)))
    assert caught_up(log, tmp_path, [[last]])[0] == []
