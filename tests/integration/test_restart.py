"""Invariant 6 for the log: whatever a killed job had not logged is in the log after the next start, once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from killed_job import ALERTS, frames_from
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.topics import TOPICS
from volspike.clock import SimulatedClock, SystemClock
from volspike.pipeline.assembly import open_live
from volspike.records import Outcome, Prediction
from whole_logs import check_whole
from whole_runs import PRODUCT, assert_identical, logged, settings_for, tree

WORKER = Path(__file__).parents[1] / "killed_job.py"
LIMIT_S = 120
DEATHS = [
    ("bus.append.begun", 1),
    ("bus.append.inserted", 151),
    ("bus.append.before_commit", 303),
    ("bus.append.committed", 360),
]


def served(trained: Path, directory: Path) -> Path:
    """Return a data directory with models and no history, so that a start has little to read back."""
    root = directory / "data"
    shutil.copytree(trained / "models", root / "models")
    return root


def killed(root: Path, point: str, nth: int) -> None:
    worker = [sys.executable, str(WORKER), str(root), point, str(nth)]
    ended = subprocess.run(worker, timeout=LIMIT_S, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def restart(root: Path) -> dict[str, int]:
    """Start and stop a job without a feed; return what it found undone."""
    job = open_live(settings_for(root, **ALERTS), SimulatedClock(), ())
    job.close()
    counts: dict[str, int] = job.as_dict()["caught_up"]
    return counts


def sizes(root: Path) -> dict[str, int]:
    log = EmbeddedLog(root / "log.db", SystemClock())
    try:
        return {topic: log.end_offset(topic) for topic in TOPICS}
    finally:
        log.close()


@pytest.fixture
def root(_trained: Path, tmp_path: Path) -> Path:
    return served(_trained, tmp_path)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, _trained: Path) -> dict[str, Outcome]:
    """Return the outcomes by prediction id of a job that lived on."""
    root = served(_trained, tmp_path_factory.mktemp("unbroken"))
    worker = [sys.executable, str(WORKER), str(root), "never", "1"]
    subprocess.run(worker, timeout=LIMIT_S, check=True)
    check_whole(root)
    outcomes = [outcome for outcome in logged(root, "ticks.outcomes") if isinstance(outcome, Outcome)]
    return {outcome.prediction_id: outcome for outcome in outcomes}


@pytest.mark.parametrize(("point", "nth"), DEATHS)
def test_invariant_06_a_killed_job_is_caught_up_with_by_the_next_start(
    point: str, nth: int, root: Path, unbroken: dict[str, Outcome]
) -> None:
    killed(root, point, nth)
    found = restart(root)
    assert any(found.values()), "nothing was missing"
    check_whole(root)
    assert_identical(root)
    for outcome in logged(root, "ticks.outcomes"):
        assert isinstance(outcome, Outcome)
        if outcome.unlabelled is None:
            assert outcome == unbroken[outcome.prediction_id]
        else:
            assert outcome.unlabelled in ("break", "end")
    before = sizes(root)
    assert restart(root) == {"records": 0, "outcomes": 0, "alerts": 0}
    assert sizes(root) == before


def test_a_restarted_job_goes_on_where_the_archive_ends(root: Path) -> None:
    killed(root, "bus.append.before_commit", 303)
    before_it = [made for made in logged(root, "ticks.predictions") if isinstance(made, Prediction)]
    job = open_live(settings_for(root, **ALERTS), SimulatedClock(), ())
    try:
        job.pipeline.begin("next")
        for receive_ns, raw in frames_from(330, 500):
            job.pipeline.frame("next", receive_ns, raw, 0)
        job.pipeline.end("next", "stop")
        job.pipeline.finish()
    finally:
        job.close()
    report = job.as_dict()
    assert report["predictions"] > 100
    after_it = [made for made in logged(root, "ticks.predictions") if isinstance(made, Prediction)]
    newest, first = before_it[-1], after_it[len(before_it)]
    assert newest.band_log_stretch != 0.0
    assert first.band_log_stretch == newest.band_log_stretch == report["bands"][PRODUCT]["began_at"]
    check_whole(root)
    assert_identical(root)
    before, sized = tree(root), sizes(root)
    assert restart(root) == {"records": 0, "outcomes": 0, "alerts": 0}
    assert sizes(root) == sized
    after = tree(root)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert not {name for name in changed if not name.startswith(("log.db", "raw/archive.lock"))}
