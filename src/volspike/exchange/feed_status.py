"""What a feed client shows of itself while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FeedState = Literal["connecting", "subscribing", "live", "degraded", "waiting", "stopped"]


@dataclass
class FeedStatus:
    """State of a feed, for display; its client alone writes it.

    Attributes
    ----------
    state : FeedState
        ``live`` only when every product and the heartbeats are acknowledged and a quote has come;
        ``degraded`` when the feed runs with something missing, or is refused and still trying.
    session : str
        Name of the current or latest session.
    sessions, reconnects : int
        Connections opened, and how many of them came after the first.
    reasons : dict[str, int]
        Why connections ended or could not be opened, and what was reported meanwhile, counted.
    last_error : str
        The latest trouble in one line.
    last_frame_monotonic_ns : int
        Monotonic time of the newest frame, 0 before the first.
    acknowledged, missing : tuple[str, ...]
        Products the exchange has confirmed, and those it has not.
    aliases : dict[str, str]
        Products that are answered under another name.
    """

    state: FeedState = "connecting"
    session: str = ""
    sessions: int = 0
    reconnects: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    last_error: str = ""
    last_frame_monotonic_ns: int = 0
    acknowledged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)

    def count(self, reason: str) -> None:
        """Count one reason."""
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
