"""Fixtures shared by every test package."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of development recordings, or skip where it is absent."""
    if not (SHARED / "data" / "ticks").is_dir():
        pytest.skip("no development recordings: ../shared/data/ticks is absent")
    return SHARED
