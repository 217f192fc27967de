"""Admission decides tick, drop and coverage from the frames alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.exchange.items import Control, Decoded, Heartbeat, Ignored, Item, Quote, Rejected
from volspike.features.admission import Admission, Admitted, Dropped, is_jump
from volspike.recording.frame import FlatMapping, Frame, SegmentHeader
from volspike.records import UNKNOWN, Gap, Mark, Tick

SECOND = 1_000_000_000
T0 = 1_900_000_000 * SECOND
BTC = "BTC-USD"


def header(dialect: str = "exchange", session: str = "s1", **changes: object) -> SegmentHeader:
    fields: dict[str, object] = {
        "feed": dialect,
        "dialect": dialect,
        "session": session,
        "products": (BTC,),
        "heartbeats": True,
    }
    return SegmentHeader(**{**fields, **changes})  # type: ignore[arg-type]


def quote(
    at_s: float, trade_id: int = UNKNOWN, mid: int = 100_000, product: str = BTC, snapshot: bool = False
) -> Quote:
    return Quote(
        product=product,
        event_ns=T0 + round(at_s * SECOND),
        bid=mid - 1,
        ask=mid + 1,
        price_decimals=8,
        price=mid + 1,
        size=7,
        trade_id=trade_id,
        snapshot=snapshot,
        volume_24h=900,
    )


class Feed:
    """Feeds items one frame each and collects the answers."""

    def __init__(self, head: SegmentHeader) -> None:
        self.admission = Admission()
        self.seq = 0
        self.head = head
        self.admission.begin(head)

    def begin(self, head: SegmentHeader) -> None:
        self.head = head
        self.admission.begin(head)

    def send(self, *items: Item, sequence: int = UNKNOWN, receive_s: float | None = None) -> list[Admitted]:
        self.seq += 1
        stamps = [item.event_ns for item in items if isinstance(item, Quote | Heartbeat)]
        receive_ns = max(stamps, default=T0) if receive_s is None else T0 + round(receive_s * SECOND)
        frame = Frame(self.seq, receive_ns, self.head.session, b"")
        return self.admission.admit(frame, Decoded(items, sequence))


def exchange_feed() -> Feed:
    feed = Feed(header())
    assert feed.send(quote(-50, trade_id=9)) == [Dropped("snapshot", product=BTC)]
    return feed


def ticks(answers: list[Admitted]) -> list[Tick]:
    return [answer for answer in answers if isinstance(answer, Tick)]


def drops(answers: list[Admitted]) -> list[str]:
    return [answer.reason for answer in answers if isinstance(answer, Dropped)]


def test_first_row_of_an_exchange_session_is_a_snapshot_and_seeds_nothing() -> None:
    feed = exchange_feed()
    (tick,) = ticks(feed.send(quote(0, trade_id=10)))
    assert tick.covered_since_ns == tick.event_ns
    assert not tick.suspect
    assert tick.identity == "BTC-USD:10"
    assert (tick.price, tick.size, tick.volume_24h) == (100_001, 7, 900)


def test_advanced_snapshot_is_known_by_its_event_type() -> None:
    feed = Feed(header("advanced"))
    assert drops(feed.send(quote(0, snapshot=True), sequence=0)) == ["snapshot"]
    (tick,) = ticks(feed.send(quote(1), sequence=1))
    assert tick.identity == "s1:1:0"


@pytest.mark.parametrize(("event_type", "expected"), [("", ["snapshot"]), ("event_type", [])])
def test_flat_rows_without_an_event_type_start_with_a_snapshot(event_type: str, expected: list[str]) -> None:
    mapping = FlatMapping(time="t", bid="b", ask="a", event_type=event_type)
    feed = Feed(header("flat", mapping=mapping, heartbeats=False))
    assert drops(feed.send(quote(0))) == expected


def test_duplicates_are_known_by_trade_id_never_by_time() -> None:
    feed = exchange_feed()
    assert len(ticks(feed.send(quote(0, trade_id=10)))) == 1
    assert len(ticks(feed.send(quote(0, trade_id=11)))) == 1
    assert drops(feed.send(quote(0, trade_id=11))) == ["duplicate"]
    assert drops(feed.send(quote(1, trade_id=11))) == ["duplicate"]


def test_a_snapshot_raises_the_newest_trade_id_and_never_lowers_it() -> None:
    feed = exchange_feed()
    assert drops(feed.send(quote(0, trade_id=9))) == ["duplicate"]
    feed.send(quote(1, trade_id=12))
    feed.begin(header(session="s2"))
    assert drops(feed.send(quote(0, trade_id=7))) == ["snapshot"]
    assert drops(feed.send(quote(2, trade_id=12))) == ["duplicate"]


def test_a_trade_id_that_goes_back_is_out_of_order_at_the_same_stamp_and_no_duplicate() -> None:
    feed = exchange_feed()
    feed.send(quote(0, trade_id=11))
    assert drops(feed.send(quote(0, trade_id=10))) == ["out_of_order"]
    assert drops(feed.send(quote(-1, trade_id=8))) == ["late"]


def test_no_identity_is_used_twice_where_trade_ids_go_back() -> None:
    feed = exchange_feed()
    sent = [(0, 10), (1, 9), (2, 10), (3, 11), (4, 2), (5, 11)]
    found = [tick for at_s, trade_id in sent for tick in ticks(feed.send(quote(at_s, trade_id=trade_id)))]
    assert [tick.trade_id for tick in found] == [trade_id for _, trade_id in sent]
    assert len({tick.identity for tick in found}) == len(sent)
    assert [tick.identity for tick in found if tick.identity.startswith(BTC)] == ["BTC-USD:10", "BTC-USD:11"]


def test_trade_id_jump_is_suspect_and_keeps_the_window() -> None:
    feed = exchange_feed()
    feed.send(quote(0, trade_id=10))
    (tick,) = feed.send(quote(1, trade_id=13))
    assert isinstance(tick, Tick)
    assert tick.suspect
    assert tick.covered_since_ns == T0


def test_late_tick_is_counted_and_a_tie_is_kept() -> None:
    feed = exchange_feed()
    feed.send(quote(2, trade_id=10))
    assert drops(feed.send(quote(1.9, trade_id=11))) == ["late"]
    assert len(ticks(feed.send(quote(2, trade_id=12)))) == 1


@pytest.mark.parametrize(("receive_s", "reason"), [(-40, "time_future"), (90_000, "time_past")])
def test_fault_15_stamp_far_from_receive_time_is_dead(receive_s: float, reason: str) -> None:
    feed = exchange_feed()
    (drop,) = feed.send(quote(0, trade_id=10), receive_s=receive_s)
    assert isinstance(drop, Dropped)
    assert (drop.reason, drop.dead) == (reason, True)


def test_a_stamp_at_the_future_limit_is_accepted_and_one_beyond_it_is_not() -> None:
    feed = exchange_feed()
    assert ticks(feed.send(quote(0, trade_id=10), receive_s=-30))
    feed = exchange_feed()
    assert drops(feed.send(quote(0, trade_id=10), receive_s=-30.000001)) == ["time_future"]


@pytest.mark.parametrize(
    ("event_s", "receive_s", "accepted"),
    [(31, 0, False), (30, 0, True), (40, 10, True), (40.001, 10, False)],
    ids=["ahead of both", "at the limit of both", "at the limit of what elapsed", "ahead of what elapsed"],
)
def test_a_slow_clock_is_told_by_the_stamps_of_the_session(
    event_s: float, receive_s: float, accepted: bool
) -> None:
    feed = exchange_feed()
    feed.send(Heartbeat(event_ns=T0, product=BTC))
    assert ticks(feed.send(quote(0, trade_id=10), receive_s=0))
    feed.send(Heartbeat(event_ns=T0 + round(event_s * SECOND), product=BTC))
    assert bool(ticks(feed.send(quote(event_s, trade_id=11), receive_s=receive_s))) is accepted


def test_a_clock_that_is_slow_from_the_start_costs_two_quotes_and_one_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    feed = exchange_feed()
    answers = [feed.send(quote(at_s, trade_id=10 + at_s), receive_s=at_s - 31) for at_s in range(8)]
    assert [drops(answer) for answer in answers[:2]] == [["time_future"]] * 2
    assert all(ticks(answer) for answer in answers[2:])
    assert not any(tick.suspect for answer in answers[3:] for tick in ticks(answer))
    assert capsys.readouterr().err.count("our clock is behind") == 1
    assert drops(feed.send(quote(60, trade_id=30), receive_s=8 - 31)) == ["time_future"]


@pytest.mark.parametrize(
    "stamps_s", [(100, 131, 132), (100, 99, 100), (100, 101, 70)], ids=["apart", "going back", "back at last"]
)
def test_stamps_ahead_that_disagree_are_not_believed(stamps_s: tuple[float, ...]) -> None:
    feed = exchange_feed()
    for trade_id, at_s in enumerate(stamps_s, start=10):
        assert drops(feed.send(quote(at_s, trade_id=trade_id), receive_s=0)) == ["time_future"]


def test_stamps_ahead_are_believed_only_in_a_row_and_a_frame_each() -> None:
    feed = exchange_feed()
    for at_s, receive_s in ((100, 0), (101, 1), (2, 2), (102, 2), (103, 3)):
        feed.admission.known(BTC).tick_receive_ns = UNKNOWN  # type: ignore[union-attr]
        feed.send(quote(at_s), receive_s=receive_s)
    assert feed.admission.known(BTC).tick_ns == T0 + 2 * SECOND  # type: ignore[union-attr]
    one_frame = Feed(header("advanced"))
    answers = one_frame.send(*(quote(100) for _ in range(4)), receive_s=0)
    assert drops(answers) == ["time_future"] * 4


def test_receive_time_before_event_time_is_normal() -> None:
    feed = exchange_feed()
    assert ticks(feed.send(quote(0, trade_id=10), receive_s=-5))


def test_fault_21_jump_and_back_is_rejected_and_level_shift_is_a_break() -> None:
    feed = exchange_feed()
    feed.send(quote(0, trade_id=10))
    assert drops(feed.send(quote(1, trade_id=11, mid=900_000))) == ["jump"]
    assert ticks(feed.send(quote(2, trade_id=12)))[0].covered_since_ns == T0
    assert drops(feed.send(quote(3, trade_id=13, mid=900_000))) == ["jump"]
    assert drops(feed.send(quote(4, trade_id=14, mid=910_000))) == ["jump"]
    gap, tick = feed.send(quote(5, trade_id=15, mid=905_000))
    assert isinstance(gap, Gap)
    assert isinstance(tick, Tick)
    assert (gap.reason, gap.from_ns, gap.to_ns) == ("level_shift", T0 + 2 * SECOND, T0 + 5 * SECOND)
    assert tick.covered_since_ns == tick.event_ns


def test_three_jumps_that_disagree_are_no_level() -> None:
    feed = exchange_feed()
    feed.send(quote(0, trade_id=10))
    for trade_id, mid in ((11, 900_000), (12, 20_000), (13, 900_000), (14, 20_000)):
        assert drops(feed.send(quote(1, trade_id=trade_id, mid=mid))) == ["jump"]


def test_a_level_must_agree_with_all_of_the_three() -> None:
    feed = exchange_feed()
    feed.send(quote(0, trade_id=10))
    for trade_id, mid in ((11, 900_000), (12, 1_700_000), (13, 3_300_000), (14, 3_300_000)):
        assert drops(feed.send(quote(1, trade_id=trade_id, mid=mid))) == ["jump"]
    assert ticks(feed.send(quote(1, trade_id=15, mid=3_300_000)))


def test_a_heartbeat_that_comes_late_does_not_take_back_the_newest() -> None:
    feed = exchange_feed()
    feed.send(quote(0, trade_id=10))
    for second in (1, 4, 1):
        feed.send(Heartbeat(event_ns=T0 + second * SECOND, product=BTC))
    (tick,) = feed.send(quote(8, trade_id=11))
    assert isinstance(tick, Tick)
    assert tick.covered_since_ns == T0


def test_invariant_04_breaks_at_one_stamp_are_each_a_stretch_of_their_own() -> None:
    feed = exchange_feed()
    since = [ticks(feed.send(quote(0, trade_id=10)))[0].covered_since_ns]
    for trade_id, session in ((12, "s2"), (14, "s3")):
        feed.begin(header(session=session))
        feed.send(quote(0, trade_id=trade_id))
        gap, tick = feed.send(quote(0, trade_id=trade_id + 1))
        assert isinstance(gap, Gap)
        assert isinstance(tick, Tick)
        assert (gap.from_ns, gap.to_ns) == (T0, T0)
        since.append(tick.covered_since_ns)
    assert since == [T0, T0 + 1, T0 + 2]
    feed.begin(header(session="s4"))
    feed.send(quote(1, trade_id=16))
    (_, tick) = feed.send(quote(1, trade_id=17))
    assert isinstance(tick, Tick)
    assert tick.covered_since_ns == T0 + SECOND


def test_fault_08_sequence_jump_breaks_every_product_once() -> None:
    feed = Feed(header("advanced", products=(BTC, "ETH-USD")))
    feed.send(quote(0), quote(0, product="ETH-USD"), sequence=0)
    feed.send(quote(1), quote(1, product="ETH-USD"), sequence=1)
    answers = feed.send(quote(2), quote(2, product="ETH-USD"), sequence=5)
    gaps = [answer for answer in answers if isinstance(answer, Gap)]
    assert {gap.product for gap in gaps} == {BTC, "ETH-USD"}
    assert len({gap.gap_id for gap in gaps}) == 1
    assert [gap.reason for gap in gaps] == ["sequence", "sequence"]
    assert not [a for a in feed.send(quote(3), sequence=6) if isinstance(a, Gap)]


def test_fault_09_and_10_sequence_repeated_or_going_back_is_dropped() -> None:
    feed = Feed(header("advanced"))
    feed.send(quote(0), sequence=3)
    assert drops(feed.send(quote(0), sequence=3)) == ["duplicate"]
    assert drops(feed.send(quote(0), sequence=1)) == ["out_of_order"]
    assert len(ticks(feed.send(quote(1), sequence=4))) == 1


def test_recording_of_one_channel_gives_no_sequence_evidence() -> None:
    feed = Feed(header("advanced", heartbeats=False))
    feed.send(quote(0), sequence=0)
    (tick,) = feed.send(quote(1), sequence=4)
    assert isinstance(tick, Tick)
    assert tick.covered_since_ns == T0


@pytest.mark.parametrize(
    ("heartbeats", "limit_s", "reason"), [(True, 5, "heartbeats"), (False, 15, "silence")]
)
def test_coverage_ends_after_the_limit_and_not_at_it(heartbeats: bool, limit_s: float, reason: str) -> None:
    feed = Feed(header("advanced", heartbeats=heartbeats))
    feed.send(quote(0))
    (at_limit,) = feed.send(quote(limit_s))
    assert isinstance(at_limit, Tick)
    assert at_limit.covered_since_ns == T0
    late_s = limit_s + 0.001 if heartbeats else 2 * limit_s + 0.001
    gap, tick = feed.send(quote(late_s))
    assert isinstance(gap, Gap)
    assert isinstance(tick, Tick)
    assert gap.reason == reason
    assert tick.covered_since_ns == tick.event_ns


def test_quiet_product_with_heartbeats_stays_covered_by_marks() -> None:
    #  tick 0 ─ hb 1 ─ hb 2 (mark 1) ─ hb 3 (mark 2) ─ tick 3.2
    feed = exchange_feed()
    feed.send(quote(0, trade_id=10))
    marks = []
    for second in (1, 2, 3):
        beat = Heartbeat(event_ns=T0 + second * SECOND, product=BTC)
        marks += [answer for answer in feed.send(beat) if isinstance(answer, Mark)]
    assert [(mark.event_ns - T0) // SECOND for mark in marks] == [1, 2]
    assert {mark.covered_since_ns for mark in marks} == {T0}
    (tick,) = feed.send(quote(3.2, trade_id=11))
    assert isinstance(tick, Tick)
    assert tick.covered_since_ns == T0


def test_connection_heartbeat_marks_every_product_and_no_tick_no_mark() -> None:
    feed = Feed(header("advanced", products=(BTC, "ETH-USD")))
    feed.send(quote(0))
    answers = feed.send(Heartbeat(event_ns=T0 + 4 * SECOND))
    assert [answer.product for answer in answers if isinstance(answer, Mark)] == [BTC]


def test_new_session_is_a_break_with_one_gap() -> None:
    feed = exchange_feed()
    feed.send(quote(0, trade_id=10))
    feed.begin(header(session="s2"))
    feed.send(quote(1, trade_id=12))
    gap, tick = feed.send(quote(2, trade_id=13))
    assert isinstance(gap, Gap)
    assert isinstance(tick, Tick)
    assert (gap.reason, gap.gap_id, gap.from_ns, gap.to_ns) == ("session", "s2", T0, T0 + 2 * SECOND)


def test_overlapping_import_yields_to_the_earlier_session() -> None:
    mapping = FlatMapping(time="t", bid="b", ask="a", event_type="e")
    flat = {"mapping": mapping, "heartbeats": False, "origin": "import"}
    feed = Feed(header("flat", session="a", **flat))
    for second in range(5):
        feed.send(quote(second))
    feed.begin(header("flat", session="b", **flat))
    assert drops(feed.send(quote(3.5))) == ["overlap"]
    gap, tick = feed.send(quote(4.5))
    assert isinstance(gap, Gap)
    assert isinstance(tick, Tick)


def test_every_other_item_is_dropped_under_its_own_name() -> None:
    feed = exchange_feed()
    items = (
        Control(kind="subscriptions"),
        Ignored(reason="unknown_type"),
        Rejected(reason="number", detail="NaN"),
    )
    answers = feed.send(*items, quote(0, product="DOGE-USD"))
    assert drops(answers) == ["subscriptions", "unknown_type", "number", "unsubscribed"]
    assert [answer.dead for answer in answers if isinstance(answer, Dropped)] == [False, False, True, False]


ITEMS = st.one_of(
    st.builds(
        quote,
        st.floats(-5, 60),
        trade_id=st.integers(-1, 40),
        mid=st.sampled_from([100, 101, 150, 350, 100_000]),
        product=st.sampled_from([BTC, "ETH-USD", "DOGE-USD"]),
        snapshot=st.booleans(),
    ),
    st.builds(
        Heartbeat,
        event_ns=st.integers(0, 60).map(lambda s: T0 + s * SECOND),
        product=st.sampled_from(["", BTC]),
    ),
    st.just(Rejected(reason="json")),
    st.just(Control(kind="error")),
)


@settings(max_examples=100, deadline=None)
@given(
    frames=st.lists(st.tuples(st.lists(ITEMS, min_size=1, max_size=4), st.integers(-1, 30)), max_size=40),
    dialect=st.sampled_from(["exchange", "advanced"]),
    heartbeats=st.booleans(),
)
def test_invariant_03_every_item_is_answered_once(
    frames: list[tuple[list[Item], int]], dialect: str, heartbeats: bool
) -> None:
    feed = Feed(header(dialect, products=(BTC, "ETH-USD"), heartbeats=heartbeats))
    newest: Counter[str] = Counter()
    since: dict[str, int] = {}
    broken: set[str] = set()
    for items, sequence in frames:
        answers = feed.send(*items, sequence=sequence)
        assert sum(isinstance(a, Tick | Dropped) for a in answers) == len(items)
        for answer in answers:
            if isinstance(answer, Gap):
                broken.add(answer.product)
            if isinstance(answer, Tick | Mark):
                assert answer.event_ns >= newest.get(answer.product, answer.event_ns)
                # invariant 4: coverage restarts at a gap's end, and nowhere else after the first tick
                before = since.setdefault(answer.product, answer.covered_since_ns)
                if answer.product in broken:
                    assert answer.covered_since_ns == max(answer.event_ns, before + 1)
                    broken.remove(answer.product)
                else:
                    assert answer.covered_since_ns == before
                since[answer.product] = answer.covered_since_ns
                newest[answer.product] = answer.event_ns


def test_a_jump_is_a_move_beyond_a_factor_of_2() -> None:
    assert not is_jump(1000, 2000)
    assert not is_jump(2000, 1000)
    assert is_jump(1000, 2001)
    assert is_jump(2001, 1000)
