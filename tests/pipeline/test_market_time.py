"""What time it is in the market: the wall's, unless the rows say that it is another."""

from __future__ import annotations

import os
from pathlib import Path

from made_bundles import FEED, PRODUCT
from volspike.models.standing import Standing
from volspike.monitoring.graded import BLOCK_S, empty_rows
from volspike.monitoring.grading import GradedBlock
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.home import Home
from volspike.pipeline.market_time import market_ns_of
from volspike.testing.manual_clock import ManualClock

NS = 1_000_000_000
WALL = ManualClock(market_ns=2_000_000_000 * NS)
START_S = 1_000_000 * BLOCK_S
END_NS = (START_S + BLOCK_S) * NS
TICKS = Standing(PRODUCT, FEED)


def graded(home: Home, written_ns: int) -> None:
    """Write a half hour that lies long before the wall's time, at a time of the wall."""
    assert Ledger(home.ledger).add(GradedBlock(PRODUCT, START_S, empty_rows()))
    path = home.ledger / PRODUCT / f"{START_S}.parquet"
    os.utime(path, ns=(written_ns, written_ns))


def test_without_rows_it_is_the_time_of_the_wall(tmp_path: Path) -> None:
    assert market_ns_of(Home(tmp_path), TICKS, WALL) == WALL.market_ns()


def test_a_job_on_the_market_of_now_that_stopped_long_ago_has_the_time_of_the_wall(tmp_path: Path) -> None:
    graded(Home(tmp_path), END_NS + 60 * NS)
    assert market_ns_of(Home(tmp_path), TICKS, WALL) == WALL.market_ns()


def test_of_another_market_it_is_the_newest_event_time_known(tmp_path: Path) -> None:
    graded(Home(tmp_path), END_NS + 86_400 * NS)
    assert market_ns_of(Home(tmp_path), TICKS, WALL) == END_NS
    assert market_ns_of(Home(tmp_path), Standing("ETH-USD", FEED), WALL) == WALL.market_ns()
    assert market_ns_of(Home(tmp_path), Standing(PRODUCT, "candles"), WALL) == WALL.market_ns()


def test_a_market_ahead_of_the_wall_is_another(tmp_path: Path) -> None:
    graded(Home(tmp_path), END_NS - 86_400 * NS)
    assert market_ns_of(Home(tmp_path), TICKS, WALL) == END_NS
