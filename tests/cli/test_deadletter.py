"""``volspike deadletter`` on both buses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from buses import KafkaBus
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Log, Outgoing
from volspike.bus.topics import DEADLETTER, TICKS
from volspike.clock import SystemClock
from volspike.records import UNKNOWN, DeadLetter
from whole_runs import NS, ORIGIN_NS, one_line_failure, volspike

BINARY = bytes([0xFF, *range(40)])
FEED = DeadLetter(
    reason="schema",
    detail="price \x1b[2J",
    feed="exchange",
    session="s-1",
    archive_seq=7,
    archive_row=1,
    raw=b'{"price":"[red]\x1b[31m:smile:"}',
    product="BTC-USD",
)


def bad_record(topic: str, offset: int, product: str = "ETH-USD") -> DeadLetter:
    return DeadLetter(
        reason="bad record",
        detail="ticks.raw: JSON is malformed",
        feed="",
        session="",
        archive_seq=UNKNOWN,
        archive_row=UNKNOWN,
        raw=BINARY,
        product=product,
        error="ProtocolError",
        topic=topic,
        partition=0,
        offset=offset,
    )


def post(log: Log, suffix: str = "") -> None:
    """Write a tick and three letters: of the feed, and of two records of ``ticks.raw``."""
    ticks = TICKS.name + suffix
    letters = [FEED, bad_record(ticks, 123_456), bad_record(ticks, 123_457, "BTC-USD")]
    log.append([Outgoing(ticks, "BTC-USD", b"before", ORIGIN_NS, 0)])
    log.append(
        [
            Outgoing(
                DEADLETTER.name + suffix, letter.product, DEADLETTER.encode(letter), ORIGIN_NS + n * NS, 0
            )
            for n, letter in enumerate(letters)
        ]
    )
    log.settle(DEADLETTER.name + suffix)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOLSPIKE_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    log = EmbeddedLog(tmp_path / "data" / "log.db", SystemClock())
    post(log)
    log.close()
    return tmp_path / "data"


def ticks_of(root: Path) -> list[bytes]:
    log = EmbeddedLog(root / "log.db", SystemClock())
    try:
        return [record.value for record in log.read(TICKS.name, 1, 100)]
    finally:
        log.close()


def deadletter(*arguments: object):
    return volspike("deadletter", *arguments)


def test_letters_are_listed_the_newest_last_and_counted(root: Path) -> None:
    report = deadletter("list", "--json").report
    assert [letter["letter"] for letter in report["letters"]] == ["0:0", "0:1", "0:2"]
    assert [letter["source"] for letter in report["letters"]] == [
        "archive 7/1",
        "ticks.raw 0:123456",
        "ticks.raw 0:123457",
    ]
    assert report["letters"][1] == {
        "letter": "0:1",
        "partition": 0,
        "offset": 1,
        "time": "2030-01-01T00:00:01Z",
        "product": "ETH-USD",
        "reason": "bad record",
        "error": "ProtocolError",
        "source": "ticks.raw 0:123456",
        "bytes": len(BINARY),
        "requeued": None,
    }
    assert (report["total"], report["reasons"]) == (3, {"bad record": 2, "schema": 1})
    of_one = deadletter("list", "--reason", "bad record", "--product", "btc-usd", "--json").report
    assert [letter["letter"] for letter in of_one["letters"]] == ["0:2"]
    newest = deadletter("list", "--last", "1", "--json").report
    assert [letter["letter"] for letter in newest["letters"]] == ["0:2"]
    assert newest["total"] == 3
    assert "3 letters: bad record 2, schema 1; 2 older not shown" in deadletter("list", "--last", "1").out


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_fits_a_terminal(width: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volspike.cli.output.PLAIN_WIDTH", width)
    deadletter("requeue", "0:1")
    for shown in (deadletter("list").out, deadletter("requeue", "--all", "--dry-run").out):
        assert "…" not in shown
        assert all(len(line.rstrip()) <= width for line in shown.splitlines()[1:])
    lines = deadletter("list").out.splitlines()
    (line,) = [line for line in lines if line.startswith("0:1 *")]
    assert "01-01 00:00:01  ETH-USD  bad record" in line
    assert "ticks.raw 0:123456" in line
    assert "; * requeued: 1" in lines[-1]


def test_a_letter_is_shown_with_its_bytes_and_steers_no_terminal(root: Path) -> None:
    feed = deadletter("show", "0:0").out
    assert '{"price":"[red]\\x1b[31m:smile:"}' in feed
    assert "price \\x1b[2J" in feed
    assert "\x1b" not in feed
    assert "archive 7/1" in feed
    binary = deadletter("show", "1").out
    assert "00000000  ff 00 01" in binary
    assert "00000020  1f 20 21 22 23 24 25 26 27" in binary
    told = deadletter("show", "0:0", "--json").report
    assert (told["text"], told["archive_seq"]) == (FEED.raw.decode(), 7)
    assert deadletter("show", "0:1", "--json").report["text"] is None


def test_raw_writes_the_bytes_and_nothing_else(root: Path) -> None:
    command = [sys.executable, "-m", "volspike", "deadletter", "show", "0:1", "--raw"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == BINARY
    assert "contradicts --json" in one_line_failure(deadletter("show", "0:1", "--raw", "--json"))


def test_a_letter_that_is_not_there_or_is_no_place_is_told_in_one_line(root: Path) -> None:
    assert "there is none in ticks.deadletter; see those" in one_line_failure(deadletter("show", "0:99"))
    assert "there is none" in one_line_failure(deadletter("requeue", "3:0"))
    wrong = deadletter("show", "first")
    assert wrong.code == 2
    assert "volspike deadletter show: " in wrong.err
    assert "is not PARTITION:OFFSET" in wrong.err


def test_no_letters_are_no_error(tmp_path: Path) -> None:
    assert "no such data directory" in one_line_failure(deadletter("list", "--data-dir", tmp_path / "none"))
    ran = deadletter("list", "--data-dir", tmp_path)
    assert (ran.code, ran.out) == (0, "")
    assert "no dead letters in ticks.deadletter" in ran.err
    assert deadletter("list", "--data-dir", tmp_path, "--json").report["letters"] == []
    assert deadletter("requeue", "--all", "--data-dir", tmp_path).code == 0


def test_requeue_says_what_would_go_then_does_it_once(root: Path) -> None:
    dry = deadletter("requeue", "--all", "--dry-run", "--json").report
    assert dry["requeued"] == {"ticks.raw 0": ["0:1", "0:2"]}
    assert ticks_of(root) == []
    assert "would go to ticks.raw 0" in deadletter("requeue", "--all", "--dry-run").out
    done = deadletter("requeue", "--product", "ETH-USD", "--json").report
    assert (done["dry_run"], done["requeued"]) == (False, {"ticks.raw 0": ["0:1"]})
    told = deadletter("requeue", "--all").out
    assert "went to ticks.raw 0" in told
    assert "volspike replay uses it once the decoder can read it" in told
    assert ticks_of(root) == [BINARY, BINARY]
    again = deadletter("requeue", "0:1", "2", "--json").report
    assert (again["requeued"], again["left"]) == ({}, {"requeued before": ["0:1", "0:2"]})
    assert ticks_of(root) == [BINARY, BINARY]
    assert deadletter("list", "--json").report["requeued"] == 2


def test_what_is_wrong_with_a_requeue_is_told_in_one_line(root: Path) -> None:
    said = one_line_failure(deadletter("requeue", "0:1", "0:0"))
    assert "dead letter 0:0: came from the feed, is no record; its frame is in the archive" in said
    assert ticks_of(root) == []
    assert "nothing is chosen" in one_line_failure(deadletter("requeue"))
    assert "contradict" in one_line_failure(deadletter("requeue", "0:1", "--all"))


def test_a_broker_that_is_not_there_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volspike.bus.kafka_cluster.REPLY_S", 0.5)
    for verb in (("list",), ("requeue", "--all")):
        said = one_line_failure(deadletter(*verb, "--bus", "kafka", "--kafka-bootstrap", "127.0.0.1:9"))
        assert "check that the broker runs" in said


def test_on_kafka_with_a_suffix(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = KafkaBus(kafka_bootstrap)
    suffix = bus.name("")
    monkeypatch.setenv("VOLSPIKE_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("VOLSPIKE_TOPIC_SUFFIX", suffix)
    monkeypatch.setenv("VOLSPIKE_BUS", "kafka")
    assert deadletter("list", "--json").report["letters"] == []
    assert "create the topics: volspike topics" in one_line_failure(deadletter("requeue", "--all"))
    assert volspike("topics", "--partitions", "2", "--keep", "--json").code == 0
    log = bus.open()
    post(log, suffix)
    places = [letter["letter"] for letter in deadletter("list", "--json").report["letters"]]
    assert len(places) == 3
    done = deadletter("requeue", "--reason", "bad record", "--json").report
    assert done["requeued"] == {f"ticks.raw{suffix} 0": places[1:]}
    assert deadletter("requeue", *places[1:], "--json").report["requeued"] == {}
    log.settle(f"ticks.raw{suffix}")
    assert [r.value for r in log.read(f"ticks.raw{suffix}", 0, 100)] == [b"before", BINARY, BINARY]
    bus.close()
