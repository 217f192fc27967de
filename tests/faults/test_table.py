"""The table of faults and tests is true."""

from __future__ import annotations

import re
from pathlib import Path

TABLE = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
TESTS = Path(__file__).parents[1]
ROWS = range(1, 52)


def cells() -> dict[int, str]:
    """Return the last cell of each row by its number."""
    return {int(row[1]): row[2] for row in re.finditer(r"^\| (\d+) \|.*\| (.+) \|$", TABLE, re.MULTILINE)}


def test_no_row_is_forgotten_and_none_is_in_both_places() -> None:
    (later,) = re.findall(r"^.*don't belong to the spine: (.*)$", TABLE, re.MULTILINE)
    left_out = {int(number) for number in re.findall(r"\d+", later)}
    assert sorted([*cells(), *left_out]) == list(ROWS)


def test_every_test_named_exists() -> None:
    for row, cell in cells().items():
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", cell)
        assert named, row
        for path, name in named:
            assert re.search(rf"^def {name}\(", (TESTS / path).read_text(encoding="utf-8"), re.MULTILINE), (
                row,
                name,
            )


def test_every_test_of_this_folder_is_named() -> None:
    here = {
        name
        for path in Path(__file__).parent.glob("test_*_faults.py")
        for name in re.findall(r"^def (test_fault_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {name for name in here if f"::{name}`" not in TABLE} == set()
