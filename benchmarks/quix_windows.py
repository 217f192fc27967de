"""Quix Streams on a 60 s window of ticks: ``KIND BOOTSTRAP GROUP SOURCE TARGET STATE_DIR COUNT``.

Runs in an environment of its own, which has no volspike. Each tick gives the window's mean spread so far.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from benchmarks.samples import Samples

# Of what its own dependencies are about to drop.
with warnings.catch_warnings(record=True):
    from quixstreams import Application

WINDOW_MS = 60_000
COMMIT_S = 0.2


def run(kind: str, bootstrap: str, group: str, source: str, target: str, state: str, count: int) -> Samples:
    """Take ``count`` ticks."""
    samples, processed = Samples(), 0
    every = max(1, count // 500)

    def note(*_: object) -> None:
        nonlocal processed
        processed += 1
        if processed % every == 0 or processed == count:
            samples.take(processed)

    application = Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=COMMIT_S,
        state_dir=state,
        loglevel="ERROR",
        on_message_processed=note,
    )
    frame: Any = application.dataframe(application.topic(source, key_deserializer="str"))
    frame = frame.apply(lambda tick: (tick["ask"] - tick["bid"]) / 10 ** tick["price_decimals"])
    window = {"tumbling": frame.tumbling_window, "sliding": frame.sliding_window}[kind]
    window(WINDOW_MS).mean().current().to_topic(application.topic(target, key_serializer="str"))
    application.run(count=count, collect=False)
    return samples


if __name__ == "__main__":
    kind, bootstrap, group, source, target, state, count = sys.argv[1:]
    run(kind, bootstrap, group, source, target, state, int(count)).tell()
