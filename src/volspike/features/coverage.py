"""Coverage of one product: since when the feed has been whole, and what broke it.

A break is noted when it is seen and reported, as a gap with both ends, at the first tick after it. That tick
starts the new coverage, so no window, return or label can reach back over the break.
"""

from __future__ import annotations

from volspike.records import UNKNOWN, Gap, Mark

SECOND_NS = 1_000_000_000
HEARTBEAT_LIMIT_NS = 5 * SECOND_NS
SILENCE_LIMIT_NS = 15 * SECOND_NS
MARK_AFTER_NS = SECOND_NS
MARK_SLACK_NS = SECOND_NS  # a trade reported this much later than the heartbeat is still in order


class Coverage:
    """The coverage state of one product.

    Attributes
    ----------
    newest_ns : int
        Event time of the newest accepted tick or mark; anything older is late. ``UNKNOWN`` before the first.
    covered_since_ns : int
        Event time of the first tick after the last break, but later than any before, so that no two
        stretches share it; ``UNKNOWN`` while broken.
    heartbeat_ns : int
        Exchange time of the newest heartbeat since the session began, or of its first item; ``UNKNOWN``
        before it.
    """

    __slots__ = (
        "_break_id",
        "_break_reason",
        "_last_since_ns",
        "covered_since_ns",
        "heartbeat_ns",
        "newest_ns",
        "product",
    )

    def __init__(self, product: str) -> None:
        self.product = product
        self.newest_ns = UNKNOWN
        self.covered_since_ns = UNKNOWN
        self.heartbeat_ns = UNKNOWN
        self._last_since_ns = UNKNOWN
        self._break_reason = ""
        self._break_id = ""

    def begin_session(self, gap_id: str) -> None:
        """Break the coverage because a new connection (or file) begins."""
        self.heartbeat_ns = UNKNOWN
        self.break_off("session", gap_id)

    def break_off(self, reason: str, gap_id: str) -> None:
        """Note a break; the first reason stands until coverage resumes."""
        if self.covered_since_ns != UNKNOWN:
            self._last_since_ns = self.covered_since_ns
            self.covered_since_ns = UNKNOWN
            self._break_reason = reason
            self._break_id = gap_id

    def check_heartbeats(self, event_ns: int, session: str, seq: int) -> None:
        """Break at a frame when more than 5 s of exchange time passed without a heartbeat."""
        if self.heartbeat_ns == UNKNOWN:
            self.heartbeat_ns = event_ns
        elif event_ns - self.heartbeat_ns > HEARTBEAT_LIMIT_NS:
            self.break_off("heartbeats", f"{session}/{seq}")
            self.heartbeat_ns = event_ns

    def check_silence(self, event_ns: int, session: str, seq: int) -> None:
        """Break at a frame when a recording without heartbeats was silent for more than 15 s."""
        if self.newest_ns != UNKNOWN and event_ns - self.newest_ns > SILENCE_LIMIT_NS:
            self.break_off("silence", f"{session}/{seq}")

    def tick(self, event_ns: int, feed: str, session: str) -> Gap | None:
        """Take an accepted tick; return the gap that it ends, if any."""
        gap = None
        if self.covered_since_ns == UNKNOWN:
            # Stages know a break by another value, also where many breaks share a stamp.
            self.covered_since_ns = max(event_ns, self._last_since_ns + 1)
            if self._break_reason:
                gap = self._gap(event_ns, feed, session)
            self._break_reason = ""
        self.newest_ns = event_ns
        return gap

    def _gap(self, to_ns: int, feed: str, session: str) -> Gap:
        return Gap(
            gap_id=self._break_id,
            product=self.product,
            feed=feed,
            session=session,
            reason=self._break_reason,
            from_ns=self.newest_ns,
            to_ns=to_ns,
        )

    def heartbeat(
        self, event_ns: int, feed: str, session: str, position: tuple[int, int], receive_ns: int
    ) -> Mark | None:
        """Take a heartbeat; return a mark where the product has been quiet for a second."""
        self.check_heartbeats(event_ns, session, position[0])
        self.heartbeat_ns = max(event_ns, self.heartbeat_ns)
        mark_ns = event_ns - MARK_SLACK_NS
        if self.covered_since_ns == UNKNOWN or mark_ns < self.newest_ns + MARK_AFTER_NS:
            return None
        self.newest_ns = mark_ns
        return Mark(
            product=self.product,
            feed=feed,
            session=session,
            event_ns=mark_ns,
            covered_since_ns=self.covered_since_ns,
            archive_seq=position[0],
            archive_row=position[1],
            receive_ns=receive_ns,
        )
