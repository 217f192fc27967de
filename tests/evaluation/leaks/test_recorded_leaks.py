"""What the audit finds in two recorded feature files."""

from __future__ import annotations

from pathlib import Path

import pytest

from volspike.evaluation.leaks.examine import examine
from volspike.evaluation.leaks.finding import Finding
from volspike.pipeline.foreign_features import read_foreign
from volspike.pipeline.foreign_roles import Told


def found(path: Path, told: Told = Told()) -> dict[str, Finding]:  # noqa: B008 - frozen
    return {finding.leak: finding for finding in examine(read_foreign(path, told))}


@pytest.mark.shared
def test_the_next_row_of_the_seed_features_shares_its_ticks_and_spans_gaps(shared: Path) -> None:
    path = shared / "data/ticks/nov-2025-seed-features.parquet"
    findings = found(path, Told(next_row="midprice_return_std"))
    shared_ticks = findings["next-row label"]
    assert shared_ticks.status == "leak"
    assert shared_ticks.figure is not None
    assert shared_ticks.figure > 0.99
    assert "midprice_return_std of the next row" in shared_ticks.words
    assert findings["label over a gap"].status == "leak"
    alone = findings["too easy a label"].figure
    assert alone is not None
    assert alone > 0.95


@pytest.mark.shared
def test_the_april_label_is_of_the_future_but_its_tau_and_a_column_leak(shared: Path) -> None:
    findings = found(shared / "data/ticks/apr-2026-04T0319-derived.parquet")
    assert {name for name, f in findings.items() if f.status == "leak"} == {
        "tau of later rows",
        "level as a clock",
    }
    assert "1.801e-05" in findings["tau of later rows"].words
    assert "volume_24h" in findings["level as a clock"].words
    smoothed, alone, shuffled = (
        findings[name].figure for name in ("smoothed label", "too easy a label", "shuffled split")
    )
    assert None not in (smoothed, alone, shuffled)
    assert smoothed < 0.05
    assert alone < 0.3
    assert shuffled > 0.9
