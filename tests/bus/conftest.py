"""A test of the port takes ``bus`` and runs on each; one of Kafka alone takes ``kafka``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from buses import Bus, EmbeddedBus, KafkaBus


@pytest.fixture(params=["embedded", "kafka"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bus]:
    made: Bus
    if request.param == "embedded":
        made = EmbeddedBus(tmp_path / "log.db")
    else:
        made = KafkaBus(request.getfixturevalue("kafka_bootstrap"))
    yield made
    made.close()


@pytest.fixture
def kafka(kafka_bootstrap: str) -> Iterator[KafkaBus]:
    made = KafkaBus(kafka_bootstrap)
    yield made
    made.close()
