"""``/metrics`` and ``/healthz`` of a running job, on threads of their own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from volspike.errors import ConfigError, VolspikeError
from volspike.monitoring.families import gauge

Trouble = Callable[[], VolspikeError | None]
_REQUEST_LIMIT_S = 10.0
_TEXT = "text/plain; charset=utf-8"


class Endpoint:
    """Serves a job's metrics, and whether it works: 200, or 503 with the reason.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
        Port; 0 takes a free one.
    collector : Collector
        Reads the job's counts when it is asked; called on another thread than the job's.
    trouble : callable
        Returns what has stopped the job, or a part of it, for good; None while it works.

    Raises
    ------
    ConfigError
        The port can't be opened.
    """

    def __init__(self, host: str, port: int, collector: Collector, trouble: Trouble) -> None:
        registry = CollectorRegistry()
        for each in (collector, _Health(trouble)):
            registry.register(each)
        ProcessCollector(registry=registry)
        try:
            self._server = _Server((host, port), _handler(registry, trouble))
        except (OSError, OverflowError) as error:
            reason = f"{host}:{port} can't be opened ({error})"
            raise ConfigError(
                "metrics_port", reason, "choose another port, or another metrics_host"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the address of the metrics."""
        host, port = self._server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}/metrics"

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Health(Collector):
    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def collect(self) -> Iterator[Metric]:
        yield gauge("volspike_healthy", "1 while the job works; /healthz says why not.", not self._trouble())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without asking for the host's name, which waits where no name server answers."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


def _handler(registry: CollectorRegistry, trouble: Trouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_LIMIT_S

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                    self._answer(HTTPStatus.OK, content_type, encode(registry))
                case "/healthz":
                    found = trouble()
                    status = HTTPStatus.OK if found is None else HTTPStatus.SERVICE_UNAVAILABLE
                    self._answer(status, _TEXT, f"{found or 'ok'}\n".encode())
                case _:
                    self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"there are /metrics and /healthz\n")

        def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the job's stderr free of requests."""

    return Handler
