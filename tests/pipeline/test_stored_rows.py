"""What a start does about damaged files, and about rows whose frames the archive no longer has."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import LogRecord
from volspike.clock import SimulatedClock, SystemClock
from volspike.errors import ArchiveError, ConfigError
from volspike.features.store import read_features
from volspike.pipeline.assembly import open_live
from volspike.pipeline.recordings import synthetic_history
from volspike.recording.archive import ArchiveWriter
from volspike.recording.file_system import archive_error
from volspike.simulation.later import LaterMarket
from volspike.simulation.market import Market
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import (
    NS,
    ORIGIN_NS,
    PRODUCT,
    SEED,
    assert_identical,
    live_run,
    logged,
    one_line_failure,
    settings_for,
    simulator_process,
    ticks_at_least,
    tree,
    verified,
    volspike,
)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory of four minutes in each of three hours: a segment and a feature file each."""
    root = tmp_path_factory.mktemp("history") / "data"
    writer = ArchiveWriter(root, SystemClock())
    for hour in range(3):
        origin_ns = ORIGIN_NS + hour * 3600 * NS
        synthetic_history(market(origin_ns), SEED + hour, origin_ns + 240 * NS, writer)
    writer.close()
    start(root)
    assert len(segments(root)) == len(features(root)) == 3
    return root


@pytest.fixture
def copy(history: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(history, tmp_path / "data"))


def start(root: Path) -> int:
    """Open a live job and close it; return the seq it would go on from."""
    job = open_live(settings_for(root), SimulatedClock(), ())
    seq = job.pipeline._archive.last_seq
    job.close()
    return seq


def segments(root: Path) -> list[Path]:
    return sorted(root.glob("raw/*/*/*.ndjson.zst"))


def features(root: Path) -> list[Path]:
    return sorted(root.glob("features/*.parquet"))


@pytest.mark.parametrize("lost", [(0,), (1,), (2,), (0, 1, 2)], ids=["first", "middle", "last", "all"])
@pytest.mark.parametrize("verb", ["run", "import"])
def test_a_start_is_refused_where_the_archive_lacks_what_rows_were_made_of(
    copy: Path, tmp_path: Path, lost: tuple[int, ...], verb: str
) -> None:
    whole = segments(copy)
    for index in lost:
        whole[index].rename(tmp_path / f"{index}.aside")
    before = {name: digest for name, digest in tree(copy).items() if name.startswith("features")}
    (tmp_path / "rows.csv").write_text("time,product,bid,ask\n1936775525,BTC-USD,1.5,1.6\n")
    rest = ("--dialect", "exchange") if verb == "run" else (tmp_path / "rows.csv",)
    line = one_line_failure(volspike(verb, "--data-dir", copy, *rest))
    assert "bring the missing segments back" in line
    assert {name: digest for name, digest in tree(copy).items() if name.startswith("features")} == before


def test_after_moving_features_away_a_start_goes_on_with_what_is_left(copy: Path) -> None:
    last = start(copy)
    segments(copy)[1].unlink()
    with pytest.raises(ArchiveError, match="lacks frames"):
        start(copy)
    shutil.rmtree(copy / "features")
    assert start(copy) == last
    assert_identical(copy)


def test_rows_of_the_last_second_before_a_power_cut_are_dropped_and_their_seqs_not_given_again(
    copy: Path,
) -> None:
    last = start(copy)
    (copy / "log.db").unlink()
    path = segments(copy)[2]
    plain = path.with_suffix("")
    with path.open("rb") as file:
        lines = zstandard.ZstdDecompressor().stream_reader(file).read().splitlines(keepends=True)
    plain.write_bytes(b"".join(lines[:-3]))
    path.unlink()
    assert start(copy) == last
    assert_identical(copy)
    assert start(copy) < last  # nothing is left that holds a position beyond the archive


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_damaged_feature_file_is_set_aside_and_its_rows_are_made_again(
    copy: Path, index: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = features(copy)[index]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    others = {name: name.stat().st_mtime_ns for name in features(copy) if name != path}
    start(copy)
    assert "is damaged" in capsys.readouterr().err
    assert path.with_name(path.name + ".damaged").stat().st_size == len(whole) // 2
    assert {name: name.stat().st_mtime_ns for name in others} == others
    assert_identical(copy)
    names = features(copy)
    start(copy)
    assert features(copy) == names
    assert not capsys.readouterr().err


def test_a_damaged_segment_does_not_stop_a_start_nor_a_replay(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = segments(copy)[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = [name.read_bytes() for name in features(copy)]
    start(copy)
    assert [name.read_bytes() for name in features(copy)] == before
    assert "a segment is damaged" in capsys.readouterr().err
    assert verified(copy)["corrupt"] > 0
    report = volspike("replay", "--data-dir", copy, "--json")
    assert report.code == 0
    assert report.report["corrupt"] == verified(copy)["corrupt"]
    assert verified(copy)["different"] == verified(copy)["missing"] == 0


def test_a_new_archive_has_nothing_to_refuse(tmp_path: Path) -> None:
    ArchiveWriter(tmp_path, SystemClock()).close()
    assert start(tmp_path) == 0


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory that a live job has written."""
    root = tmp_path_factory.mktemp("ran") / "data"
    live_run(root, market(ORIGIN_NS), ticks_at_least(400))
    return root


@pytest.mark.parametrize("damage", ["garbage", "pages", "a record"])
def test_a_damaged_log_is_set_aside_and_another_holds_the_last_day(
    ran: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(ran, tmp_path / "data"))
    expected = logged(copy, "ticks.raw")
    assert len(expected) > 300
    path = copy / "log.db"
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content = bytearray(b"no database " * 1000)
    elif damage == "pages":
        content[8192:] = b"\xff" * (len(content) - 8192)
    elif damage == "a record":
        (last,) = (entry.value for entry in _newest(copy, "ticks.raw"))
        content = content.replace(last, b"?" + last[1:])
    path.write_bytes(content)
    start(copy)
    assert "the log is damaged" in capsys.readouterr().err
    assert (copy / "log.db.damaged").stat().st_size == len(content)
    assert logged(copy, "ticks.raw") == expected
    start(copy)
    assert not capsys.readouterr().err


def _newest(root: Path, topic: str) -> list[LogRecord]:
    with closing(EmbeddedLog(root / "log.db", SystemClock())) as log:
        return log.read(topic, log.end_offset(topic) - 1, 1)


def market(origin_ns: int) -> Market:
    return SyntheticMarket(SEED, (PRODUCT,), origin_ns)


@pytest.mark.parametrize("back_s", [70, 30])
def test_a_run_is_refused_where_the_archive_is_ahead_of_the_market_clock(copy: Path, back_s: int) -> None:
    newest_ns = int(read_features(copy / "features").event_ns[-1])
    before = len(segments(copy))
    served = LaterMarket(market(ORIGIN_NS + 2 * 3600 * NS), newest_ns - back_s * NS)
    if back_s > 60:
        with pytest.raises(ConfigError, match=r"the market clock says .* choose another --data-dir"):
            live_run(copy, served, ticks_at_least(10), speed=1.0)
        assert len(segments(copy)) == before
    else:
        report, _ = live_run(copy, served, ticks_at_least(10), speed=100.0)
        assert report["ticks"] >= 10


def test_a_run_on_a_full_disk_says_so_at_its_end_and_exits_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulator_process(tmp_path / "ready.json", "--product", PRODUCT, "--speed", 100) as told:
        monkeypatch.setattr(ArchiveWriter, "append", _failing_append)
        url = told["urls"]["exchange"]
        rest = ("--dialect", "exchange", "--exchange-url", url, "--exit-after", 3, "--json")
        ran = volspike("run", "--data-dir", tmp_path / "data", *rest)
    assert ran.code == 1
    assert "can't be written (No space left on device)" in ran.report["error"]
    assert ran.report["ticks"] > 0
    assert ran.report["failures"].keys() == {"archive"}
    assert ran.err.splitlines()[-1].startswith("volspike: ")


def _failing_append(writer: ArchiveWriter, *_: object) -> int:
    raise archive_error(writer.root, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
