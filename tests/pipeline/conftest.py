"""Lets the tests here import ``stage_runs``, which lies beside, and the made markets of ``benchmarks``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))
