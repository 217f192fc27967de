"""A lease: one holder at a time, and a dead one blocks nobody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from volspike.errors import BusyError, ModelError
from volspike.monitoring.lease import Owner, lease
from volspike.testing.manual_clock import ManualClock

NS = 1_000_000_000
_HOLDER = """
import sys, time
from pathlib import Path
from volspike.clock import SystemClock
from volspike.errors import BusyError
from volspike.monitoring.lease import lease
try:
    with lease(Path(sys.argv[1]), "the work", 60.0, SystemClock()):
        print("held", flush=True)
        sys.stdin.read()
except BusyError as error:
    print(error, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.lock"


@pytest.fixture
def clock() -> ManualClock:
    clock = ManualClock()
    clock.set_market(1_000 * NS)
    return clock


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_fault_42_of_several_processes_one_holds_it(path: Path) -> None:
    processes = [holder(path) for _ in range(4)]
    words = sorted(map(said, processes))
    assert words.count("held") == 1
    busy = [each for each in words if each != "held"]
    assert len(busy) == 3
    assert all(each.startswith("the work: process ") and f"remove {path}" in each for each in busy)
    for process in processes:
        process.communicate("")
    assert not path.exists()


def test_fault_42_a_holder_that_is_killed_holds_nothing_even_while_nobody_has_asked_after_it(
    path: Path, clock: ManualClock
) -> None:
    dead = holder(path)
    assert said(dead) == "held"
    with (
        pytest.raises(BusyError, match=f"process {dead.pid} on {socket.gethostname()}"),
        lease(path, "it", 1.0, clock),
    ):
        pass
    os.kill(dead.pid, 9)
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # it has died, and is a zombie still
    assert path.exists()
    with lease(path, "it", 1.0, clock):
        assert msgspec.json.decode(path.read_bytes(), type=Owner).pid == os.getpid()
    assert not path.exists()
    dead.communicate("")


def test_a_process_that_has_the_number_of_a_dead_holder_is_not_taken_for_it(
    path: Path, clock: ManualClock
) -> None:
    own = Owner(socket.gethostname(), os.getpid(), "1", 2_000 * NS)
    path.write_bytes(msgspec.json.encode(own))
    with lease(path, "it", 1.0, clock):
        pass


def test_fault_42_the_lease_of_another_machine_holds_until_it_expires(path: Path, clock: ManualClock) -> None:
    foreign = Owner("elsewhere", 1, "1", 1_500 * NS)
    path.write_bytes(msgspec.json.encode(foreign))
    with pytest.raises(BusyError, match="process 1 on elsewhere"), lease(path, "it", 1.0, clock):
        pass
    assert msgspec.json.decode(path.read_bytes(), type=Owner) == foreign
    clock.set_market(1_500 * NS)
    with lease(path, "it", 7.0, clock):
        assert msgspec.json.decode(path.read_bytes(), type=Owner).until_ns == 1_507 * NS


def test_a_lease_that_was_taken_over_is_not_given_back_by_the_one_before(
    path: Path, clock: ManualClock
) -> None:
    later = Owner("elsewhere", 1, "1", 9_000 * NS)
    with lease(path, "it", 1.0, clock):
        path.write_bytes(msgspec.json.encode(later))
    assert msgspec.json.decode(path.read_bytes(), type=Owner) == later


@pytest.mark.parametrize("content", [b"", b"{", b'{"host":"\xff"}', b"[" * 100_000, b'{"pid":1}'])
def test_a_lock_file_that_says_nothing_holds_nothing(content: bytes, path: Path, clock: ManualClock) -> None:
    path.write_bytes(content)
    with lease(path, "it", 1.0, clock):
        pass
    assert not path.exists()


def test_it_is_given_back_when_the_work_fails(path: Path, clock: ManualClock) -> None:
    with pytest.raises(ZeroDivisionError), lease(path, "it", 1.0, clock):
        raise ZeroDivisionError
    assert not path.exists()


def test_a_lock_that_can_not_be_written_is_told(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(ModelError, match="can't be written"),
        lease(tmp_path / "file" / "lock", "it", 1.0, clock),
    ):
        pass
