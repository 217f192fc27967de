"""Since when a product is recorded that no model serves yet: by that its first one is due."""

from __future__ import annotations

from volspike.config import Settings
from volspike.models.standing import Standing
from volspike.pipeline.home import Home
from volspike.pipeline.who_serves import served_manifest
from volspike.recording.layout import raw_directory
from volspike.recording.reader import Archive


def recorded_only_ns(home: Home, settings: Settings, standing: Standing) -> tuple[int, int] | None:
    """Return from when until when a product is recorded, market time (ns); None where a model serves it.

    Raises
    ------
    ModelError
        When what serves can't be read.
    ArchiveError
        When the archive can't be.
    """
    is_served = standing.champion is not None or served_manifest(home, settings, standing) is not None
    if is_served or not raw_directory(home.root).is_dir():
        return None
    return Archive(home.root).span_ns(standing.feed, standing.product)
