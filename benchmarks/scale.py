"""``python -m benchmarks.scale``: hundreds of products through ingest, featurize and score on a real broker.

A simulated exchange serves ``--products`` copies of the synthetic market, few busy ones and a long tail, at
wall speed; ``volspike ingest`` (50 products a connection), two ``featurize`` and one ``score`` run as
processes around a Kafka broker on loopback. Read from outside: what each process uses, how far each group
is behind, how old a row is when it can be read, what archive and topics take on disk. At the end the topics
are held to the archive, byte by byte. Linux only: processes are watched through /proc.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console

from benchmarks.exchange_process import Served, served
from benchmarks.figures import Figure, as_dicts, machine, show
from benchmarks.many_products import product_names
from benchmarks.scale_account import amiss, archive_size, seconds_to_read_past, topic_sizes
from benchmarks.scale_figures import Span, of_accounts, of_bytes, of_flow, of_processes
from benchmarks.scale_watch import Reading, RowTail, Watch, lag, market_behind_ns, simulator_state
from benchmarks.trained import data_directory
from volspike.bus.topics import FEATURES, TICKS
from volspike.cli.output import configure_logging
from volspike.config import load_settings
from volspike.models.bundle import load_bundle, new_bundle
from volspike.models.shelf import save_bundle
from volspike.models.standing import champions, crown_champion
from volspike.pipeline.home import Home
from volspike.pipeline.stage_processes import StageProcesses
from volspike.recording.layout import raw_directory

PARTITIONS = 8
PER_CONNECTION = 50
GROUPS = {"featurize": TICKS.name, "score": FEATURES.name}
_START_LIMIT_S = 180.0


@dataclass
class Scale:
    """What is run, and what was seen of it.

    Attributes
    ----------
    lags : dict of str to list of int
        By group, every second of the measured time.
    """

    products: int
    per_second: float
    seconds: float
    warm_s: float
    models: int
    start_s: float = 0.0
    lags: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in GROUPS})

    @property
    def connections(self) -> int:
        """How many an ingest makes."""
        return -(-self.products // PER_CONNECTION)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, and return everything."""
    given = _arguments(arguments)
    configure_logging("warning")
    scale = Scale(given.products, given.rate, given.seconds, 10.0, given.models)
    if given.quick:
        scale = Scale(12, 40.0, 4.0, 0.5, 1)
    console = Console()
    measured: dict[str, Any] = {"machine": machine(), "quick": given.quick}
    console.print("  ".join(f"{name} {value}" for name, value in measured["machine"].items()))
    with tempfile.TemporaryDirectory(prefix="volspike-scale-") as name:
        home = _home(Path(name), scale, given.quick)
        for title, figures in _measure(home, Path(name) / "ready.json", scale).items():
            show(console, title, figures)
            measured[title] = as_dicts(figures)
    if given.json:
        given.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return measured


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--products", type=int, default=700, help="how many (700)")
    parser.add_argument("--rate", type=float, default=200.0, help="ticks a second of all together (200)")
    parser.add_argument("--models", type=int, default=5, help="of the busiest products, predicted (5)")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured, after a warm-up (60)")
    parser.add_argument("--quick", action="store_true", help="a short smoke run; its figures mean nothing")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(arguments)


def _home(root: Path, scale: Scale, quick: bool) -> Home:
    """Return a data directory with one model, made the champion of each of the busiest products."""
    home = data_directory(root, 0.5 if quick else 4.0, "zscore" if quick else "xgboost")
    (champion,) = champions(home.models)
    bundle = load_bundle(champion.path(home.models))
    for product in product_names(scale.models):
        manifest = msgspec.structs.replace(bundle.manifest, product=product)
        own = new_bundle(manifest, bundle.files)
        save_bundle(own, home.models)
        crown_champion(home.models, own.manifest.name, own.manifest.version)
    raw_directory(home.root).mkdir()
    return home


def _measure(home: Home, ready: Path, scale: Scale) -> dict[str, list[Figure]]:
    settings = load_settings(
        {
            "data_dir": home.root,
            "products": product_names(scale.products),
            "dialect": "exchange",
            "kafka_partitions": PARTITIONS,
        }
    )
    say: Callable[[str], None] = Console(stderr=True).print
    with ExitStack() as closing:
        market = closing.enter_context(
            served("benchmarks.many_exchange", ready, scale.products, scale.per_second)
        )
        stages = StageProcesses(settings, market.addresses["exchange"], "", say)
        closing.callback(stages.close)
        tail = RowTail(stages.bus.cluster.bootstrap)
        tail.start()
        admin = market.addresses["admin"]
        try:
            before, after = _watch(home, scale, market, stages, tail)
            behind_ns = market_behind_ns(admin)
        finally:
            tail.stop()
        sent = simulator_state(admin, "finish")["sent_by_type"]
        reports = stages.finish()
        ages_ns = np.array(tail.ages_ns[before.ages : after.ages]) - behind_ns
        span = Span(before, after, ages_ns / 1e6)
        data = home.root / "kafka" / "broker-1" / "data"
        return {
            "processes": of_processes(span),
            "flow": of_flow(span, scale.start_s, scale.lags, reports),
            "disk and network": of_bytes(span, archive_size(home.root), topic_sizes(stages.bus, data)),
            "accounts": of_accounts(sent, reports, amiss(stages.bus, home), seconds_to_read_past(home.root)),
        }


def _watch(
    home: Home, scale: Scale, market: Served, stages: StageProcesses, tail: RowTail
) -> tuple[Reading, Reading]:
    """Wait until all flows, then read what there is at the beginning and the end of the measured time."""
    started_s = time.monotonic()
    admin = market.addresses["admin"]
    while simulator_state(admin)["connections"] < scale.connections or not tail.rows:
        if time.monotonic() - started_s > _START_LIMIT_S:
            raise RuntimeError(f"no rows after {_START_LIMIT_S:.0f} s; {stages.line()}")
        time.sleep(0.2)
    scale.start_s = time.monotonic() - started_s
    time.sleep(scale.warm_s)
    broker = int((home.root / "kafka" / "broker-1" / "broker.pid").read_text(encoding="utf-8"))
    processes = {**stages.process_ids, "broker": broker, "simulated exchange": market.process_id}
    watch = Watch(processes, admin, tail)
    before = watch.read()
    while (left_s := before.wall_s + scale.seconds - time.monotonic()) > 0:
        time.sleep(min(1.0, left_s))
        for group, topic in GROUPS.items():
            scale.lags[group].append(lag(stages.bus, group, topic))
    return before, watch.read()


if __name__ == "__main__":
    main()
