"""What the compiled scanner walks by: templates and products as words in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from volspike.recording.template import Template, line_steps
from volspike.recording.wire_bytes import SPAN

# The head, then a record for each template and for each product, then the steps. Texts lie elsewhere and are
# named by their addresses. One array: several would have their references counted on every line.
TEMPLATES, PRODUCTS, MINUTE, MINUTE_END, MINUTE_NS, HEAD_WORDS = range(6)
KIND_OF, FIRST_STEP, BEHIND_STEPS, RECORD_WORDS = range(4)
NAME, NAME_LENGTH, DECIMALS = range(3)
VALUE, COLUMN, LITERAL, LENGTH, COVERED, COVERED_LENGTH, LATEST, STEP_WORDS = range(8)

_NO_MINUTE = (*np.frombuffer(b"1970-01-01T00:00", np.int64).tolist(), 0)


class Program:
    """Templates and products for the compiled code.

    Parameters
    ----------
    templates : sequence of Template
        Shapes of lines.
    products : sequence of (str, int)
        Names and price decimals.
    session : str or None
        Whose lines are walked over; None for frames off the wire.

    Attributes
    ----------
    address : int
        Where its words begin; valid as long as the object lives.
    """

    def __init__(
        self, templates: Sequence[Template], products: Sequence[tuple[str, int]], session: str | None
    ) -> None:
        lines = [line_steps(template, session) for template in templates]
        steps = [step for line in lines for step, _ in line]
        covered = [text for line in lines for _, text in line]
        names = [name.encode() for name, _ in products]
        # The literal, never shorter than what is covered of it, says how much of both is looked at.
        padded = [text.ljust(len(step.literal)) for step, text in zip(steps, covered, strict=True)]
        literals, covered_at, names_at = self._place([step.literal for step in steps], padded, names)
        first_step = HEAD_WORDS + RECORD_WORDS * (len(templates) + len(products))
        self._words = np.zeros(first_step + STEP_WORDS * len(steps), np.int64)
        self.address: int = self._words.ctypes.data
        words = [len(templates), len(products), *_NO_MINUTE]
        at = self.address + 8 * first_step
        for template, line in zip(templates, lines, strict=True):
            behind = at + 8 * STEP_WORDS * len(line)
            words += (template.kind, at, behind)
            at = behind
        for place, name, (_, decimals) in zip(names_at, names, products, strict=True):
            words += (place, len(name), decimals)
        for step, text, *places in zip(steps, covered, literals, covered_at, strict=True):
            words += (step.value, step.column, places[0], len(step.literal), places[1], len(text), 0)
        self._words[:] = words

    def _place(self, *groups: Sequence[bytes]) -> list[list[int]]:
        """Lay texts down in whole spans, one more than they need; return their addresses."""
        padded = [[text.ljust((len(text) // SPAN + 1) * SPAN) for text in group] for group in groups]
        self._texts: npt.NDArray[np.uint8] = np.frombuffer(b"".join(map(b"".join, padded)), np.uint8)
        at = self._texts.ctypes.data
        places: list[list[int]] = []
        for group in padded:
            places.append([])
            for text in group:
                places[-1].append(at)
                at += len(text)
        return places
