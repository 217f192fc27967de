"""The counts that must add up: frames = archived, items = ticks + ignored + dead-lettered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from volspike.features.admission import Admitted, Dropped
from volspike.records import Gap, Mark, Tick


@dataclass(slots=True)
class Accounting:
    """What one run, or one replay, has seen and made."""

    frames: int = 0
    archived: int = 0
    items: int = 0
    ticks: int = 0
    marks: int = 0
    gaps: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)

    def count(self, admitted: list[Admitted]) -> None:
        """Count the answers to one frame."""
        for answer in admitted:
            if type(answer) is Tick:
                self.ticks += 1
                self.items += 1
            elif type(answer) is Dropped:
                self.items += 1
                (self.dead if answer.dead else self.ignored)[answer.reason] += 1
            elif type(answer) is Mark:
                self.marks += 1
            elif type(answer) is Gap:
                self.gaps += 1

    @property
    def deadlettered(self) -> int:
        """Number of items kept as dead letters."""
        return self.dead.total()

    @property
    def adds_up(self) -> bool:
        """Whether every item is a tick, ignored for a reason, or dead-lettered."""
        return self.items == self.ticks + self.ignored.total() + self.deadlettered

    def as_dict(self) -> dict[str, Any]:
        """Return the counts under the names of the command line."""
        return {
            "frames": self.frames,
            "archived": self.archived,
            "items": self.items,
            "ticks": self.ticks,
            "ignored": dict(sorted(self.ignored.items())),
            "deadlettered": self.deadlettered,
            "deadletter_reasons": dict(sorted(self.dead.items())),
            "gaps": self.gaps,
        }
