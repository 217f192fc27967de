"""The runs without faults; also lets the tests here import what lies beside them and in ``pipeline``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))

from faulty_runs import Run, run_with

if TYPE_CHECKING:
    from broker_runs import Found, Pipeline


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Return a maker of the run without faults, one for each dialect."""
    made: dict[str, Run] = {}

    def make(dialect: str) -> Run:
        if dialect not in made:
            made[dialect] = run_with(tmp_path_factory.mktemp("clean"), dialect, ticks=900)
        return made[dialect]

    return make


@pytest.fixture(scope="session")
def ticks() -> list:
    """Return the ticks and marks of six products."""
    from broker_runs import start_forks
    from stage_runs import market

    start_forks()
    return market(duration_s=270, breaks_s=(100.0,), copies=3)


@pytest.fixture(scope="session")
def expected(ticks: list, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return what the stages make of ``ticks`` when nothing happens."""
    from broker_runs import undisturbed

    return undisturbed(ticks, tmp_path_factory.mktemp("whole") / "log.db")


@pytest.fixture
def make_pipeline(tmp_path: Path) -> Iterator[Callable[..., Pipeline]]:
    """Return a maker of pipelines on a broker."""
    from broker_runs import Pipeline

    made: list[Pipeline] = []

    def make(bootstrap: str, session_s: float = 45.0) -> Pipeline:
        directory = tmp_path / f"workers-{len(made)}"
        directory.mkdir()
        made.append(Pipeline(bootstrap, directory, session_s))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()
