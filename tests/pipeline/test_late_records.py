"""A record older than the newest of its product, such as one put back: refused, and nothing else differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from stage_runs import Runs, decoded, market, outputs, rows_of, write

from volspike.bus.port import Outgoing
from volspike.bus.topics import DEADLETTER, FEATURES, TICKS
from volspike.records import FeatureRow, Mark, Tick

PLACE = 1_400


@pytest.fixture(scope="module")
def ticks() -> list:
    return market()


@pytest.fixture(scope="module")
def undisturbed(ticks, tmp_path_factory) -> dict[str, list]:
    found, letters = run(tmp_path_factory.mktemp("whole"), ticks)
    assert letters == []
    return found


def run(root: Path, ticks: list, extra: list | None = None) -> tuple[dict[str, list], list]:
    runs = Runs(root / "log.db")
    log = runs.open()
    write(log, [*ticks[:PLACE], *(extra or ()), *ticks[PLACE:]])
    assert runs.run("featurize")
    assert runs.run("score")
    found = outputs(log), decoded(log, DEADLETTER)
    runs.close()
    return found


def mark(tick: Tick) -> Mark:
    return Mark(
        product=tick.product,
        feed=tick.feed,
        session=tick.session,
        event_ns=tick.event_ns,
        covered_since_ns=tick.covered_since_ns,
        archive_seq=tick.archive_seq,
        archive_row=tick.archive_row,
    )


def of_this_stretch(ticks: list) -> Tick:
    past = [each for each in ticks[:PLACE] if isinstance(each, Tick) and each.product == "BTC-USD"]
    assert past[-40].covered_since_ns == past[-1].covered_since_ns
    return past[-40]


def of_the_first_stretch(ticks: list) -> Tick:
    first = next(each for each in ticks if isinstance(each, Tick) and each.product == "BTC-USD")
    assert first.covered_since_ns != of_this_stretch(ticks).covered_since_ns
    return first


@pytest.mark.parametrize("choose", [of_this_stretch, of_the_first_stretch])
@pytest.mark.parametrize("make", [mark, lambda tick: msgspec.structs.replace(tick, identity="x/1")])
def test_an_older_tick_or_mark_becomes_a_letter(
    tmp_path: Path, ticks: list, undisturbed: dict[str, list], choose: Callable, make: Callable
) -> None:
    older = make(choose(ticks))
    found, (letter,) = run(tmp_path, ticks, [older])
    assert found == undisturbed
    assert letter.topic == TICKS.name
    assert letter.raw == TICKS.encode(older)


@pytest.mark.parametrize("back", [40, 300, 900])
def test_an_older_row_becomes_a_letter(
    tmp_path: Path, ticks: list, undisturbed: dict[str, list], back: int
) -> None:
    runs = Runs(tmp_path / "log.db")
    log = runs.open()
    write(log, ticks)
    assert runs.run("featurize")
    rows = [row for row in rows_of(decoded(log, FEATURES)) if row.product == "BTC-USD"]
    assert isinstance(rows[-back], FeatureRow)
    older = msgspec.structs.replace(rows[-back], identity="x/1")
    again = Runs(tmp_path / "again.db")
    target = again.open()
    values = [*log.read(FEATURES.name, 0, 10**6)]
    target.append([Outgoing(FEATURES.name, each.key, each.value, each.event_ns) for each in values])
    target.append([Outgoing(FEATURES.name, older.product, FEATURES.encode(older), older.event_ns)])
    assert again.run("score")
    found = outputs(target)
    for topic in ("ticks.predictions", "ticks.outcomes", "ticks.alerts"):
        assert found[topic] == undisturbed[topic]
    (letter,) = decoded(target, DEADLETTER)
    assert letter.topic == FEATURES.name
    for each in (runs, again):
        each.close()
