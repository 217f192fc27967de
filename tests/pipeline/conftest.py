"""Lets the tests here import ``stage_runs``, which lies beside, and the made markets of ``benchmarks``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a champion, and a challenger on trial."""
    from caretaker_models import Models

    monkeypatch.setattr("os.fsync", lambda _handle: None)  # hundreds of files, and no power cut here
    return Models(tmp_path / "data")
