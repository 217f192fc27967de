"""Times that are given on the command line."""

from __future__ import annotations

import typer


def minute_given(text: str, option: str) -> int:
    """Return the epoch minute of a date or of a whole minute, UTC where it has no zone.

    Raises
    ------
    typer.BadParameter
        If it is none.
    """
    from volspike.errors import ProtocolError
    from volspike.recording.candle_csv import minute_of
    from volspike.recording.foreign_values import TimeReader

    try:
        return minute_of(text if len(text) > 10 else f"{text}T00:00", TimeReader("UTC"))
    except ProtocolError:
        raise typer.BadParameter(
            f"{text!r} is no whole minute such as 2026-07-06 or 2026-07-06T02:21", param_hint=option
        ) from None
