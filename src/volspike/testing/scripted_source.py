"""A feed that plays frames from a list, without a socket."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from volspike.exchange.session import FrameSink
from volspike.testing.manual_clock import ManualClock


class ScriptedFrame(msgspec.Struct, frozen=True):
    """One frame of a script: its session, when it arrives (market time), and its bytes."""

    session: str
    receive_ns: int
    raw: bytes


class ScriptedSource:
    """Plays a script into a sink: a change of session in the script is a disconnect.

    Parameters
    ----------
    script : iterable of ScriptedFrame
        What arrives, in order.
    clock : ManualClock
        Moved to each frame's time before the sink sees it.
    """

    def __init__(self, script: Iterable[ScriptedFrame], clock: ManualClock) -> None:
        self._script = list(script)
        self._clock = clock

    def play(self, sink: FrameSink) -> int:
        """Feed every frame; return how many there were."""
        session: str | None = None
        for scripted in self._script:
            if scripted.session != session:
                if session is not None:
                    sink.end(session, "disconnect")
                session = scripted.session
                sink.begin(session)
            self._deliver(scripted, sink)
        if session is not None:
            sink.end(session, "end of script")
        return len(self._script)

    def _deliver(self, scripted: ScriptedFrame, sink: FrameSink) -> None:
        ahead_ns = scripted.receive_ns - self._clock.market_ns()
        if ahead_ns >= 0:
            self._clock.advance(ahead_ns)
        else:
            self._clock.set_market(scripted.receive_ns)
        sink.frame(scripted.session, scripted.receive_ns, scripted.raw, self._clock.monotonic_ns())
