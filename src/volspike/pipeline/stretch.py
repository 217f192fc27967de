"""Coverage as a stage tells it downstream: that of its records, or what begins behind a hole in them."""

from __future__ import annotations

import msgspec

from volspike.records import UNKNOWN


class Stretch(msgspec.Struct):
    """The covered stretch that one product is in.

        records         1 1 1 1 . . . 1 1 1 2 2      covered_since_ns of the records; the dots are lost
        told            1 1 1 1       5 5 5 2 2      if the first record behind the hole is at 5

    Attributes
    ----------
    own_ns : int
        ``covered_since_ns`` of the newest record; ``UNKNOWN`` before the first.
    since_ns : int
        What is told in its place: the same, or later behind a hole, until the records' own is newer.
    hole : int
        The newest hole that was taken account of: the offset behind it.
    """

    own_ns: int = UNKNOWN
    since_ns: int = UNKNOWN
    hole: int = UNKNOWN

    def move(self, own_ns: int) -> None:
        """Take a record whose own coverage has changed."""
        shifted = self.since_ns != self.own_ns
        # Where all is under one stamp: a stretch never shares its beginning with the one before.
        self.since_ns = self.since_ns + 1 if shifted and own_ns <= self.since_ns else own_ns
        self.own_ns = own_ns

    def resume(self, own_ns: int, event_ns: int, hole: int) -> None:
        """Take the first record behind a hole: nothing is missing since its event time."""
        self.since_ns = max(event_ns, own_ns + 1, self.since_ns + 1)
        self.own_ns = own_ns
        self.hole = hole
