"""A real Apache Kafka broker on loopback, without containers: for demos, development and tests.

Each broker is one Java process that is its own controller (KRaft), with its own directory::

    <directory>/broker-1/server.properties   settings
                        /data                the topics
                        /broker.log          everything the process printed
                        /broker.pid          its process id

One alone, in the foreground: ``python -m volspike.bus.local_broker --port 9092 --directory DIR``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from volspike.bus.broker_jars import broker_jars, java_command
from volspike.config import load_settings
from volspike.errors import BusError, VolspikeError

# Sixteen bytes in base64, as Kafka wants them; a cluster on loopback needs no secret one.
_CLUSTER_ID = "dm9sc3Bpa2UtYnJva2VyIQ"
_JAVA_OPTIONS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
)
_STARTED = "Kafka Server started"
_START_LIMIT_S = 90.0
_STOP_LIMIT_S = 20.0
_PAUSE_S = 0.05
_WATCH_S = 0.25
# Below the range that outgoing connections draw from, so that a stopped broker's port stays free for it.
_FIRST_PORT, _PORTS = 20_000, 12_000
_ports = itertools.count(os.getpid() % 1_000 * 12)


def free_port() -> int:
    """Return a loopback port that nobody listens on, another one at each call."""
    for number in itertools.islice(_ports, _PORTS):
        port = _FIRST_PORT + number % _PORTS
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise BusError("127.0.0.1", "no free port", f"free some between {_FIRST_PORT} and {_FIRST_PORT + _PORTS}")


class LocalBrokers:
    """One broker, or several that replicate each other.

    Parameters
    ----------
    directory : Path
        Where the brokers keep everything; a cluster found there goes on with its topics.
    cache : Path
        Where the broker's jars are cached.
    count : int
        Number of brokers. With three, topics survive the loss of any one.
    settings : mapping, optional
        Broker settings on top of, or instead of, the usual ones.
    port : int, optional
        Where clients reach the first broker; else, as of the others, a free one.

    Raises
    ------
    BusError
        Java or Maven is absent, or a broker doesn't start; the remedy names its log file.
    """

    def __init__(
        self,
        directory: Path,
        cache: Path,
        *,
        count: int = 1,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self._directory = Path(directory)
        self._settings = dict(settings or {})
        self._java = java_command()
        self._class_path = f"{broker_jars(cache)}/*"
        self._ports = [(free_port(), free_port()) for _ in range(count)]
        if port is not None:
            self._ports[0] = (port, self._ports[0][1])
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._marks: dict[int, int] = {}

    @property
    def bootstrap(self) -> str:
        """Addresses for clients, ``host:port`` with commas between."""
        return ",".join(f"127.0.0.1:{port}" for port, _ in self._ports)

    def start(self) -> None:
        """Start all brokers and return when they serve; stops those that did start if one doesn't."""
        everyone = range(len(self._ports))
        try:
            self._format(everyone)
            for index in everyone:
                self._launch(index)
            for index in everyone:
                self._await_start(index)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all brokers in order; one that hangs is killed."""
        # All at once: the last of three would wait in vain for a majority.
        for process in self._processes.values():
            process.terminate()
        for index in list(self._processes):
            self._reap(index)

    def start_broker(self, index: int) -> None:
        """Start a broker that was stopped or killed, on its old port and data."""
        self._launch(index)
        self._await_start(index)

    def stop_broker(self, index: int) -> None:
        """Stop one broker in order."""
        self._processes[index].terminate()
        self._reap(index)

    def kill_broker(self, index: int) -> None:
        """Kill one broker with SIGKILL."""
        self._processes[index].kill()
        self._reap(index)

    def is_running(self, index: int) -> bool:
        """Tell whether a broker's process is alive; a full disk ends it."""
        return self._processes[index].poll() is None

    def log_file(self, index: int = 0) -> Path:
        """Return where a broker's output goes."""
        return self._home(index) / "broker.log"

    def __enter__(self) -> LocalBrokers:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _home(self, index: int) -> Path:
        return self._directory / f"broker-{index + 1}"

    def _format(self, indexes: range) -> None:
        """Write each broker's settings, and prepare data directories that are new."""
        running = []
        for index in indexes:
            home = self._home(index)
            home.mkdir(parents=True, exist_ok=True)
            self.log_file(index).touch()
            lines = [f"{name}={value}\n" for name, value in self._properties(index).items()]
            (home / "server.properties").write_text("".join(lines), encoding="utf-8")
            if not (home / "data" / "meta.properties").exists():
                command = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c"]
                running.append((index, self._spawn(index, *command, str(home / "server.properties"))))
        for index, process in running:
            if _exit_code(process, _START_LIMIT_S) != 0:
                raise self._failure(index, "could not format its data directory")

    def _launch(self, index: int) -> None:
        home = self._home(index)
        self._marks[index] = self.log_file(index).stat().st_size
        process = self._spawn(index, "kafka.Kafka", str(home / "server.properties"))
        (home / "broker.pid").write_text(f"{process.pid}\n", encoding="utf-8")
        self._processes[index] = process

    def _spawn(self, index: int, *command: str) -> subprocess.Popen[bytes]:
        with self.log_file(index).open("ab") as output:
            return subprocess.Popen(
                [self._java, *_JAVA_OPTIONS, "-cp", self._class_path, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in a terminal is for the client; it stops the broker when it is done with it.
                start_new_session=True,
            )

    def _await_start(self, index: int) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while not self._serves(index):
            if self._processes[index].poll() is not None:
                raise self._failure(index, "has ended while starting")
            if time.monotonic() > deadline:
                raise self._failure(index, f"doesn't serve after {_START_LIMIT_S:.0f} s")
            time.sleep(_PAUSE_S)

    def _serves(self, index: int) -> bool:
        # The log tells when this start is done; an earlier start's line stands before the mark.
        with self.log_file(index).open("rb") as output:
            output.seek(self._marks[index])
            return _STARTED.encode() in output.read()

    def _failure(self, index: int, what: str) -> BusError:
        lines = self.log_file(index).read_text(errors="replace").splitlines()
        cause = next((line for line in reversed(lines) if "ERROR" in line or "Exception" in line), "")
        reason = f"{what}: {cause[:160]}" if cause else what
        return BusError(f"Kafka broker {index + 1}", reason, f"read {self.log_file(index)}")

    def _reap(self, index: int) -> None:
        _exit_code(self._processes.pop(index), _STOP_LIMIT_S)
        (self._home(index) / "broker.pid").unlink(missing_ok=True)

    def _properties(self, index: int) -> dict[str, str]:
        client, controller = self._ports[index]
        voters = [f"{n + 1}@127.0.0.1:{port}" for n, (_, port) in enumerate(self._ports)]
        copies = min(3, len(self._ports))
        in_sync = 2 if copies == 3 else 1
        return {
            "process.roles": "broker,controller",
            "node.id": str(index + 1),
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"CLIENT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{client}",
            "inter.broker.listener.name": "CLIENT",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str((self._home(index) / "data").absolute()),
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(in_sync),
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(in_sync),
            "share.coordinator.state.topic.replication.factor": str(copies),
            "share.coordinator.state.topic.min.isr": str(in_sync),
            "group.initial.rebalance.delay.ms": "0",
            # A killed broker may come back after the session of its former life; the usual one is 9 s.
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",
            # The usual 128 MiB would be a quarter of the heap.
            "log.cleaner.dedupe.buffer.size": str(16 << 20),
            **self._settings,
        }


def _exit_code(process: subprocess.Popen[bytes], limit_s: float) -> int:
    """Wait for the end of a process; kill it when its time is up."""
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def main() -> None:
    """Run one broker until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser("python -m volspike.bus.local_broker", description=main.__doc__)
    parser.add_argument("--port", type=int, default=9092, help="where clients reach it (default: 9092)")
    parser.add_argument("--directory", type=Path, required=True, help="where it keeps everything")
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        _serve_until(stop, given.directory, given.port)
    except VolspikeError as error:
        sys.exit(f"volspike: {error}")


def _serve_until(stop: threading.Event, directory: Path, port: int) -> None:
    with LocalBrokers(directory, load_settings().kafka_cache.expanduser(), port=port) as brokers:
        sys.stderr.write(f"Kafka at {brokers.bootstrap}, kept in {directory}; Ctrl-C ends\n")
        sys.stderr.flush()
        while not stop.wait(_WATCH_S):
            if not brokers.is_running(0):
                raise BusError("Kafka broker 1", "has ended", f"read {brokers.log_file()}")


if __name__ == "__main__":
    main()
