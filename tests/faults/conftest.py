"""The runs without faults; also lets the tests here import ``faulty_runs``, which lies beside them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from faulty_runs import Run, run_with


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Return a maker of the run without faults, one for each dialect."""
    made: dict[str, Run] = {}

    def make(dialect: str) -> Run:
        if dialect not in made:
            made[dialect] = run_with(tmp_path_factory.mktemp("clean"), dialect, ticks=900)
        return made[dialect]

    return make
