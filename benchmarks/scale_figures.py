"""What ``scale`` has read, as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, at_most
from benchmarks.scale_account import ArchiveSize, TopicSize
from benchmarks.scale_watch import Reading
from volspike.pipeline.row_comparison import FAULTS


class Span(NamedTuple):
    """The measured time: readings at both ends, and the age of each row as it was read (ms)."""

    before: Reading
    after: Reading
    ages_ms: NDArray[np.float64]

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.after.wall_s - self.before.wall_s

    def sent(self, kind: str) -> int:
        """Return how many frames of a kind were sent in it."""
        return self.after.sent.get(kind, 0) - self.before.sent.get(kind, 0)


def of_processes(span: Span) -> list[Figure]:
    """Return what each process used."""
    found = []
    for name, after in span.after.uses.items():
        used_s = after.processor_s - span.before.uses[name].processor_s
        found += [
            Figure(f"{name}: processor", used_s / span.seconds, "cores"),
            Figure(f"{name}: a tick", used_s / max(span.sent("ticker"), 1) * 1e6, "us"),
            Figure(f"{name}: memory", after.resident_mb, "MB"),
            Figure(f"{name}: open files", after.files, ""),
        ]
    return found


def of_flow(
    span: Span, start_s: float, lags: Mapping[str, Sequence[int]], reports: Mapping[str, Any]
) -> list[Figure]:
    """Return rates, lag and age."""
    seconds = span.seconds
    ages = np.percentile(span.ages_ms, (50, 99, 100)) if len(span.ages_ms) else np.zeros(3)
    transactions = sum(each["transactions"] for each in reports["featurize"])
    return [
        Figure("stages started to rows of all connections", start_s, "s"),
        Figure("ticks sent", span.sent("ticker") / seconds, "/s"),
        Figure("heartbeats sent", span.sent("heartbeat") / seconds, "/s"),
        Figure("rows read back", (span.after.rows - span.before.rows) / seconds, "/s"),
        Figure("marks read back", (span.after.marks - span.before.marks) / seconds, "/s"),
        *(
            Figure(f"lag of {group}, {name} of {len(values)}", float(value), "offsets")
            for group, values in lags.items()
            for name, value in (("median", np.median(values)), ("largest", max(values)), ("last", values[-1]))
        ),
        Figure("exchange's stamp to row read, p50", float(ages[0]), "ms"),
        Figure("exchange's stamp to row read, p99", float(ages[1]), "ms"),
        Figure("exchange's stamp to row read, most", float(ages[2]), "ms"),
        Figure("transactions of featurize, whole run", transactions, ""),
        Figure("transactions of score, whole run", reports["score"]["transactions"], ""),
    ]


def of_bytes(span: Span, archive: ArchiveSize, topics: Mapping[str, TopicSize]) -> list[Figure]:
    """Return what a frame takes in the archive, a record in its topic, and both on the wire."""
    frames = span.sent("ticker") + span.sent("heartbeat")
    found = [
        Figure("a frame on the wire", archive.frame_bytes, "bytes"),
        Figure("a frame on the wire, deflated", archive.deflated_bytes, "bytes"),
        Figure("a frame in the archive, open", archive.plain_bytes / archive.frames, "bytes"),
        Figure("a frame in the archive, closed", archive.closed_bytes / archive.frames, "bytes"),
        Figure("frames", frames / span.seconds, "/s"),
        Figure("segments of the archive", archive.segments, ""),
    ]
    for name, size in sorted(topics.items()):
        found += [
            Figure(f"{name}: records", size.records, ""),
            Figure(f"{name}: marks of transactions", size.offsets - size.records, ""),
            Figure(f"{name}: a record", size.log_bytes / size.records, "bytes"),
            Figure(f"{name}: a frame of the archive", size.log_bytes / archive.frames, "bytes"),
        ]
    return found


def of_accounts(
    sent: Mapping[str, int], reports: Mapping[str, Any], held: Mapping[str, int], past_s: float
) -> list[Figure]:
    """Return what must add up."""
    ingest, score = reports["ingest"], reports["score"]["written"]
    missing = sum(sent.values()) - ingest["archived"]
    return [
        Figure("frames sent", sum(sent.values()), ""),
        at_most("frames sent and not archived", missing, "", 0),
        at_most("frames dead-lettered", ingest["deadlettered"], "", 0),
        at_most("reconnects before the feed ended", _broken(ingest), "", 0),
        Figure("records of ticks.raw held to the archive", held["ticks"], ""),
        at_most("products whose ticks differ from the archive", held["ticks_different"], "", 0),
        Figure("rows and marks held to the archive", held["rows"], ""),
        *(at_most(f"rows {name}", held[name], "", 0) for name in FAULTS),
        Figure("predictions", score.get("ticks.predictions", 0), ""),
        Figure("outcomes", score.get("ticks.outcomes", 0), ""),
        Figure("read the archive back at the next start", past_s, "s"),
        Figure("of it, a frame", past_s / ingest["archived"] * 1e6, "us"),
    ]


def _broken(ingest: Mapping[str, Any]) -> int:
    """Return how many connections ended for another reason than the end of the feed or of the ingest."""
    expected = ("stop", "close_1000", "refused")
    return sum(number for reason, number in ingest["session_ends"].items() if reason not in expected)
