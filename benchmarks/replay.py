"""An archive to feature Parquet, beside a polars pipeline over the same wire text.

The archive is verified line by line (crc), decoded, admitted and stored with its coverage; polars is spared
all of that: it reads bare ticker lines and takes every one as good.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.figures import Figure, at_least, seconds
from benchmarks.trained import NS, PRODUCT, SEED, START_NS
from volspike.clock import SystemClock
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_feature_set
from volspike.features.store import read_features
from volspike.pipeline.home import Home
from volspike.pipeline.replay import replay_features
from volspike.recording.archive import ArchiveWriter
from volspike.recording.compression import read_blocks
from volspike.recording.frame import SegmentHeader
from volspike.simulation.scripted import exchange_frames
from volspike.simulation.synthetic import SyntheticMarket

TITLE = "replay, archive to feature Parquet"
ACTIVITY = 450.0


def run(quick: bool) -> list[Figure]:
    """Measure plain and compressed archives of the same frames."""
    with tempfile.TemporaryDirectory(prefix="volspike-bench-") as name:
        root = Path(name)
        ticks = make_archives(root, 3_000 if quick else 300_000)
        results: dict[str, Any] = {}

        def keep(kind: str, result: Any) -> None:
            results[kind] = result

        taken = seconds(
            {
                "plain": lambda: keep("plain", replay(root / "plain")),
                "zstd": lambda: keep("zstd", replay(root / "zstd")),
                "polars": lambda: keep("polars", with_polars(root / "wire.ndjson", root / "peer.parquet")),
                "inflate": lambda: [len(block) for path in segments(root) for block in read_blocks(path)],
            },
            1 if quick else 3,
        )
        check(root, results, ticks)
    rows = results["plain"]["rows"]
    own_us = taken["plain"] / rows * 1e6
    return [
        at_least("plain: volspike", 1.0 / own_us, "M ticks/s", 3.0),
        Figure("plain: volspike, a tick", own_us, "us"),
        Figure("polars, a tick", taken["polars"] / ticks * 1e6, "us"),
        at_least("plain: polars / volspike", taken["polars"] / taken["plain"] * rows / ticks, "x", 6.0),
        Figure("zstd: volspike", rows / taken["zstd"] / 1e6, "M ticks/s"),
        Figure("zstd / plain", taken["zstd"] / taken["plain"], "x"),
        Figure("zstd: share of decompression", taken["inflate"] / taken["zstd"], ""),
    ]


def make_archives(root: Path, count: int) -> int:
    """Write the same frames as a plain and as a compressed archive and as bare lines; return the tickers."""
    header = SegmentHeader(
        feed="exchange", dialect="exchange", session="bench", products=(PRODUCT,), heartbeats=True
    )
    writer = ArchiveWriter(root / "zstd", SystemClock())
    tickers = 0
    writer.begin(header)
    with (root / "wire.ndjson").open("wb") as wire:
        market = SyntheticMarket(SEED, (PRODUCT,), START_NS, activity=ACTIVITY)
        for receive_ns, frame in exchange_frames(market, SEED, START_NS + 86_400 * NS):
            writer.append("bench", receive_ns, frame)
            if b'"type":"ticker"' in frame:
                wire.write(frame + b"\n")
                tickers += 1
                if tickers == count:
                    break
    writer.sync()
    shutil.copytree(root / "zstd" / "raw", root / "plain" / "raw")
    writer.close()
    return tickers


def segments(root: Path) -> list[Path]:
    """Return the compressed segments."""
    return sorted((root / "zstd" / "raw").rglob("*.ndjson.zst"))


def replay(root: Path) -> dict[str, Any]:
    """Replay one archive."""
    return replay_features(Home(root), get_feature_set("core"), PriceScales(), lambda _frames: None)


def with_polars(wire: Path, out: Path) -> pl.DataFrame:
    """Read the lines, compute five of the six columns, write them."""
    schema = {"time": pl.String, "best_bid": pl.String, "best_ask": pl.String}
    bid, ask = pl.col("best_bid").cast(pl.Float64), pl.col("best_ask").cast(pl.Float64)
    frame = (
        pl.scan_ndjson(wire, schema=schema)
        .select(
            t=pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ns"),
            mid=(bid + ask) / 2.0,
            spread=ask - bid,
        )
        .with_columns(r=pl.col("mid").log().diff(), relative=pl.col("spread") / pl.col("mid"))
        .collect()
        .rolling("t", period="60s")
        .agg(
            pl.col("r").mean().alias("mean"),
            pl.col("r").std().alias("std"),
            pl.col("spread").mean(),
            (pl.len() / 60.0).alias("intensity"),
            pl.col("relative").mean(),
        )
    )
    frame.write_parquet(out)
    return frame


def check(root: Path, results: dict[str, Any], tickers: int) -> None:
    """Compare the three outputs.

    Raises
    ------
    AssertionError
        If they differ.
    """
    plain = read_features(root / "plain" / "features")
    zstd = read_features(root / "zstd" / "features")
    np.testing.assert_array_equal(plain.values, zstd.values)
    assert results["plain"]["ticks"] <= tickers
    peer = results["polars"]
    offset = tickers - len(plain)  # the snapshot of the subscription is no tick
    inside = np.flatnonzero(plain.complete if plain.complete.any() else plain.ticks > 2)
    stamps = np.diff(plain.event_ns, append=plain.event_ns[-1] + 1)
    inside = inside[stamps[inside] > 0]  # polars gives all rows of one stamp the window of the last
    spread = peer["spread"].to_numpy()[offset:]
    np.testing.assert_allclose(spread[inside[-100:]], plain.values[inside[-100:], 2], rtol=1e-3)
