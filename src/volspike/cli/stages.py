"""``volspike featurize`` and ``volspike score``: one worker of a stage between topics."""

from __future__ import annotations

import math
import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.options import Bootstrap, Bus, ExitAfter, MetricsPort, WorkerName
from volspike.cli.output import AsJson, DataDir, conclude, configure_logging, say
from volspike.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from volspike.errors import VolspikeError
    from volspike.pipeline.worker import Worker

_LINE_EVERY_S = 5.0
# A round waits for a broker that is away: up to a minute in each of its few steps.
_LONGEST_ROUND_S = 300.0


def featurize(
    data_dir: DataDir = None,
    bus: Bus = None,
    kafka_bootstrap: Bootstrap = None,
    name: WorkerName = None,
    metrics_port: MetricsPort = None,
    exit_after: ExitAfter = None,
    as_json: AsJson = False,
) -> None:
    """Turn ticks into feature rows, each exactly once; as many workers as partitions share the work."""
    settings = {
        "data_dir": data_dir,
        "bus": bus,
        "kafka_bootstrap": kafka_bootstrap,
        "metrics_port": metrics_port,
    }
    _work("featurize", settings, name, exit_after, as_json, False)


def score(
    data_dir: DataDir = None,
    product: Annotated[
        list[str] | None, typer.Option(help="Product to predict; may be given several times.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bundle or models:/NAME@ALIAS. (default: champions)")
    ] = None,
    bus: Bus = None,
    kafka_bootstrap: Bootstrap = None,
    name: WorkerName = None,
    feed_is_over: Annotated[
        bool, typer.Option("--feed-is-over", help="At the end, grade what is pending as unlabelled.")
    ] = False,
    metrics_port: MetricsPort = None,
    exit_after: ExitAfter = None,
    as_json: AsJson = False,
) -> None:
    """Turn feature rows into predictions, outcomes and alerts, each exactly once."""
    settings = {
        "data_dir": data_dir,
        "products": tuple(product) if product else None,
        "model": model,
        "bus": bus,
        "kafka_bootstrap": kafka_bootstrap,
        "metrics_port": metrics_port,
    }
    _work("score", settings, name, exit_after, as_json, feed_is_over)


def _work(
    stage: str,
    flags: Mapping[str, object],
    name: str | None,
    exit_after: float | None,
    as_json: bool,
    is_over: bool,
) -> None:
    import sys

    from volspike.alerts.sinks import ConsoleSink
    from volspike.cli.metrics import worker_metrics
    from volspike.config import load_settings
    from volspike.pipeline.worker import market_clock, open_worker

    settings = load_settings(flags)
    configure_logging(settings.log_level)
    worker = open_worker(stage, settings, name, market_clock(settings), [ConsoleSink(sys.stderr)])
    with _Watch(worker, exit_after) as watch:
        try:
            with worker_metrics(settings, stage, worker, watch.trouble):
                worker.run(watch.is_time_to_stop, is_over=is_over)
        finally:
            worker.close()
    conclude(stage.capitalize(), worker.as_dict(), as_json)


class _Watch:
    """Tells when to stop: at Ctrl-C, SIGTERM or the time limit. Shows how the worker is, now and then."""

    def __init__(self, worker: Worker, exit_after_s: float | None) -> None:
        self._worker = worker
        now_s = time.monotonic()
        self._ends_s = math.inf if exit_after_s is None else now_s + exit_after_s
        self._line_s = now_s + _LINE_EVERY_S
        self._round_s = now_s
        self._is_asked = False

    def __enter__(self) -> _Watch:
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._ask) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def is_time_to_stop(self) -> bool:
        self._round_s = now_s = time.monotonic()
        if now_s >= self._line_s:
            self._line_s = now_s + _LINE_EVERY_S
            say(self._worker.line())
        return self._is_asked or now_s >= self._ends_s

    def trouble(self) -> VolspikeError | None:
        """Return why the worker is taken to hang, None while it goes round."""
        since_s = time.monotonic() - self._round_s
        if since_s < _LONGEST_ROUND_S:
            return None
        return BusError(
            "worker", f"has done nothing for {since_s:.0f} s", "see the broker's log, start it again"
        )

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._is_asked = True
