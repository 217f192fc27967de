"""Fixtures shared by every test package; lets tests import ``whole_runs``, which lies beside."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("volspike", deadline=None)
settings.load_profile("volspike")

sys.path.insert(0, str(Path(__file__).parent))

# Read before any test removes them.
KAFKA_BOOTSTRAP = os.environ.get("VOLSPIKE_KAFKA_BOOTSTRAP", "")
KAFKA_CACHE = Path(os.environ.get("VOLSPIKE_KAFKA_CACHE", "~/.cache/volspike"))
SHARED = Path(__file__).resolve().parents[2] / "shared"
WHOLE_JOBS = {"integration", "faults", "bus", "cli", "deploy"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let ``make faults`` ask for all repetitions, and for the tests that take long."""
    parser.addoption("--full", action="store_true", help="run faults at their full count and length")


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Tell whether faults run at their full count and length."""
    return bool(request.config.getoption("--full"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that run whole jobs, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.path.parent.name not in WHOLE_JOBS)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of development recordings, or skip where it is absent."""
    if not (SHARED / "data" / "ticks").is_dir():
        pytest.skip("no development recordings: ../shared/data/ticks is absent")
    return SHARED


@pytest.fixture(scope="session")
def kafka_cache() -> Path:
    """Return where the broker's jars are kept, or skip where Java or Maven is missing; on CI that fails."""
    from volspike.bus.broker_jars import broker_jars, java_command
    from volspike.errors import BusError

    try:
        java_command()
        broker_jars(KAFKA_CACHE)
    except BusError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no Kafka broker: {error}")
    return KAFKA_CACHE


@pytest.fixture(scope="session")
def kafka_bootstrap(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the address of a Kafka broker: that in VOLSPIKE_KAFKA_BOOTSTRAP, else of one started here."""
    from volspike.bus.local_broker import LocalBrokers

    if KAFKA_BOOTSTRAP:
        yield KAFKA_BOOTSTRAP
        return
    cache = request.getfixturevalue("kafka_cache")
    with LocalBrokers(tmp_path_factory.mktemp("kafka"), cache) as brokers:
        yield brokers.bootstrap


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in os.environ:
        if name.upper().startswith("VOLSPIKE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a data directory with two hours of synthetic history and the models trained on it."""
    from volspike.pipeline.training import train_models
    from whole_runs import make_history, settings_for

    home = make_history(tmp_path_factory.mktemp("trained") / "data")
    train_models(home, settings_for(home.root), None, None, lambda _words: None)
    return home.root


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Callable[[], Path]:
    """Return a maker of fresh copies of the trained data directory."""

    def copy() -> Path:
        return Path(shutil.copytree(_trained, tmp_path / f"data{len(list(tmp_path.iterdir()))}"))

    return copy
