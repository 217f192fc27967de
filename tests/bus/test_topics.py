"""Records survive the wire, new fields are tolerated, and junk is told apart."""

from __future__ import annotations

import pytest

from made_records import MARK, ROW, TICK
from volspike.bus.topics import FEATURES, OUTCOMES, PREDICTIONS, TICKS, TOPICS
from volspike.errors import ProtocolError
from volspike.records import Outcome


@pytest.mark.parametrize(
    ("topic", "record"), [(TICKS, TICK), (TICKS, MARK), (FEATURES, ROW), (FEATURES, MARK)]
)
def test_a_record_comes_back_equal(topic, record) -> None:
    assert topic.decode(topic.encode(record)) == record
    assert topic.encode(record) == topic.encode(topic.decode(topic.encode(record)))
    assert topic.key(record) == "BTC-USD"
    assert topic.event_ns(record) == record.event_ns


def test_an_outcome_is_filed_when_it_became_known() -> None:
    outcome = Outcome(
        prediction_id="x", product="BTC-USD", event_ns=5, matured_ns=65, p_spike=0.1, tau_bps=4.0
    )
    assert OUTCOMES.event_ns(outcome) == 65


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    newer = TICKS.encode(MARK)[:-1] + b',"v2_field":[1,2]}'
    assert TICKS.decode(newer) == MARK


NOT_UTF8 = b'{"kind":"tick","product":"\xff"}'
DEEP = b'{"kind":"tick","x":' + b"[" * 100_000


@pytest.mark.parametrize(
    "junk",
    [b"", b"{", b"\xff", NOT_UTF8, DEEP, b"null", b'{"kind":"tick"}', b'{"kind":"alien"}', b"[]"],
    ids=lambda junk: junk[:20],
)
def test_a_poison_record_is_a_protocol_error(junk: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        TICKS.decode(junk)
    assert caught.value.reason == "bad record"


def test_every_topic_of_the_design_is_there() -> None:
    assert sorted(TOPICS) == [
        "ticks.alerts",
        "ticks.deadletter",
        "ticks.features",
        "ticks.gaps",
        "ticks.outcomes",
        "ticks.predictions",
        "ticks.raw",
    ]
    assert TOPICS["ticks.predictions"] is PREDICTIONS
