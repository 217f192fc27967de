"""``volspike tend``: the caretaker of a job's models."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.options import Bootstrap, Bus, Every, ExitAfter, WithParent
from volspike.cli.output import AsJson, DataDir, configure_logging, emit_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from volspike.clock import Clock
    from volspike.monitoring.journal import JournalEntry


def tend(
    data_dir: DataDir = None,
    product: Annotated[
        list[str] | None, typer.Option(help="Product to look after; may be given several times.")
    ] = None,
    dialect: Annotated[str | None, typer.Option(help="Feed of the job. (default: the model's)")] = None,
    bus: Bus = None,
    kafka_bootstrap: Bootstrap = None,
    every: Every = 10.0,
    exit_after: ExitAfter = None,
    with_parent: WithParent = None,
    as_json: AsJson = False,
) -> None:
    """Look after a job's models: grade, watch for drift, retrain, try challengers, promote the better.

    volspike run does this by itself; with stages of their own, run it beside score. Alarms go into the file
    of the alerts too.
    """
    from volspike.clock import SystemClock
    from volspike.config import load_settings
    from volspike.pipeline.tending import Tending

    settings = load_settings(
        {
            "data_dir": data_dir,
            "products": tuple(product) if product else None,
            "dialect": dialect,
            "bus": bus,
            "kafka_bootstrap": kafka_bootstrap,
        }
    )
    configure_logging(settings.log_level)
    clock, asked = SystemClock(), _asked_to_stop()
    entries: list[JournalEntry] = []

    def tell(entry: JournalEntry) -> None:
        entries.append(entry)
        _say_entry(entry)

    with Tending(settings, clock, alarms=with_parent is None) as tending:  # a parent delivers them itself
        products = ", ".join(settings.products)
        read = settings.kafka_bootstrap if settings.bus == "kafka" else f"the log of {settings.data_dir}"
        say(f"looks after the models of {products} on {tending.feed}, by {read}; nothing has been read yet")
        for _ in _rounds(asked, clock, every, exit_after, with_parent):
            tending.step(tell)
    if as_json:
        import msgspec

        told = [msgspec.to_builtins(entry) for entry in entries]
        trouble = None if tending.trouble is None else str(tending.trouble)
        emit_json({"rounds": tending.rounds, "journal": told, "trouble": trouble})


def _rounds(
    asked: threading.Event, clock: Clock, every_s: float, exit_after_s: float | None, parent: int | None
) -> Iterator[None]:
    """Yield once every so many seconds, until somebody asks to stop, the time is up or the parent is gone."""
    ends_ns = None if exit_after_s is None else clock.monotonic_ns() + round(exit_after_s * 1e9)
    while not asked.is_set() and (ends_ns is None or clock.monotonic_ns() < ends_ns):
        yield
        asked.wait(every_s)
        if parent is not None and os.getppid() != parent:
            return


def _asked_to_stop() -> threading.Event:
    """Return what is set from the first SIGINT or SIGTERM on."""
    asked = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return asked


def _say_entry(entry: JournalEntry) -> None:
    what = " ".join(filter(None, (entry.event, entry.model, entry.version, entry.reason)))
    say(f"{entry.product} on {entry.feed}: {what}")
