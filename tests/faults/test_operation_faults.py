"""Rows 49 and 50 of the fault table: memory over hours, and secrets in what is shown."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import pytest

from volspike.clock import SimulatedClock
from volspike.pipeline import checkup
from volspike.pipeline.assembly import open_live
from volspike.simulation.scripted import exchange_frames
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import (
    ORIGIN_NS,
    PRODUCT,
    SEED,
    Ran,
    adds_up,
    one_line_failure,
    settings_for,
    simulator_process,
    simulator_state,
    volspike,
)

STEP_NS = 2_400 * 1_000_000_000
SECRET = "hunter2"


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_fault_49_memory_is_flat_over_hours(tmp_path: Path) -> None:
    job = open_live(settings_for(tmp_path), SimulatedClock(), ())
    seen: list[tuple[int, int]] = []
    measure_ns = ORIGIN_NS + STEP_NS
    writer = job.pipeline._parts.records._writer
    try:
        job.pipeline.begin("one")
        market = SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS)
        for receive_ns, raw in exchange_frames(market, SEED, ORIGIN_NS + 3 * STEP_NS):
            job.pipeline.frame("one", receive_ns, raw, 0)
            if receive_ns >= measure_ns:
                measure_ns += STEP_NS
                writer.flush()
                gc.collect()
                seen.append((resident_bytes(), sys.getallocatedblocks()))
        job.pipeline.end("one", "stop")
        job.pipeline.finish()
    finally:
        job.close()
    adds_up(job.as_dict())
    # At first the buffers of feature rows fill up; from then on nothing grows.
    (_, first_blocks), (settled, _), (resident, blocks) = seen
    assert resident < 1.05 * settled, seen
    assert blocks < 1.05 * first_blocks, seen


@pytest.fixture
def secret_address(monkeypatch: pytest.MonkeyPatch) -> str:
    """Set an address that holds a secret and at which nobody listens."""
    url = f"ws://me:{SECRET}@127.0.0.1:9/?token={SECRET}"
    monkeypatch.setenv("VOLSPIKE_EXCHANGE_URL", url)
    return url


def said(ran: Ran) -> str:
    return ran.out + ran.err


def test_fault_50_no_output_tells_the_secret_in_an_address(
    secret_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "LISTEN_S", 0.3)
    verbs: dict[str, tuple[Any, ...]] = {
        "config": (),
        "doctor": ("--exchange", "--data-dir", tmp_path / "d"),
        "run": ("--exit-after", 0.3, "--data-dir", tmp_path / "r", "--json"),
    }
    for verb, options in verbs.items():
        ran = volspike(verb, *options)
        assert said(ran)
        assert SECRET not in said(ran), verb
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert all(SECRET.encode() not in content for content in written)


@pytest.mark.parametrize("address", [f"http://me:{SECRET}@127.0.0.1:9", f"ws://me:{SECRET}@[::1"])
def test_fault_50_a_failure_does_not_tell_it_either(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLSPIKE_EXCHANGE_URL", address)
    ran = volspike("run", "--exit-after", 5, "--data-dir", tmp_path / "r")
    assert SECRET not in one_line_failure(ran) + said(ran)


def test_the_command_line_takes_faults(tmp_path: Path) -> None:
    faults = ("--fault", "http:503,at=0", "--fault", "nan:2,every=30")
    with simulator_process(tmp_path / "ready.json", *faults) as told:
        assert simulator_state(told)["faults"] == {"http": 1}


def test_a_fault_that_is_none_is_told_with_those_there_are() -> None:
    line = one_line_failure(volspike("simulate", "--fault", "explode"))
    assert "outlier" in line
