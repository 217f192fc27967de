"""Archives of several recordings, products and clocks: replay, verify and a live start agree."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

from volspike.clock import SimulatedClock
from volspike.exchange.decimals import format_time_ns
from volspike.features.store import read_features
from volspike.pipeline.assembly import open_live
from whole_runs import NS, ORIGIN_NS, assert_identical, settings_for, volspike

HOUR_NS = 3_600 * NS


def recording(path: Path, start_ns: int, product: str = "BTC-USD", factor: int = 37) -> Path:
    """Write two minutes of flat rows, two a second."""
    lines = []
    for index in range(240):
        bid = 100_000 + index * factor % 11
        row = {
            "product_id": product,
            "best_bid": f"{bid / 1000:.3f}",
            "best_ask": f"{(bid + 10) / 1000:.3f}",
            "volume_24_h": "1",
            "timestamp": format_time_ns(start_ns + index * NS // 2),
        }
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n")
    return path


def brought_in(root: Path, *paths: Path, options: tuple[str, ...] = ()) -> None:
    ran = volspike("import", *paths, *options, "--data-dir", root, "--json")
    assert ran.code == 0, ran.err
    assert ran.report["frames"] == 240 * len(paths)


def test_recordings_of_exchange_and_receive_clocks_mix(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for hour, clock in enumerate(("receive", "exchange", "receive")):
        path = recording(tmp_path / f"{hour}.ndjson", ORIGIN_NS + hour * HOUR_NS)
        brought_in(root, path, options=("--time-source", clock))
    assert volspike("replay", "--data-dir", root).code == 0
    rows = assert_identical(root)
    table = read_features(root / "features")
    assert len(table) == rows == 3 * 239
    assert (table.seq[1:] > table.seq[:-1]).all()
    assert table.event_time_source == "receive"


def test_a_recording_imported_after_a_later_one_is_replayed_before_it(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for hour in (5, 1, 3):
        brought_in(root, recording(tmp_path / f"{hour}.ndjson", ORIGIN_NS + hour * HOUR_NS))
        assert volspike("replay", "--data-dir", root).code == 0
        assert_identical(root)
    table = read_features(root / "features")
    assert len(table) == 3 * 239
    assert (table.event_ns[1:] > table.event_ns[:-1]).all()
    open_live(settings_for(root, dialect="advanced"), SimulatedClock(), ()).close()
    assert assert_identical(root) == 3 * 239


def test_the_order_of_imports_changes_neither_rows_nor_their_order(tmp_path: Path) -> None:
    # The first two begin together; the third begins before their end, at stamps that they have too.
    starts = (ORIGIN_NS, ORIGIN_NS, ORIGIN_NS + 60 * NS)
    paths = [recording(tmp_path / f"{n}.ndjson", start_ns, factor=n + 2) for n, start_ns in enumerate(starts)]
    tables = []
    for number, order in enumerate(permutations(paths)):
        root = tmp_path / f"data-{number}"
        for path in order:
            brought_in(root, path)
        assert volspike("replay", "--data-dir", root).code == 0
        assert_identical(root)
        tables.append(read_features(root / "features"))
    first = tables[0]
    assert (first.event_ns[1:] == first.event_ns[:-1]).any()
    for table in tables[1:]:
        for name in ("event_ns", "covered_since_ns", "bid", "ask", "values"):
            assert getattr(table, name).tobytes() == getattr(first, name).tobytes(), name


def test_a_recording_of_before_is_read_before_without_a_replay(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for hour in (5, 1):
        brought_in(root, recording(tmp_path / f"{hour}.ndjson", ORIGIN_NS + hour * HOUR_NS))
        open_live(settings_for(root, dialect="advanced"), SimulatedClock(), ()).close()
    table = read_features(root / "features")
    assert (table.event_ns[1:] > table.event_ns[:-1]).all()


def test_a_live_start_computes_the_rows_of_recordings_that_were_never_replayed(tmp_path: Path) -> None:
    root = tmp_path / "data"
    brought_in(root, recording(tmp_path / "btc.ndjson", ORIGIN_NS))
    open_live(settings_for(root, dialect="advanced"), SimulatedClock(), ()).close()
    first = assert_identical(root)
    brought_in(root, recording(tmp_path / "eth.ndjson", ORIGIN_NS + 30 * NS, "ETH-USD"))
    open_live(settings_for(root, dialect="advanced"), SimulatedClock(), ()).close()
    assert assert_identical(root) == 2 * first


def test_two_products_in_one_recording_keep_apart(tmp_path: Path) -> None:
    root = tmp_path / "data"
    both = tmp_path / "both.ndjson"
    parts = [recording(tmp_path / f"{name}.ndjson", ORIGIN_NS, name) for name in ("BTC-USD", "ETH-USD")]
    lines = zip(*(part.read_text().splitlines() for part in parts), strict=True)
    both.write_text("".join(f"{one}\n{two}\n" for one, two in lines))
    assert volspike("import", both, "--data-dir", root).code == 0
    assert volspike("replay", "--data-dir", root).code == 0
    assert_identical(root)
    one, two = (read_features(root / "features", name) for name in ("BTC-USD", "ETH-USD"))
    assert one.values.tobytes() == two.values.tobytes()
    assert len(one) == len(two) == 239
