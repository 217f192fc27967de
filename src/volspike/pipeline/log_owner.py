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


def check_owner(log: Log, owner: Owner, root: Path, suffix: str = "") -> None:
    """Refuse a log that is written by the other kind.

    Raises
    ------
    ConfigError
        If it is.
    """
    if log.end_offset(state_topic(f"ingest{suffix}")):
        found: Owner = "the stages"
    elif log.end_offset(TICKS.name + suffix):
        found = "run"
    else:
        return
    if found != owner:
        verbs = "volspike run" if found == "run" else "volspike ingest, featurize and score"
        raise ConfigError(
            f"data directory {root}", f"its log is written by {verbs}", "go on with that, or choose another"
        )
