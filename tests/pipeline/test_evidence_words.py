"""What a part still lacks: time, and clusters at the pace of those found."""

from __future__ import annotations

import pytest

from volspike.evaluation.enough import Evidence
from volspike.pipeline.evidence_words import _lacking


@pytest.mark.parametrize(
    ("found", "share", "words"),
    [
        # Ten half hours are missing: five hours of this part.
        (Evidence(clusters=25, windows=400, blocks=10), 0.1, "at least 50 more hours of recording"),
        # Three clusters in five hours: seventeen more take 28.3.
        (Evidence(clusters=3, windows=300, blocks=20), 0.5, "at least 57 more hours of recording"),
        (
            Evidence(clusters=0, windows=600, blocks=20),
            0.5,
            "more spikes are needed; no cluster yet to tell the pace of spikes by",
        ),
        (
            Evidence(clusters=0, windows=300, blocks=10),
            0.5,
            "at least 10 more hours of recording; no cluster yet to tell the pace of spikes by",
        ),
    ],
)
def test_the_hours_are_a_least_and_clusters_count(found: Evidence, share: float, words: str) -> None:
    assert _lacking(found, share) == words
