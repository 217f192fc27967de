"""The simulator's control port: plain HTTP GETs on the port of either dialect."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from volspike.errors import ConfigError
from volspike.simulation.faults import Fault, parse_fault


class Controlled(Protocol):
    """What the control port acts on."""

    def state(self) -> dict[str, Any]:
        """Return the simulator's state."""

    async def finish(self) -> None:
        """Stop telling, hand over what was told, close."""

    async def inject(self, fault: Fault) -> None:
        """Put a fault in force on every connection."""


async def answer(simulator: Controlled, connection: ServerConnection, target: str) -> Response:
    """Answer a request for ``/admin/state``, ``/admin/finish`` or ``/admin/fault?kind=KIND[:NUMBER]``.

    Every answer but a refusal is the state after the request was carried out, as JSON.
    """
    url = urlsplit(target)
    actions: dict[str, Callable[[], Awaitable[None]]] = {
        "/admin/state": _nothing,
        "/admin/finish": simulator.finish,
        "/admin/fault": lambda: simulator.inject(_fault_now(parse_qs(url.query).get("kind", [""])[0])),
    }
    action = actions.get(url.path)
    if action is None:
        return connection.respond(
            http.HTTPStatus.NOT_FOUND, f"no such request; there are {', '.join(actions)}\n"
        )
    try:
        await action()
    except ConfigError as error:
        return connection.respond(http.HTTPStatus.BAD_REQUEST, f"{error}\n")
    return json_response(connection, http.HTTPStatus.OK, msgspec.json.encode(simulator.state()).decode())


def json_response(connection: ServerConnection, status: http.HTTPStatus, body: str) -> Response:
    """Return an answer whose body is JSON."""
    response = connection.respond(status, body)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


async def _nothing() -> None:
    return


def _fault_now(text: str) -> Fault:
    fault = parse_fault(text)
    if fault.after_s or fault.every_s or fault.p:
        raise ConfigError(f"fault {text!r}", "a fault asked for here happens at once", "leave the time out")
    return fault
