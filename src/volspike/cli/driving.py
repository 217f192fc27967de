"""Drive a job from the command line: signals, time limit, and lines where there is no view."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine

from volspike.cli.output import say

LINE_EVERY_S = 5.0
# The log's thread must give way quickly to the thread that predicts.
SWITCH_INTERVAL_S = 0.0005
# Records hold no cycles, so collecting often finds nothing and holds up predictions.
COLLECT_AFTER = (20_000, 50, 100)

STOPPED_BY = (signal.SIGINT, signal.SIGTERM)

Watch = Callable[[asyncio.Event], Awaitable[None]]
Show = Callable[[], Coroutine[None, None, object]]


def drive(run: Watch, show: Show, exit_after_s: float | None, watch: Watch | None = None) -> None:
    """Run a job until Ctrl-C, SIGTERM, the time limit, or whatever ``watch`` waits for.

    Parameters
    ----------
    run : callable
        Runs the job until the event is set.
    show : callable
        Shows it, for ever.
    exit_after_s : float or None
        The time limit.
    watch : callable, optional
        Run beside the job and told when the end is asked for; when it returns, the job is stopped.
    """
    prepare_process()
    handlers = {number: signal.getsignal(number) for number in STOPPED_BY}
    try:
        asyncio.run(_drive(run, show, exit_after_s, watch))
    finally:
        for number, handler in handlers.items():  # asyncio would leave the defaults: death without a word
            signal.signal(number, handler)


def prepare_process() -> None:
    """Have garbage collection and the log's thread disturb predictions as little as they can."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_INTERVAL_S)


async def _drive(run: Watch, show: Show, exit_after_s: float | None, watch: Watch | None) -> None:
    asked, stop = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPPED_BY:
        loop.add_signal_handler(number, asked.set)
    if exit_after_s is not None:
        loop.call_later(exit_after_s, asked.set)
    tasks = [
        asyncio.create_task(show()),
        asyncio.create_task(_until(watch or _asked, asked, stop)),
    ]
    try:
        await run(stop)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def _asked(asked: asyncio.Event) -> None:
    await asked.wait()


async def _until(watch: Watch, asked: asyncio.Event, stop: asyncio.Event) -> None:
    try:
        await watch(asked)
    finally:
        stop.set()


async def show_lines(line: Callable[[], str]) -> None:
    """Print a line on stderr now and then."""
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        say(line())
