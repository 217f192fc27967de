"""Who writes an embedded log: ``run``, or the stages ``ingest``, ``featurize`` and ``score``; never both.

Each kind knows by its own records how far it has come, and would repeat what the other has written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from volspike.bus.port import Log
from volspike.bus.topic_plan import state_topic
from volspike.bus.topics import TICKS
from volspike.errors import ConfigError

Owner = Literal["run", "the stages"]


def owner_of(log: Log, suffix: str = "") -> Owner | None:
    """Return who writes a log, None where nobody has."""
    if log.end_offset(state_topic(f"ingest{suffix}")):
        return "the stages"
    return "run" if log.end_offset(TICKS.name + suffix) else None


def check_owner(log: Log, owner: Owner, root: Path, suffix: str = "") -> None:
    """Refuse a log that is written by the other kind.

    Raises
    ------
    ConfigError
        If it is.
    """
    found = owner_of(log, suffix)
    if found not in (None, owner):
        verbs = "volspike run" if found == "run" else "volspike ingest, featurize and score"
        raise ConfigError(
            f"data directory {root}", f"its log is written by {verbs}", "go on with that, or choose another"
        )
