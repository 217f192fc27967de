"""How far a process has come, told to the process that started it; needs nothing but Python.

The clocks are the machine's monotonic one, which all its processes share, and the processor time of the
process with all its threads, those of librdkafka among them.
"""

from __future__ import annotations

import json
import time

IDLE_S = 1.5


class Samples:
    """Notes the time, the processor time and the number of records processed."""

    def __init__(self) -> None:
        self._taken: list[tuple[int, int, int]] = []
        self._processed = -1

    def take(self, processed: int) -> None:
        """Note where the process stands, if it has moved."""
        if processed != self._processed:
            self._processed = processed
            self._taken.append((time.monotonic_ns(), time.process_time_ns(), processed))

    @property
    def ended(self) -> bool:
        """True if something was processed, and nothing for a while."""
        return self._processed > 0 and time.monotonic_ns() - self._taken[-1][0] > IDLE_S * 1e9

    def tell(self) -> None:
        """Print all of it as one line of JSON."""
        print(json.dumps(self._taken), flush=True)
