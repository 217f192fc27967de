"""An archive to feature Parquet, beside a polars pipeline that does the same.

Both read the archive's lines, out of zstd where they are in it, take the frame out of each, compute the
columns of ``core`` and write them with position, time, quotes and tick count. Only volspike checks the crc of
every line, counts what it can't use, and stores coverage.

Time is told twice: on the wall, and of the processor, which counts the thread that writes Parquet too.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.figures import Figure, at_least, at_most, seconds
from benchmarks.ticks import NS
from benchmarks.trained import PRODUCT, SEED, START_NS
from volspike.clock import SystemClock
from volspike.exchange.dialects import get_dialect
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_feature_set
from volspike.features.store import read_features
from volspike.features.table import TICK
from volspike.pipeline.home import Home
from volspike.pipeline.replay import replay_features
from volspike.recording.archive import ArchiveWriter
from volspike.recording.compression import read_blocks
from volspike.recording.frame import SegmentHeader
from volspike.recording.reader import Archive
from volspike.recording.scan import pieces
from volspike.recording.scanner import ITEMS_FULL, MISMATCH, LineScanner
from volspike.recording.template import learn_template
from volspike.simulation.scripted import exchange_frames
from volspike.simulation.synthetic import SyntheticMarket

TITLE = "replay, archive to feature Parquet"
KINDS = ("plain", "zstd")
ACTIVITY = 450.0
SCALES = PriceScales()
HEADER = SegmentHeader(
    feed="exchange", dialect="exchange", session="bench", products=(PRODUCT,), heartbeats=True
)
COLUMNS = get_feature_set("core").names
MEANS = ("bid_ask_spread", "trade_intensity", "relative_spread")
QUICK = dict.fromkeys(MEANS, 0.02)
SETTLED = dict.fromkeys((*MEANS, "rv_60s"), 1e-6) | {"midprice_return_std": 0.02}


def run(quick: bool) -> list[Figure]:
    """Measure a plain and a compressed archive of the same frames."""
    with tempfile.TemporaryDirectory(prefix="volspike-bench-") as name:
        root = Path(name)
        ticks, megabytes = make_archives(root, 3_000 if quick else 300_000)
        taken = seconds(
            {
                **{f"{kind} volspike": partial(replay, root / kind) for kind in KINDS},
                **{f"{kind} parse": partial(parse, root / kind) for kind in KINDS},
                **{f"{kind} polars": partial(with_polars, root, kind) for kind in KINDS},
            },
            1 if quick else 5,
        )
        check(root)
        peak = [peak_memory(root / "plain")] if Path("/proc/self/status").exists() else []
    plain, zstd = taken["plain volspike"], taken["zstd volspike"]
    return [
        at_least("plain: volspike, processor time", ticks / plain.processor / 1e6, "M ticks/s", 3.0),
        Figure("plain: volspike, wall time", ticks / plain.wall / 1e6, "M ticks/s"),
        Figure("plain: volspike, processor time", megabytes / plain.processor, "MB/s"),
        Figure(
            "plain: read, parse and check the crc", taken["plain parse"].processor / ticks * 1e6, "us a tick"
        ),
        Figure("plain: all of it", plain.processor / ticks * 1e6, "us a tick"),
        at_least("plain: polars / volspike", taken["plain polars"].processor / plain.processor, "x", 6.0),
        Figure("zstd: volspike, processor time", ticks / zstd.processor / 1e6, "M ticks/s"),
        Figure("zstd: volspike, wall time", ticks / zstd.wall / 1e6, "M ticks/s"),
        at_most("zstd: all / decompress and parse", zstd.processor / taken["zstd parse"].processor, "x", 1.6),
        Figure("zstd: polars / volspike", taken["zstd polars"].processor / zstd.processor, "x"),
        *(at_most("peak memory of a whole process", megabytes, "MB", 500.0) for megabytes in peak),
    ]


def make_archives(root: Path, count: int) -> tuple[int, float]:
    """Write the same frames as a plain and as a compressed archive; return tickers, and MB of lines."""
    writer = ArchiveWriter(root / "zstd", SystemClock())
    tickers = 0
    writer.begin(HEADER)
    market = SyntheticMarket(SEED, (PRODUCT,), START_NS, activity=ACTIVITY)
    for receive_ns, frame in exchange_frames(market, SEED, START_NS + 86_400 * NS):
        writer.append(HEADER.session, receive_ns, frame)
        tickers += b'"type":"ticker"' in frame
        if tickers == count:
            break
    writer.sync()
    shutil.copytree(root / "zstd" / "raw", root / "plain" / "raw")
    writer.close()
    return tickers, sum(path.stat().st_size for path in segments(root / "plain")) / 1e6


def segments(root: Path) -> list[Path]:
    """Return an archive's files."""
    return sorted(path for path in (root / "raw").rglob("*.ndjson*"))


def replay(root: Path) -> dict[str, Any]:
    """Replay one archive."""
    return replay_features(Home(root), get_feature_set("core"), SCALES, lambda _frames: None)


def parse(root: Path) -> int:
    """Read all lines to integers and check their crc; do nothing with them. Return how many there were."""
    archive = Archive(root)
    scanner = LineScanner(HEADER.session, [(PRODUCT, SCALES.decimals(PRODUCT))])
    decoder = get_dialect(HEADER.dialect).make_decoder(SCALES)
    items = 0
    for block in archive.chunks(archive.sessions()[0]):
        offset, status, text = block.start, ITEMS_FULL, np.frombuffer(block.text, np.uint8)
        while status == ITEMS_FULL or offset < block.stop:
            n, offset, status = scanner.scan(text, offset, block.stop)
            items += n
            if status == MISMATCH:
                end = block.text.index(b"\n", offset)
                for _, frame in pieces(bytes(block.text[offset:end])):
                    assert frame is not None
                    template = learn_template(HEADER.dialect, frame.raw, decoder.decode(frame.raw))
                    if template is not None:
                        scanner.add(template)
                offset = end + 1
    return items


def with_polars(root: Path, kind: str) -> None:
    """Read the archive, compute the columns of ``core``, write them."""
    line = {"seq": pl.Int64, "raw": pl.String}
    sources: list[Any] = segments(root / kind)
    if kind == "zstd":
        sources = [io.BytesIO(b"".join(read_blocks(path))) for path in sources]
    lines = pl.concat([pl.scan_ndjson(source, schema=line, ignore_errors=True) for source in sources])
    frame = pl.Struct({"time": pl.String, "best_bid": pl.String, "best_ask": pl.String})
    second = (pl.col("t").dt.epoch("ns") + NS - 1) // NS
    ticks = (
        lines.filter(pl.col("raw").str.contains('"type":"ticker"', literal=True))
        .with_columns(pl.col("raw").str.json_decode(frame))
        .unnest("raw")
        .select(
            "seq",
            t=pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ns"),
            bid=pl.col("best_bid").cast(pl.Float64),
            ask=pl.col("best_ask").cast(pl.Float64),
        )
        .with_columns(
            log_mid=((pl.col("bid") + pl.col("ask")) / 2.0).log(), spread=pl.col("ask") - pl.col("bid")
        )
        .with_columns(
            r=pl.col("log_mid").diff(),
            relative=2.0 * pl.col("spread") / (pl.col("bid") + pl.col("ask")),
            second=second,
        )
        .collect()
    )
    windows = ticks.rolling("t", period="60s").agg(
        midprice_return_mean=pl.col("r").mean(),
        midprice_return_std=pl.col("r").std(),
        bid_ask_spread=pl.col("spread").mean(),
        trade_intensity=pl.len() / 60.0,
        relative_spread=pl.col("relative").mean(),
        ticks=pl.len(),
    )
    rows = pl.concat([ticks, windows.drop("t")], how="horizontal").with_columns(closed=pl.col("second") - 1)
    rows = rows.join(second_grid(ticks), on="closed", how="left", maintain_order="left")
    squares = pl.col("squares") + (pl.col("log_mid") - pl.col("log_closed")) ** 2
    rows = rows.with_columns(rv_60s=squares.sqrt() * 1e4)
    rows.select("seq", "t", "bid", "ask", "ticks", *COLUMNS).write_parquet(
        root / f"{kind}.parquet", compression="snappy"
    )


def second_grid(ticks: pl.DataFrame) -> pl.DataFrame:
    """Return the mid and the squared returns of the last minute at every second."""
    seconds_of = ticks["second"]
    last = ticks.group_by("second", maintain_order=True).agg(log_closed=pl.col("log_mid").last())
    every = pl.DataFrame({"second": pl.int_range(seconds_of[0], seconds_of[-1] + 1, eager=True)})
    return (
        every.join(last, on="second", how="left", maintain_order="left")
        .with_columns(pl.col("log_closed").forward_fill())
        .select(
            "log_closed",
            closed="second",
            squares=(pl.col("log_closed").diff() ** 2).rolling_sum(60, min_samples=1),
        )
    )


def check(root: Path) -> None:
    """Compare the outputs.

    Raises
    ------
    AssertionError
        If they differ by more than floats in running sums explain.
    """
    plain = read_features(root / "plain" / "features")
    zstd = read_features(root / "zstd" / "features")
    np.testing.assert_array_equal(plain.values, zstd.values)
    # polars gives all rows of one stamp the window of the last, counts one return more, and takes the
    # subscription's snapshot, which is in the windows of the first minute and second, for a tick.
    alone = np.diff(plain.event_ns, append=plain.event_ns[-1] + 1) > 0
    settled, tolerances = plain.event_ns - plain.event_ns[0] > 62 * NS, SETTLED
    if not settled.any():
        settled, tolerances = plain.event_ns > plain.event_ns[-100], QUICK
    rows = np.flatnonzero(alone & settled & (plain.kind == TICK))
    for kind in KINDS:
        peer = pl.read_parquet(root / f"{kind}.parquet")
        found = peer[np.searchsorted(peer["seq"].to_numpy(), plain.seq[rows])]
        for name, rtol in tolerances.items():
            expected = plain.values[rows, COLUMNS.index(name)]
            np.testing.assert_allclose(found[name], expected, rtol=rtol, err_msg=name)


def peak_memory(root: Path) -> float:
    """Return the megabytes that a process of its own takes to replay an archive."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.replay import replay;"
        "replay(Path(sys.argv[1]));"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    command = [sys.executable, "-c", code, str(root)]
    result = subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[1])
    return int(result.stdout) / 1024
