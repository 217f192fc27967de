"""Delivery: sinks that work, fail, hang and restart; the caller never waits."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import msgspec
import pytest

from made_records import make_alert
from volspike.alerts.dispatcher import AlertDispatcher, DeadAlert
from volspike.alerts.sinks import ConsoleSink, NdjsonSink, alert_line
from volspike.errors import ConfigError
from volspike.records import Alert

T0 = 1_776_000_000_000_000_000


def numbered(number: int, state: str = "opened") -> Alert:
    return make_alert(
        id=f"{number:016x}",
        state=state,
        event_ns=T0 + (90_000_000_000 if state == "closed" else 0),
        opened_ns=T0,
        p_spike=0.83,
        threshold=0.6,
        sigma_now_bps=3.21,
        sigma_bps=9.14,
        tau_bps=4.0,
        mid=97_000.125,
    )


def lines(path: Path) -> list[Alert]:
    return [msgspec.json.decode(line, type=Alert) for line in path.read_bytes().splitlines()]


def letters(path: Path) -> list[DeadAlert]:
    return [msgspec.json.decode(line, type=DeadAlert) for line in path.read_bytes().splitlines()]


class Collector:
    def __init__(self, name: str = "collector") -> None:
        self.name = name
        self.alerts: list[Alert] = []
        self.closed = False

    def deliver(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def close(self) -> None:
        self.closed = True


class Failing(Collector):
    """Fails the first ``times`` deliveries."""

    def __init__(self, times: int) -> None:
        super().__init__("failing")
        self.times = times
        self.calls = 0

    def deliver(self, alert: Alert) -> None:
        self.calls += 1
        if self.calls <= self.times:
            raise ConnectionError("500 from the server")
        super().deliver(alert)


class Hanging(Collector):
    def __init__(self) -> None:
        super().__init__("hanging")
        self.gate = threading.Event()

    def deliver(self, alert: Alert) -> None:
        self.gate.wait(30)
        super().deliver(alert)


def make_dispatcher(tmp_path: Path, *sinks, **settings) -> AlertDispatcher:
    return AlertDispatcher(sinks, tmp_path / "dead.ndjson", **{"retry_pause_s": 0.001} | settings)


def test_every_sink_gets_every_alert_in_order(tmp_path: Path) -> None:
    a, b = Collector("a"), Collector("b")
    dispatcher = make_dispatcher(tmp_path, a, b)
    alerts = [numbered(number) for number in range(50)]
    for alert in alerts:
        dispatcher.push(alert)
    dispatcher.close()
    assert a.alerts == b.alerts == alerts
    assert a.closed
    assert b.closed
    assert dispatcher.counts()["a"].delivered == 50
    assert not (tmp_path / "dead.ndjson").exists()


def test_a_file_that_somebody_has_emptied_takes_the_alerts_that_follow(tmp_path: Path) -> None:
    """As a rotation that copies and truncates does: it took none until the job was started again."""
    path = tmp_path / "alerts.ndjson"
    sink = NdjsonSink(path)
    sink.deliver(numbered(1))
    path.write_bytes(b"")
    sink.deliver(numbered(2))
    sink.deliver(numbered(2))
    sink.close()
    assert lines(path) == [numbered(2)]


def test_a_failing_sink_is_retried_a_bounded_number_of_times(tmp_path: Path) -> None:
    sink = Failing(times=4)
    dispatcher = make_dispatcher(tmp_path, sink, attempts=3)
    for number in range(3):
        dispatcher.push(numbered(number))
    dispatcher.close()
    assert sink.calls == 3 + 2 + 1
    assert sink.alerts == [numbered(1), numbered(2)]
    counts = dispatcher.counts()["failing"]
    assert (counts.delivered, counts.retried, counts.failed) == (2, 3, 1)
    (letter,) = letters(tmp_path / "dead.ndjson")
    assert letter == DeadAlert(
        sink="failing", reason="ConnectionError: 500 from the server", alert=numbered(0)
    )


def test_invariant_07_one_failed_sink_never_stops_the_others(tmp_path: Path) -> None:
    hanging, failing, healthy = Hanging(), Failing(times=10**9), Collector("healthy")
    dispatcher = make_dispatcher(tmp_path, hanging, failing, healthy, capacity=5)
    arrived = threading.Event()
    healthy.deliver = lambda alert: (healthy.alerts.append(alert), arrived.set())  # type: ignore[assignment]
    for number in range(20):
        arrived.clear()
        dispatcher.push(numbered(number))
        assert arrived.wait(10)
    dispatcher.close(timeout_s=0.3)
    counts = dispatcher.counts()
    assert (counts["healthy"].delivered, counts["healthy"].failed) == (20, 0)
    assert (counts["failing"].delivered, counts["failing"].failed) == (0, 20)
    # One in its hands, five in its queue, the others refused: each of them is kept.
    assert (counts["hanging"].delivered, counts["hanging"].failed) == (0, 20)
    kept = letters(tmp_path / "dead.ndjson")
    for sink in ("hanging", "failing"):
        assert {letter.alert.id for letter in kept if letter.sink == sink} == {
            numbered(n).id for n in range(20)
        }
    hanging.gate.set()


def test_invariant_07_a_full_disk_under_the_dead_letters_is_counted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    dispatcher = AlertDispatcher([Failing(10**9)], tmp_path / "file" / "dead.ndjson", retry_pause_s=0.001)
    dispatcher.push(numbered(1))
    dispatcher.close()
    counts = dispatcher.counts()["failing"]
    assert (counts.failed, counts.unfiled) == (1, 1)


def test_ndjson_writes_each_id_and_state_once_also_across_restarts(tmp_path: Path) -> None:
    path = tmp_path / "alerts" / "alerts.ndjson"
    first = NdjsonSink(path)
    for alert in (numbered(1), numbered(1), numbered(1, "closed"), numbered(2)):
        first.deliver(alert)
    first.close()
    again = NdjsonSink(path)
    for alert in (numbered(1), numbered(1, "closed"), numbered(2), numbered(2, "closed")):
        again.deliver(alert)
    again.close()
    assert lines(path) == [numbered(1), numbered(1, "closed"), numbered(2), numbered(2, "closed")]


def test_several_processes_write_to_one_ndjson_file_and_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    sinks = [NdjsonSink(path) for _ in range(3)]
    for number in range(9):
        sinks[number % 3].deliver(numbered(number))
        sinks[(number + 1) % 3].deliver(numbered(number))
    path.write_bytes(path.read_bytes() + b'{"torn')
    sinks[0].deliver(numbered(9))
    for sink in sinks:
        sink.close()
    assert lines(path) == [numbered(number) for number in range(10)]


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_ndjson_repairs_a_torn_tail_and_takes_the_alert_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "alerts.ndjson"
    sink = NdjsonSink(path)
    sink.deliver(numbered(1))
    sink.deliver(numbered(2))
    sink.close()
    path.write_bytes(path.read_bytes()[:-cut])
    sink = NdjsonSink(path)
    sink.deliver(numbered(1))
    sink.deliver(numbered(2))
    sink.close()
    assert lines(path) == [numbered(1), numbered(2)]


def test_ndjson_leaves_foreign_lines_alone(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    foreign = b'{"note":"mine"}\n\xff\n{"id":"\xff"}\n' + b"[" * 100_000 + b"\n"
    path.write_bytes(foreign)
    sink = NdjsonSink(path)
    sink.deliver(numbered(1))
    sink.close()
    assert path.read_bytes().startswith(foreign + b"{")


def test_ndjson_retries_from_a_clean_line_after_a_short_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "alerts.ndjson"
    sink = NdjsonSink(path)
    sink.deliver(numbered(1))
    real, broken = __import__("os").pwrite, [True]

    def half(file: int, data: bytes, offset: int) -> int:
        return (
            real(file, data[: len(data) // 2], offset)
            if broken and broken.pop()
            else real(file, data, offset)
        )

    monkeypatch.setattr("os.pwrite", half)
    with pytest.raises(OSError, match="short write"):
        sink.deliver(numbered(2))
    assert lines(path) == [numbered(1)]
    sink.deliver(numbered(2))
    sink.close()
    assert lines(path) == [numbered(1), numbered(2)]


def test_a_file_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose a file that can be written"):
        NdjsonSink(tmp_path)


def test_the_console_line_says_what_a_trader_needs() -> None:
    stream = io.StringIO()
    sink = ConsoleSink(stream)
    sink.deliver(numbered(1))
    sink.close()
    assert stream.getvalue() == alert_line(numbered(1)) + "\n"
    line = alert_line(numbered(1, "closed"))
    assert line.count("\n") == 0
    for part in (
        "ALERT closed after 90 s",
        "BTC-USD",
        "p(spike) 0.83",
        "9.1 bps",
        "now 3.2 bps",
        "tau 4.0 bps",
    ):
        assert part in line
