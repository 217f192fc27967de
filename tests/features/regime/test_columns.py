from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from volspike.features.regime.columns import REGIME, REGIME_COLUMNS
from volspike.features.sets import get_feature_set

PAGE = Path(__file__).resolve().parents[3] / "docs" / "features.md"


def test_every_column_is_described_with_a_source_and_means_the_same_on_both_feeds() -> None:
    without_source = {"coverage_4h_frac", "coverage_24h_frac"}
    for column in REGIME_COLUMNS:
        assert column.formula, column.name
        assert column.transform in ("log", "identity", "asinh"), column.name
        assert column.unit in ("1", "bps", "s"), column.name
        assert not column.feed_dependent, column.name
        assert bool(re.search(r"\(.*\d{4}\)", column.doc)) == (column.name not in without_source), column.name


def test_names_are_unique_and_carry_their_units() -> None:
    names = REGIME.names
    assert len(set(names)) == len(names)
    assert set(names).isdisjoint(get_feature_set("core-sized").names)
    for column in REGIME_COLUMNS:
        assert (column.unit == "bps") == column.name.endswith("_bps"), column.name


def test_the_hash_of_a_published_definition_is_fixed() -> None:
    assert REGIME.hash == "054d61fc4e08eefd97eb6e7d08ca6742e29c18b0f19c6a82c11816a47aa4e146"
    reworded = replace(REGIME_COLUMNS[0], formula="x")
    assert replace(REGIME, columns=(reworded, *REGIME_COLUMNS[1:])).hash != REGIME.hash


def test_the_page_has_a_line_for_every_column_with_its_unit() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Regime columns")[2]
    section = section.partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE)
    units = {"1": "1", "bps": "bps", "s": "s"}
    assert rows == [(column.name, units[column.unit]) for column in REGIME_COLUMNS]
