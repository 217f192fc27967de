"""What a detector says: a leak, clean, or can't tell, with a number and one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.shift_search import Match

Status = Literal["leak", "clean", "can't tell"]
ORDER: tuple[Status, ...] = ("leak", "can't tell", "clean")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one detector found.

    Attributes
    ----------
    leak : str
        Name of the leak it looks for.
    taxonomy : tuple of int
        Its numbers in docs/leaks.md.
    status : {"leak", "clean", "can't tell"}
        The verdict.
    figure : float or None
        The number behind it; None where there is none.
    measures : str
        What the number is.
    words : str
        One sentence for a newcomer; where it can't be told, what would be needed.
    """

    leak: str
    taxonomy: tuple[int, ...]
    status: Status
    figure: float | None
    measures: str
    words: str

    def as_dict(self) -> dict[str, object]:
        """Return the finding as a JSON-able dict, with the keys of the audit of a training run."""
        fields = asdict(self)
        return {"passed": self.status != "leak", "detail": fields.pop("words"), **fields}


class Detector(Protocol):
    """Looks for one leak in rows; it is told which column makes the label, where one does."""

    def __call__(self, rows: AuditRows, match: Match | None, /) -> Finding:
        """Return what was found."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A leak by name, and what the number beside it measures; makes its findings."""

    name: str
    taxonomy: tuple[int, ...]
    measures: str

    def found(self, figure: float | None, words: str) -> Finding:
        """Return that the leak is there."""
        return Finding(self.name, self.taxonomy, "leak", figure, self.measures, words)

    def clean(self, figure: float | None, words: str) -> Finding:
        """Return that it was looked for and is not there."""
        return Finding(self.name, self.taxonomy, "clean", figure, self.measures, words)

    def unknown(self, words: str, figure: float | None = None) -> Finding:
        """Return that it can't be told, and what would be needed."""
        return Finding(self.name, self.taxonomy, "can't tell", figure, self.measures, words)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return leaks first, then what can't be told, then what is clean."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.status))
