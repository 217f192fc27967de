"""Admission: the one pure function, live and in replay, that decides what becomes a tick.

It stands between the decoder and the window engine. Every item of a frame is answered by exactly one ``Tick``
or ``Dropped``; gaps and marks come on top. The answer depends on the archived frames before it alone, never
on a clock, so replay repeats it to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from volspike.exchange.items import Control, Decoded, Heartbeat, Ignored, Item, Quote, Rejected
from volspike.features.coverage import SECOND_NS, Coverage
from volspike.logs import get_logger
from volspike.recording.frame import Frame, SegmentHeader
from volspike.records import UNKNOWN, Gap, Mark, Tick

FUTURE_LIMIT_NS = 30 * SECOND_NS
PAST_LIMIT_NS = 86_400 * SECOND_NS
LEVEL_SHIFT_QUOTES = 3
FUTURE_QUOTES = 3

log = get_logger()


class Dropped(msgspec.Struct, frozen=True, gc=False):
    """An item that is no tick; ``dead`` ones are kept with their bytes as dead letters."""

    reason: str
    dead: bool = False
    detail: str = ""
    row: int = 0
    product: str = ""


Admitted = Tick | Mark | Gap | Dropped


def is_jump(mid_sum: int, previous_mid_sum: int) -> bool:
    """Tell whether two mids differ by more than a factor of two (a third of their sum)."""
    return 3 * abs(mid_sum - previous_mid_sum) > mid_sum + previous_mid_sum


class ProductState:
    """What admission remembers of one product."""

    __slots__ = (
        "coverage",
        "future_frames",
        "mid_sum",
        "rejected_mids",
        "session_started",
        "tick_ns",
        "tick_receive_ns",
        "top_trade_id",
        "trade_id",
    )

    def __init__(self, product: str) -> None:
        self.coverage = Coverage(product)
        self.mid_sum = 0
        self.tick_ns = UNKNOWN
        self.tick_receive_ns = UNKNOWN  # of the newest tick of the open session
        self.trade_id = UNKNOWN
        self.top_trade_id = UNKNOWN
        self.session_started = False  # a row of the open session, snapshot included, was seen
        self.rejected_mids: list[int] = []
        self.future_frames: dict[int, int] = {}  # seq to event time of quotes that await belief

    def begin_session(self, session: str) -> None:
        """Break the coverage, and forget what holds within a session only."""
        self.session_started = False
        self.tick_receive_ns = UNKNOWN
        self.future_frames.clear()
        self.coverage.begin_session(session)

    def is_future(self, event_ns: int, receive_ns: int, seq: int) -> bool:
        """Tell whether a stamp that is far ahead of our clock is wrong, and not our clock.

        The exchange's own stamps of the session tell; before the first, three frames in a row that agree.
        """
        if self.tick_receive_ns != UNKNOWN:
            expected_ns = self.tick_ns + receive_ns - self.tick_receive_ns
            return event_ns - expected_ns > FUTURE_LIMIT_NS
        stamps = self.future_frames.values()
        if any(not 0 <= event_ns - stamp_ns <= FUTURE_LIMIT_NS for stamp_ns in stamps):
            self.future_frames.clear()
        self.future_frames[seq] = event_ns
        return len(self.future_frames) < FUTURE_QUOTES

    def accepts_level(self, mid_sum: int, event_ns: int) -> bool:
        """Tell whether a mid is no jump from the last one, or the third in a row of a new level.

        A mid older than a day says nothing, so what a restart must read back is bounded.
        """
        stale = event_ns - self.tick_ns > PAST_LIMIT_NS
        if not self.mid_sum or stale or not is_jump(mid_sum, self.mid_sum):
            if self.rejected_mids:
                self.rejected_mids.clear()
            return True
        if any(is_jump(mid_sum, other) for other in self.rejected_mids):
            self.rejected_mids.clear()
        self.rejected_mids.append(mid_sum)
        return len(self.rejected_mids) >= LEVEL_SHIFT_QUOTES


class Admission:
    """Decide tick, snapshot, duplicate, late, bad quote and coverage for one stream of archived frames.

    Parameters
    ----------
    products : dict, optional
        What is remembered of each product; shared among connections at the same time, each with products of
        its own.
    """

    def __init__(self, products: dict[str, ProductState] | None = None) -> None:
        self._products = {} if products is None else products
        self._header: SegmentHeader | None = None
        self._subscribed: frozenset[str] = frozenset()
        self._sequence = UNKNOWN
        self._frame_index = 0
        self._first_row_is_snapshot = False
        self._has_warned = False

    def begin(self, header: SegmentHeader) -> None:
        """Begin a session: a new connection, or a new imported file."""
        self._header = header
        self._subscribed = frozenset(header.products)
        self._sequence = UNKNOWN
        self._frame_index = 0
        says_so = header.dialect == "advanced" or (header.mapping is not None and header.mapping.event_type)
        self._first_row_is_snapshot = not says_so
        for state in self._of_session():
            state.begin_session(header.session)

    def beside(self) -> Admission:
        """Return the admission of another connection, which remembers products in the same place."""
        return Admission(self._products)

    @property
    def sequence(self) -> int:
        """Return the connection's newest frame counter, ``UNKNOWN`` where it has none."""
        return self._sequence

    def known(self, product: str) -> ProductState | None:
        """Return what is remembered of a product, None where it was never met."""
        return self._products.get(product)

    def newest_ns(self, products: Iterable[str]) -> int:
        """Return the newest event time (ns) taken of any of these products, 0 before the first."""
        known = [self._products[product] for product in products if product in self._products]
        return max((state.coverage.newest_ns for state in known), default=0)

    def advance(self, sequence: int, frames: int) -> None:
        """Take note of frames that were admitted elsewhere, by the same rules on the same states."""
        self._sequence = sequence
        self._frame_index += frames

    def break_off(self, reason: str, gap_id: str) -> None:
        """Break the coverage of every product of the session."""
        for state in self._of_session():
            state.coverage.break_off(reason, gap_id)

    def admit(self, frame: Frame, decoded: Decoded) -> list[Admitted]:
        """Answer one frame.

        Parameters
        ----------
        frame : Frame
            The archived frame; it gives position, receive time and session.
        decoded : Decoded
            What the session's decoder made of it.

        Returns
        -------
        list of Tick, Mark, Gap or Dropped
            In order; one tick or drop for each item.
        """
        assert self._header is not None, "begin() comes before admit()"
        self._frame_index += 1
        out: list[Admitted] = []
        sequence = decoded.sequence
        stale = "" if sequence == UNKNOWN else self._check_sequence(sequence, frame)
        for row, item in enumerate(decoded.items):
            if stale:
                out.append(Dropped(stale, row=row))
            elif type(item) is Quote:
                self._admit_quote(item, frame, sequence, row, out)
            else:
                self._admit_other(item, frame, row, out)
        return out

    def _check_sequence(self, sequence: int, frame: Frame) -> str:
        """Break every product on a jump of the connection's counter; name the drop where it goes back."""
        header = self._header
        if header is None or header.dialect != "advanced":
            return ""
        last = self._sequence
        if last != UNKNOWN and sequence <= last:
            return "duplicate" if sequence == last else "out_of_order"
        # A recorder that kept one channel only left out frames that were never missing on the wire.
        if last != UNKNOWN and sequence > last + 1 and header.heartbeats:
            self.break_off("sequence", f"{frame.session}/{frame.seq}")
        self._sequence = sequence
        return ""

    def _admit_other(self, item: Item, frame: Frame, row: int, out: list[Admitted]) -> None:
        if isinstance(item, Heartbeat):
            self._heartbeat(item, frame, row, out)
            out.append(Dropped("heartbeat", row=row, product=item.product))
        elif isinstance(item, Control):
            out.append(Dropped(item.kind, detail=item.text, row=row))
        elif isinstance(item, Ignored):
            out.append(Dropped(item.reason, row=row))
        elif isinstance(item, Rejected):
            out.append(Dropped(item.reason, True, item.detail, row, item.product))

    def _heartbeat(self, item: Heartbeat, frame: Frame, row: int, out: list[Admitted]) -> None:
        assert self._header is not None
        if item.product:
            states = [self._state(item.product)] if self._is_subscribed(item.product) else []
        else:
            states = [self._state(product) for product in self._header.products or tuple(self._products)]
        for state in states:
            mark = state.coverage.heartbeat(
                item.event_ns, self._header.feed, frame.session, (frame.seq, row), frame.receive_ns
            )
            if mark is not None:
                out.append(mark)

    def _admit_quote(self, quote: Quote, frame: Frame, sequence: int, row: int, out: list[Admitted]) -> None:
        header = self._header
        assert header is not None
        if not self._is_subscribed(quote.product):
            out.append(Dropped("unsubscribed", row=row, product=quote.product))
            return
        state = self._products.get(quote.product) or self._state(quote.product)
        drop = self._drop_reason(quote, frame, state)
        if drop is not None:
            out.append(Dropped(drop[0], drop[1], drop[2], row, quote.product))
            return
        check = state.coverage.check_heartbeats if header.heartbeats else state.coverage.check_silence
        check(quote.event_ns, frame.session, frame.seq)
        mid_sum = quote.bid + quote.ask
        if not state.accepts_level(mid_sum, quote.event_ns):
            out.append(
                Dropped("jump", True, f"mid moved beyond a factor of 2 to {mid_sum}", row, quote.product)
            )
            return
        if state.rejected_mids:
            state.rejected_mids.clear()
            state.coverage.break_off("level_shift", f"{frame.session}/{frame.seq}")
        gap = state.coverage.tick(quote.event_ns, header.feed, frame.session)
        if gap is not None:
            out.append(gap)
        out.append(self._tick(quote, frame, sequence, row, state, header))

    def _drop_reason(self, quote: Quote, frame: Frame, state: ProductState) -> tuple[str, bool, str] | None:
        """Return (reason, dead, detail) when the quote is a snapshot, ill-timed, a duplicate or late."""
        first = not state.session_started
        state.session_started = True
        if quote.snapshot or (first and self._first_row_is_snapshot):
            state.trade_id = max(state.trade_id, quote.trade_id)
            return "snapshot", False, ""
        ahead_ns = quote.event_ns - frame.receive_ns
        if ahead_ns > FUTURE_LIMIT_NS:
            if state.is_future(quote.event_ns, frame.receive_ns, frame.seq):
                return "time_future", True, f"{ahead_ns / SECOND_NS:.0f} s after it was received"
            self._warn(ahead_ns, frame)
        elif state.future_frames:
            state.future_frames.clear()
        if ahead_ns < -PAST_LIMIT_NS:
            return "time_past", True, f"{-ahead_ns / SECOND_NS:.0f} s before it was received"
        if quote.trade_id != UNKNOWN and quote.trade_id == state.trade_id:
            return "duplicate", False, ""
        if quote.event_ns < state.coverage.newest_ns:
            return ("overlap" if self._overlaps(state) else "late"), False, ""
        if quote.trade_id != UNKNOWN and quote.trade_id < state.trade_id and quote.event_ns == state.tick_ns:
            return "out_of_order", False, ""
        return None

    def _warn(self, ahead_ns: int, frame: Frame) -> None:
        if not self._has_warned:
            self._has_warned = True
            seconds = ahead_ns // SECOND_NS
            log.warning("our clock is behind the exchange's", session=frame.session, seconds=seconds)

    def _overlaps(self, state: ProductState) -> bool:
        """Tell whether an imported session still runs inside an earlier one."""
        assert self._header is not None
        return self._header.origin == "import" and state.coverage.covered_since_ns == UNKNOWN

    def _tick(
        self,
        quote: Quote,
        frame: Frame,
        sequence: int,
        row: int,
        state: ProductState,
        header: SegmentHeader,
    ) -> Tick:
        """Remember an accepted quote; return its tick."""
        event_ns, bid, ask, trade_id = quote.event_ns, quote.bid, quote.ask, quote.trade_id
        suspect = trade_id != UNKNOWN and state.trade_id != UNKNOWN and trade_id != state.trade_id + 1
        identity = self._identity(quote, frame, sequence, row, state.top_trade_id)
        state.trade_id = trade_id
        if trade_id > state.top_trade_id:
            state.top_trade_id = trade_id
        state.tick_ns = event_ns
        state.tick_receive_ns = frame.receive_ns
        state.mid_sum = bid + ask
        # By position: keywords take longer than all the rest of a record.
        return Tick(
            quote.product,
            header.feed,
            frame.session,
            event_ns,
            state.coverage.covered_since_ns,
            bid,
            ask,
            quote.price_decimals,
            frame.seq,
            row,
            identity,
            quote.bid_size,
            quote.ask_size,
            quote.price,
            quote.size,
            trade_id,
            suspect,
            header.event_time_source,
            frame.receive_ns,
            quote.volume_24h,
        )

    def _identity(self, quote: Quote, frame: Frame, sequence: int, row: int, top_trade_id: int) -> str:
        """Name a tick; a trade id that may have been used before names none."""
        if quote.trade_id > top_trade_id:
            return f"{quote.product}:{quote.trade_id}"
        if sequence != UNKNOWN:
            return f"{frame.session}:{sequence}:{row}"
        return f"{frame.session}:{self._frame_index}"

    def _of_session(self) -> list[ProductState]:
        """Return what is remembered of the products of the open session: of all, where it names none."""
        if not self._subscribed:
            return list(self._products.values())
        return [state for name, state in self._products.items() if name in self._subscribed]

    def _is_subscribed(self, product: str) -> bool:
        return not self._subscribed or product in self._subscribed

    def _state(self, product: str) -> ProductState:
        state = self._products.get(product)
        if state is None:
            state = self._products[product] = ProductState(product)
        return state
