"""The header of a live session's segments: how its frames are read."""

from __future__ import annotations

from collections.abc import Callable

from volspike.exchange.aliases import names_on_the_wire
from volspike.exchange.dialects import Dialect
from volspike.recording.frame import SegmentHeader


def header_maker(dialect: Dialect, products: tuple[str, ...]) -> Callable[[str], SegmentHeader]:
    """Return what makes the header of a session with these products, given its name."""
    aliases = names_on_the_wire(dialect.served_as, products)
    wire_names = dict.fromkeys(dialect.served_as(product) for product in products)

    def header(session: str) -> SegmentHeader:
        return SegmentHeader(
            feed=dialect.name,
            dialect=dialect.name,
            session=session,
            products=tuple(aliases.get(name, name) for name in wire_names),
            heartbeats=True,
            aliases=aliases,
        )

    return header
