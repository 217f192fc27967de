"""Lets the tests here import ``planted``, which lies beside them, and the streams of ``labels``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "labels"))
