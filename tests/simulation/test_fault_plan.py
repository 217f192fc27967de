"""How faults are written, and when those of a plan happen."""

from __future__ import annotations

from itertools import pairwise

import pytest

from volspike.errors import ConfigError
from volspike.simulation.fault_plan import FaultPlan
from volspike.simulation.faults import KINDS, Fault, parse_fault

SECOND = 1_000_000_000


def times(plan: FaultPlan, count: int) -> list[tuple[float, str]]:
    taken = []
    while plan.due_ns is not None and len(taken) < count:
        due_ns = plan.due_ns
        taken.append((due_ns / SECOND, plan.take().kind))
    return taken


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop", Fault("drop")),
        ("gap:3,at=10.5", Fault("gap", 3, after_s=10.5)),
        ("nan:2,every=30", Fault("nan", 2, every_s=30.0)),
        ("close:4000,p=0.01", Fault("close", 4000, p=0.01)),
        ("clock:-5", Fault("clock", -5)),
        ("http:429,at=0", Fault("http", 429)),
        (
            "error:Failed to subscribe: X-USD is delisted,at=3",
            Fault("error", 0, 3.0, text="Failed to subscribe: X-USD is delisted"),
        ),
        ("error:a sentence, with a comma", Fault("error", text="a sentence, with a comma")),
    ],
)
def test_a_fault_is_read_as_it_is_written(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_default(kind: str) -> None:
    assert parse_fault(kind).kind == kind


@pytest.mark.parametrize(
    "text",
    [
        *("gap,when=3", "gap,at=", "gap,at=1.2.3", "gap,every=0", "gap,p=1.5", "gap,p=0", "gap:1000001"),
        *("http:200", "http:99", "quiet:-1", "clock:9999999", "nan:x", "Gap", "gap:1:2"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_fault(text)


def test_fixed_and_periodic_faults_come_in_order_of_time() -> None:
    plan = FaultPlan([parse_fault(text) for text in ("gap,at=25", "nan,every=10", "drop,at=5")], seed=1)
    assert times(plan, 5) == [(5, "drop"), (10, "nan"), (20, "nan"), (25, "gap"), (30, "nan")]


def test_faults_by_chance_are_seeded_and_have_their_rate() -> None:
    faults = [Fault("nan", p=0.1), Fault("zero", p=0.1)]
    taken = times(FaultPlan(faults, seed=3), 4_000)
    assert taken == times(FaultPlan(faults, seed=3), 4_000)
    assert taken != times(FaultPlan(faults, seed=4), 4_000)
    seconds = [at for at, kind in taken if kind == "nan"]
    assert seconds != [at for at, kind in taken if kind == "zero"]
    assert all(at == int(at) for at in seconds)
    assert min(later - earlier for earlier, later in pairwise(seconds)) == 1
    assert 0.09 < len(seconds) / seconds[-1] < 0.11


def test_a_certain_fault_happens_in_every_second() -> None:
    assert [at for at, _ in times(FaultPlan([Fault("nan", p=1.0)], 1), 3)] == [1, 2, 3]


def test_a_finite_plan_ends() -> None:
    plan = FaultPlan([Fault("drop", after_s=1.0)], 1)
    plan.take()
    assert plan.due_ns is None


def test_a_periodic_fault_happens_again_and_again_on_the_wire(kit) -> None:
    plan = (parse_fault("malformed,every=4"), parse_fault("duplicate,p=0.3"))
    transcript, state = kit.whole_run(kit.steady(20.0), "exchange", speed=500.0, plan=plan, seed=5)
    # The market is told for 20 s and goes on beating for 125 s.
    assert state["sent_by_type"]["malformed"] == state["faults"]["malformed"] == 145 // 4
    assert 20 < state["faults"]["duplicate"] < 70
    again, _ = kit.whole_run(kit.steady(20.0), "exchange", speed=500.0, plan=plan, seed=5)
    assert transcript.raw == again.raw
