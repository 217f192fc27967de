"""A verdict about drift as whoever decides hands it over, for the tests of what is shown of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Told:
    name: str
    status: str = "judged"
    score: float | None = 1.0
    p_value: float | None = 0.5
    drifted: bool = False
    words: str = ""


@dataclass(frozen=True)
class Verdict:
    columns: tuple[Told, ...]
    score: float | None = 1.0
    threshold: float | None = 3.0
    false_alarm_rate: float | None = 0.05
    alarm: bool = False
    words: str = "nothing has moved"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def by_the_mean(reference_second, reference, current_second, current, names) -> Verdict:
    """Decide by how far the means lie apart, in deviations of the reference."""
    assert reference_second[-1] < current_second[0]
    assert (len(reference_second), len(current_second)) == (len(reference), len(current))
    assert reference.shape[1] == current.shape[1] == len(names)
    far = np.abs(np.nanmean(current, 0) - np.nanmean(reference, 0)) / np.nanstd(reference, 0)
    told = tuple(Told(n, "judged", float(f), None, bool(f > 1.0)) for n, f in zip(names, far, strict=True))
    moved = [column.name for column in told if column.drifted]
    return Verdict(told, float(far.max()), 1.0, 0.05, bool(moved), f"{len(moved)} columns have moved")
