"""Open the bus that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volspike.bus.embedded import EmbeddedLog

if TYPE_CHECKING:
    from pathlib import Path

    from volspike.bus.port import Log
    from volspike.clock import Clock
    from volspike.config import Settings


def open_log(settings: Settings, path: Path, clock: Clock, name: str | None = None) -> Log:
    """Return a log on the bus of the settings; the caller closes it.

    Parameters
    ----------
    settings : Settings
        Which bus, and where Kafka is.
    path : Path
        File of the embedded log.
    clock : Clock
        Stamps the batches of the embedded log.
    name : str, optional
        Who writes to Kafka; of two processes of one name the later takes over.

    Raises
    ------
    BusError
        The log can't be opened; its kind UnavailableError while no broker answers.
    """
    if settings.bus == "embedded":
        return EmbeddedLog(path, clock)
    from volspike.bus.kafka import KafkaLog

    return KafkaLog(settings.kafka_bootstrap, name=name, options=settings.kafka_options)
