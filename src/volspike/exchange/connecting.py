"""Open one WebSocket to the exchange, and say plainly why one could not be opened or was closed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from socket import gaierror
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)
from websockets.uri import parse_uri

from volspike.errors import FeedError
from volspike.exchange.backoff import BackoffPolicy
from volspike.exchange.direct_connection import DirectConnection

# What an attempt to connect may raise and a later one may not: all but a malformed address.
CONNECT_ERRORS = (OSError, InvalidHandshake)

_MIB = 1024 * 1024


@dataclass(frozen=True)
class ClientSettings:
    """How patient a feed client is.

    Attributes
    ----------
    silence_timeout_s : float
        Longest silence, of all frames or of heartbeats alone, before the connection counts as dead.
    ack_timeout_s : float
        Time for the exchange to acknowledge the subscription.
    open_timeout_s, close_timeout_s : float
        Bounds of the opening and closing handshakes.
    check_interval_s : float
        How often silence and acknowledgement are looked at.
    max_frame_bytes : int
        Largest frame taken off the wire. It exceeds what the decoders accept, so that a frame too large for
        them is archived and counted instead of costing the connection.
    refusal_limit : int
        Connections in a row that the exchange may refuse to serve before the client gives up.
    stable_s : float
        A connection that lived this long starts the backoff afresh.
    backoff : BackoffPolicy
        Delays between attempts.
    """

    silence_timeout_s: float = 5.0
    ack_timeout_s: float = 5.0
    open_timeout_s: float = 10.0
    close_timeout_s: float = 5.0
    check_interval_s: float = 0.25
    max_frame_bytes: int = 32 * _MIB
    refusal_limit: int = 3
    stable_s: float = 10.0
    backoff: BackoffPolicy = field(default_factory=BackoffPolicy)


async def open_socket(url: str, settings: ClientSettings, retry: int) -> DirectConnection:
    """Connect once.

    Parameters
    ----------
    url : str
        ``wss://`` address, or ``ws://`` on the local machine.
    settings : ClientSettings
        Time and size bounds.
    retry : int
        Attempts since the feed was last up; sent in ``x-cb-retry-counter`` when above 0.

    Raises
    ------
    FeedError
        If the address, or that of the proxy, is malformed or of no kind that can be used.
    OSError, InvalidHandshake
        If the attempt failed; see ``describe_connect_error``.
    """
    try:
        loopback = is_loopback(url)
        opening = connect(
            url,
            create_connection=DirectConnection,
            additional_headers={"x-cb-retry-counter": str(retry)} if retry else None,
            user_agent_header="volspike",
            proxy=None if loopback else True,
            open_timeout=settings.open_timeout_s,
            close_timeout=settings.close_timeout_s,
            max_size=settings.max_frame_bytes,
        )
        return cast("DirectConnection", await opening)
    except (InvalidURI, InvalidProxy, UnicodeError, ImportError) as error:  # ImportError: a SOCKS proxy
        remedy = "give a ws:// or wss:// address and check the proxy settings"
        reason = error.msg if isinstance(error, InvalidURI | InvalidProxy) else str(error)
        raise FeedError(shown_url(url), reason, remedy) from None


def check_address(url: str) -> None:
    """Refuse an address that no connection can be made to.

    Raises
    ------
    FeedError
        If it is malformed, or of no kind that can be used.
    """
    try:
        is_loopback(url)
        parse_uri(url)
    except InvalidURI as error:
        raise FeedError(shown_url(url), error.msg, "give a ws:// or wss:// address") from None


def shown_url(url: str) -> str:
    """Return an address as it may be shown: without a user's name and password, and without its query.

    Examples
    --------
    >>> shown_url("wss://me:secret@feed.example/ws?token=secret")
    'wss://feed.example/ws'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.rpartition("@")[2].partition("?")[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine, where no proxy is asked.

    Raises
    ------
    InvalidURI
        If it is malformed.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port  # a port out of range raises only when asked for
    except ValueError as error:
        raise InvalidURI(url, str(error)) from None
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def describe_connect_error(error: Exception) -> tuple[str, str]:
    """Return the reason label of a failed attempt, and the failure in words."""
    match error:
        case InvalidStatus():
            status = error.response.status_code
            return f"http_{status}", f"the exchange answered HTTP {status} to the handshake"
        case gaierror():
            return "dns", f"the host name is not known ({error.strerror}); check the network and the address"
        case ssl.SSLError():
            return "tls", f"no secure connection ({error}); check the clock and the CA certificates"
        case ConnectionRefusedError():
            return "connection_refused", "nothing listens at the address"
        case TimeoutError():
            return "timeout", "the handshake took too long"
        case OSError():
            return "network", f"the network failed ({error})"
        case _:
            return "handshake", f"the answer to the handshake is none of a WebSocket ({error})"


def describe_close(closed: ConnectionClosed) -> tuple[str, str]:
    """Return the reason label of a closed connection, and the close in words."""
    close = closed.rcvd or closed.sent
    if close is None:
        if isinstance(closed.__cause__, ConnectionResetError):
            return "reset", "the connection was reset"
        return "close_1006", "the connection ended without a closing handshake"
    words = f"closed with code {close.code}" + (f" ({close.reason})" if close.reason else "")
    if close.code == 1009:
        words += "; a frame exceeds the limit: raise max_frame_bytes or subscribe to fewer products"
    return f"close_{close.code}", words
