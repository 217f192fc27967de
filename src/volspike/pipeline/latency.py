"""Latency quantiles in constant memory."""

from __future__ import annotations

from collections.abc import Sequence

_SUB_BITS = 6  # 64 bins an octave: quantiles are at most 1.6 % too high
_SUB = 1 << _SUB_BITS


class LatencyHistogram:
    """A histogram of nanoseconds with logarithmic bins."""

    def __init__(self) -> None:
        self._counts = [0] * (64 * _SUB)
        self.count = 0

    def add(self, latency_ns: int) -> None:
        """Count one latency; a negative one counts as zero."""
        self.count += 1
        if latency_ns < _SUB:
            self._counts[max(latency_ns, 0)] += 1
            return
        octave = latency_ns.bit_length() - _SUB_BITS - 1
        self._counts[(octave << _SUB_BITS) + (latency_ns >> octave)] += 1

    def quantile_us(self, quantile: float) -> float | None:
        """Return the upper edge of the bin that holds a quantile, in microseconds; None before the first."""
        if not self.count:
            return None
        rank = max(1, -(-int(quantile * 1_000_000) * self.count // 1_000_000))
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                return _upper_edge_ns(index) / 1_000
        return None

    def cumulative(self, edges_ns: Sequence[int]) -> tuple[list[int], int]:
        """Return how many latencies are at most each of some edges, then how many there are; and their sum.

        All in nanoseconds; each counts as the upper edge of its bin. Another thread may be adding.
        """
        counts = list(self._counts)
        uppers = [(_upper_edge_ns(index), count) for index, count in enumerate(counts) if count]
        within = [sum(count for upper, count in uppers if upper <= edge) for edge in edges_ns]
        return [*within, sum(counts)], sum(upper * count for upper, count in uppers)

    def as_dict(self) -> dict[str, float | None]:
        """Return p50, p99 and p999 in microseconds."""
        return {"p50": self.quantile_us(0.5), "p99": self.quantile_us(0.99), "p999": self.quantile_us(0.999)}


def _upper_edge_ns(index: int) -> int:
    if index < _SUB:
        return index
    octave = (index >> _SUB_BITS) - 1
    return ((index - (octave << _SUB_BITS)) + 1 << octave) - 1
