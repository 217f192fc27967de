"""The published fakes behave as they say."""

from __future__ import annotations

import doctest
import signal
import subprocess
import sys

import pytest

from volspike.clock import Clock
from volspike.exchange.items import Decoded
from volspike.testing import crash_point, manual_clock
from volspike.testing.crash_point import CrashError, CrashPoint
from volspike.testing.manual_clock import ManualClock
from volspike.testing.scripted_source import ScriptedFrame, ScriptedSource


@pytest.mark.parametrize("module", [manual_clock, crash_point])
def test_the_examples_in_the_docstrings_hold(module) -> None:
    results = doctest.testmod(module, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert results.attempted > 0
    assert results.failed == 0


def test_market_time_can_step_back_and_monotonic_time_cannot() -> None:
    clock: Clock = ManualClock(market_ns=100, monotonic_ns=7)
    assert isinstance(clock, ManualClock)
    clock.set_market(40)
    assert (clock.market_ns(), clock.monotonic_ns()) == (40, 7)
    with pytest.raises(ValueError, match="never steps back"):
        clock.advance(-1)


class Recorder:
    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.calls: list[tuple] = []

    def begin(self, session: str) -> None:
        self.calls.append(("begin", session))

    def frame(self, session: str, receive_ns: int, raw: bytes, monotonic_ns: int) -> Decoded:
        self.calls.append((session, receive_ns, raw, monotonic_ns, self.clock.market_ns()))
        return Decoded(())

    def end(self, session: str, reason: str) -> None:
        self.calls.append(("end", session, reason))


def test_a_script_plays_sessions_in_order_and_moves_the_clock() -> None:
    clock = ManualClock(market_ns=100)
    sink = Recorder(clock)
    script = [ScriptedFrame("a", 110, b"1"), ScriptedFrame("a", 105, b"2"), ScriptedFrame("b", 130, b"3")]
    assert ScriptedSource(script, clock).play(sink) == 3
    assert sink.calls == [
        ("begin", "a"),
        ("a", 110, b"1", 10, 110),
        ("a", 105, b"2", 10, 105),
        ("end", "a", "disconnect"),
        ("begin", "b"),
        ("b", 130, b"3", 35, 130),
        ("end", "b", "end of script"),
    ]


def test_an_empty_script_opens_no_session() -> None:
    sink = Recorder(ManualClock())
    assert ScriptedSource([], sink.clock).play(sink) == 0
    assert sink.calls == []


def test_a_crash_point_fires_once_at_the_visit_asked_for() -> None:
    point = CrashPoint("here", nth=2)
    point("here")
    point("elsewhere")
    with pytest.raises(CrashError, match="here, visit 2"):
        point("here")
    point("here")
    assert point.visits == 3


def test_a_crash_point_can_kill_the_process_without_clean_up() -> None:
    code = (
        "import atexit\n"
        "from volspike.testing.crash_point import CrashPoint\n"
        "atexit.register(lambda: print('cleaned up'))\n"
        "CrashPoint('here', kill=True)('here')\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, "")
