"""A pipeline on Kafka in processes of its own: a broker, an ingest, two featurize workers and a score."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volspike.bus.kafka import KafkaLog
from volspike.bus.local_broker import LocalBrokers
from volspike.bus.port import Log
from volspike.bus.topic_plan import planned_topics
from volspike.bus.topics import FEATURES, TICKS
from volspike.config import Settings
from volspike.errors import BusError
from volspike.pipeline.home import Home
from volspike.recording.reader import Archive

FEATURIZE_WORKERS = ("1", "2")
_POLL_S = 0.25
_END_LIMIT_S = 60.0


@dataclass
class _Child:
    verb: str
    name: str
    process: subprocess.Popen[bytes]
    out: Path
    log: Path


class StageProcesses:
    """Starts the stages on the feed at an address, watches them, and ends them in order.

    Parameters
    ----------
    settings : Settings
        Products, models, data directory, dialect.
    url : str
        Address of the feed.
    bootstrap : str
        Brokers to use; empty: one is started on loopback, with its data in the data directory.
    say : callable
        Told what is being done.

    Attributes
    ----------
    bus : KafkaLog
        Reads the topics.
    suffix : str
        Ends the names of the topics.
    first_seq : int
        Newest frame of the archive before the ingest began.
    """

    def __init__(self, settings: Settings, url: str, bootstrap: str, say: Callable[[str], None]) -> None:
        self._home = Home(settings.data_dir)
        self._settings = settings
        self._closing = ExitStack()
        # On brokers that are not ours there may be topics of these names.
        self.suffix = f"-demo-{secrets.token_hex(4)}" if bootstrap else ""
        self._children: list[_Child] = []
        self.first_seq = _last_seq(self._home)
        try:
            self._bootstrap = bootstrap or self._start_broker(say)
            self.bus = KafkaLog(self._bootstrap, options=settings.kafka_options)
            self._closing.callback(self.bus.close)
            # A recorded market is of long ago: by age its records would go at once.
            self.bus.cluster.create(planned_topics(settings.kafka_partitions, None, self.suffix))
            say("starting featurize 1 and 2, score, and ingest")
            for name in FEATURIZE_WORKERS:
                self._start("featurize", name)
            self._start("score", "1", "--feed-is-over")
            self._start("ingest", "ingest", "--exchange-url", url)
        except BaseException:
            self.close()
            raise

    @property
    def process_ids(self) -> dict[str, int]:
        """Process id of each stage, by verb and name."""
        return {f"{child.verb} {child.name}": child.process.pid for child in self._children}

    async def run(self, stop: asyncio.Event) -> None:
        """Watch the processes until ``stop`` is set.

        Raises
        ------
        BusError
            If one of them has ended.
        """
        while not stop.is_set():
            for child in self._children:
                if child.process.poll() is not None:
                    raise _ended(child)
            await asyncio.sleep(_POLL_S)

    def has_all(self, sent: int | None) -> bool:
        """Tell whether the archive holds as many frames as were sent."""
        return sent is not None and _last_seq(self._home) - self.first_seq >= sent

    def line(self) -> str:
        """Return how far the stages are, in one line."""
        frames = _last_seq(self._home) - self.first_seq
        held = [_held(self.bus, topic.name + self.suffix) for topic in (TICKS, FEATURES)]
        return f"{frames:,} frames archived; offsets: ticks {held[0]:,}, features {held[1]:,}"

    def finish(self) -> dict[str, Any]:
        """End the ingest, have each stage read all there is, and end it; return what each reported."""
        reports = {"ingest": self._end("ingest")[0]}
        _await_drained(self.bus, f"featurize{self.suffix}", TICKS.name + self.suffix)
        reports["featurize"] = self._end("featurize")
        _await_drained(self.bus, f"score{self.suffix}", FEATURES.name + self.suffix)
        reports["score"] = self._end("score")[0]
        return reports

    def close(self) -> None:
        """End what still runs, the broker last."""
        for child in self._children:
            if child.process.poll() is None:
                child.process.terminate()
        for child in self._children:
            _wait(child.process)
        self._closing.close()

    def _start_broker(self, say: Callable[[str], None]) -> str:
        say("starting a Kafka broker on loopback")
        brokers = LocalBrokers(self._home.root / "kafka", self._settings.kafka_cache.expanduser())
        self._closing.enter_context(brokers)
        return brokers.bootstrap

    def _start(self, verb: str, name: str, *more: str) -> None:
        out = self._home.root / f"{verb}-{name}.json"
        log = self._home.root / f"{verb}-{name}.log"
        with out.open("wb") as output, log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "volspike", verb, "--json", "--name", name, *more],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=os.environ | self._environment(),
                start_new_session=True,  # Ctrl-C is for us: these end in order
            )
        self._children.append(_Child(verb, name, process, out, log))

    def _environment(self) -> dict[str, str]:
        given = self._settings
        return {
            "VOLSPIKE_BUS": "kafka",
            "VOLSPIKE_KAFKA_BOOTSTRAP": self._bootstrap,
            "VOLSPIKE_TOPIC_SUFFIX": self.suffix,
            "VOLSPIKE_DATA_DIR": str(given.data_dir),
            "VOLSPIKE_PRODUCTS": ",".join(given.products),
            "VOLSPIKE_DIALECT": given.dialect,
            "VOLSPIKE_MODEL": given.model,
            "VOLSPIKE_SEED": str(given.seed),
            "VOLSPIKE_MARKET_CLOCK": "records",
        }

    def _end(self, verb: str) -> list[Any]:
        """End the processes of a verb; return their reports."""
        children = [child for child in self._children if child.verb == verb]
        for child in children:
            child.process.send_signal(signal.SIGTERM)
        reports = []
        for child in children:
            code = _wait(child.process)
            self._children.remove(child)
            if code != 0:
                raise _ended(child)
            reports.append(json.loads(child.out.read_bytes()))
        return reports


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(_END_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _ended(child: _Child) -> BusError:
    lines: Sequence[str] = child.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    reason = lines[-1] if lines else "it said nothing"
    return BusError(f"{child.verb} {child.name}", f"has ended ({reason})", f"read {child.log}")


def _last_seq(home: Home) -> int:
    return max((info.last_seq for info in Archive(home.root).sessions()), default=0)


def _held(bus: Log, topic: str) -> int:
    return sum(bus.end_offset(topic, n) - bus.start_offset(topic, n) for n in range(bus.partitions(topic)))


def _await_drained(bus: Log, group: str, topic: str) -> None:
    """Wait until a group has read a topic to its end.

    Raises
    ------
    BusError
        If it doesn't come nearer to it for a minute.
    """
    left = [(partition, 0) for partition in range(bus.partitions(topic))]
    deadline_s = time.monotonic() + _END_LIMIT_S
    while left:
        partition, before = left[0]
        offset = bus.group_offset(group, topic, partition) or bus.start_offset(topic, partition)
        bus.settle(topic, partition)
        if not bus.read(topic, offset, 1, partition):
            left.pop(0)
            continue
        if offset > before:
            left[0] = (partition, offset)
            deadline_s = time.monotonic() + _END_LIMIT_S
        elif time.monotonic() > deadline_s:
            reason = f"stays at {offset} in partition {partition} of {topic}"
            raise BusError(f"group {group}", reason, "see the logs of its workers")
        time.sleep(0.1)
