"""A backfill that dies by SIGKILL at its nth answer: ``killed_backfill.py ROOT URL FIRST END NTH``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random

from volspike.clock import SimulatedClock
from volspike.exchange.candle_client import CandleClient, CandleClientSettings
from volspike.pipeline.backfill import open_backfill
from volspike.pipeline.home import Home
from volspike.testing.crash_point import CrashPoint


def main(root: Path, url: str, first: int, end: int, nth: int) -> None:
    """Ask until it dies, or to the end."""
    reached = CrashPoint("answer", nth=nth, kill=True)
    client = CandleClient(url, SimulatedClock(), Random(1), CandleClientSettings(requests_per_s=1e6))
    with open_backfill(Home(root), client, ["BTC-USD"], (first, end)) as job:
        asyncio.run(job.run(asyncio.Event(), lambda _done: reached("answer")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
