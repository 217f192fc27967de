"""Faults that can be asked of the simulator: their names, and how they are written.

A fault is ``KIND[:NUMBER]``, in a plan followed by ``,at=SECONDS``, ``,every=SECONDS`` or ``,p=CHANCE``:
market time after the first event, a period, or the chance in each market second. The control port injects
at once.

Every open connection:

| kind           | effect                                                                                 |
|----------------|----------------------------------------------------------------------------------------|
| ``drop``       | the TCP connection is reset in the middle of a frame                                   |
| ``silence``    | nothing is sent or read any more, the socket stays open                                |
| ``close:CODE`` | the connection is closed with that code (1012)                                         |
| ``error:TEXT`` | one error frame; ``MESSAGE: REASON`` gives both fields                                 |
| ``malformed``  | one extra frame of broken JSON                                                         |
| ``stall``      | heartbeats end, data goes on                                                           |
| ``freeze``     | the heartbeat counter stands still while heartbeats go on (Advanced Trade)             |
| ``skip:N``     | the heartbeat counter jumps by N (Advanced Trade)                                      |

Its next N ticker frames (1), each of which uses up its sequence number and its trade ids:

| kind           | effect                                                                                 |
|----------------|----------------------------------------------------------------------------------------|
| ``duplicate``  | sent twice                                                                             |
| ``gap``        | not sent                                                                               |
| ``disorder``   | N times, two neighbours change places                                                  |
| others         | spoiled: see ``spoilers``                                                              |

The market, for everybody:

| kind           | effect                                                                                 |
|----------------|----------------------------------------------------------------------------------------|
| ``quiet:S``    | no trade is told for S market seconds, heartbeats go on (60)                           |
| ``clock:S``    | the exchange's clock steps by S seconds, which may be negative (5)                     |
| ``delist:N``   | the last N products trade no more and can't be subscribed (1)                          |

The next connection; in a plan ``at=0`` means the first one:

| kind           | effect                                                                                 |
|----------------|----------------------------------------------------------------------------------------|
| ``http:CODE``  | its handshake is answered with that status (503)                                       |
| ``slow:MS``    | its handshake takes that much longer, in wall time (1000)                              |
| ``noack``      | its subscriptions are served and never acknowledged                                    |
| ``partial:N``  | the last N products it asks for are left out of what is served and acknowledged (1)    |

The next request for candles; in a plan ``at=0`` means the first one:

| kind            | effect                                                                                |
|-----------------|---------------------------------------------------------------------------------------|
| ``rest:CODE``   | it is answered with that status (500)                                                 |
| ``restslow:MS`` | its answer takes that much longer, in wall time (1000)                                |
| ``restcut:N``   | its answer and those to the N - 1 after it are cut in half (1)                        |
"""

from __future__ import annotations

import http
import re
from collections.abc import Callable, Mapping

import msgspec

from volspike.errors import ConfigError
from volspike.simulation.spoilers import SPOILERS

COUNTED_KINDS = frozenset({"duplicate", "gap", "disorder", *SPOILERS})
MARKET_KINDS = frozenset({"quiet", "clock", "delist"})
DOOR_KINDS = frozenset({"http", "slow", "noack", "partial", "rest", "restslow", "restcut"})
_CONNECTION_KINDS = ("drop", "silence", "close", "error", "malformed", "stall", "freeze", "skip")
KINDS = (*_CONNECTION_KINDS, *sorted(COUNTED_KINDS), *sorted(MARKET_KINDS), *sorted(DOOR_KINDS))

MOST = 1_000_000
_DEFAULTS: Mapping[str, int] = {
    **dict.fromkeys(COUNTED_KINDS, 1),
    "close": 1012,
    "skip": 3_600,
    "quiet": 60,
    "clock": 5,
    "delist": 1,
    "http": 503,
    "slow": 1_000,
    "partial": 1,
    "rest": 500,
    "restslow": 1_000,
    "restcut": 1,
}
_WRITTEN = re.compile(r"([a-z0-9]+)(?::(.*?))?(?:,(at|every|p)=([0-9.]+))?")
_USAGE = f"write KIND[:NUMBER][,at=S|,every=S|,p=CHANCE] with one of {', '.join(KINDS)}"


class Fault(msgspec.Struct, frozen=True):
    """A fault to inject.

    In a plan it happens once, ``after_s`` market seconds after the first event; or, if ``every_s`` is above
    0, again and again at that distance; or, if ``p`` is above 0, in each market second with that chance.
    ``text`` is the argument of ``error``.
    """

    kind: str
    argument: int = 0
    after_s: float = 0.0
    every_s: float = 0.0
    p: float = 0.0
    text: str = ""

    @property
    def opens(self) -> bool:
        """Return whether it is in force before anybody connects."""
        return self.kind in DOOR_KINDS and not (self.after_s or self.every_s or self.p)


def parse_fault(text: str, after_s: float = 0.0) -> Fault:
    """Read a fault as it is written, ``after_s`` if it does not say when.

    Raises
    ------
    ConfigError
        If the kind is unknown, the number is none or out of range, or the time makes no sense.
    """
    match = _WRITTEN.fullmatch(text)
    if match is None or match[1] not in KINDS:
        raise ConfigError(f"fault {text!r}", "no such fault", _USAGE)
    kind, argument = match[1], match[2] or ""
    times = _times(text, match[3], match[4]) if match[3] else (after_s, 0.0, 0.0)
    if kind == "error":
        return Fault(kind, 0, *times, argument or "failure to subscribe")
    number = _number(text, argument, _DEFAULTS.get(kind, 0))
    allowed, remedy = _RANGES.get(kind, (_is_count, f"give a number from 0 to {MOST}"))
    if not allowed(number):
        raise ConfigError(f"fault {text!r}", f"{number} can't be sent or is out of range", remedy)
    return Fault(kind, number, *times)


def _times(text: str, when: str, value: str) -> tuple[float, float, float]:
    """Return ``after_s``, ``every_s`` and ``p``."""
    try:
        number = float(value)
    except ValueError:
        raise ConfigError(f"fault {text!r}", f"{value!r} is no number", _USAGE) from None
    if when == "at":
        return number, 0.0, 0.0
    if number <= 0 or (when == "p" and number > 1):
        raise ConfigError(
            f"fault {text!r}", f"{when}={value} is out of range", "give every > 0 or 0 < p <= 1"
        )
    return (0.0, number, 0.0) if when == "every" else (0.0, 0.0, number)


def _number(text: str, argument: str, default: int) -> int:
    if not argument:
        return default
    if not re.fullmatch(r"-?[0-9]{1,9}", argument):
        raise ConfigError(f"fault {text!r}", f"{argument!r} is no whole number", _USAGE)
    return int(argument)


def _is_count(number: int) -> bool:
    return 0 <= number <= MOST


def _is_sendable_code(code: int) -> bool:
    return code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code < 5000


def _is_refusal(status: int) -> bool:
    return 400 <= status < 600 and status in {known.value for known in http.HTTPStatus}


_RANGES: Mapping[str, tuple[Callable[[int], bool], str]] = {
    "close": (_is_sendable_code, "use drop for an abnormal close"),
    "http": (_is_refusal, "use an HTTP status such as 403, 429 or 503"),
    "rest": (_is_refusal, "use an HTTP status such as 429, 500 or 503"),
    "clock": (lambda seconds: abs(seconds) <= MOST, f"give -{MOST} to {MOST} seconds"),
}
