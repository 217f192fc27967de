"""Golden frames, one file per kind, with invented values in the shapes of the wire.

Also lets the tests here import ``loopback``, which lies beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

FRAMES = Path(__file__).with_name("frames")


@pytest.fixture(scope="session")
def golden() -> Callable[[str], bytes]:
    """Return a reader of golden frames by name."""
    return lambda name: (FRAMES / f"{name}.json").read_bytes().rstrip(b"\n")
