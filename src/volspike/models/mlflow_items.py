"""What MLflow is to be told, one item a directory of the outbox."""

from __future__ import annotations

import msgspec

from volspike.models.standing import Entry


class ModelRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model that was trained: its bundle, and its scores as ``<part>.<metric>``."""

    name: str
    version: str
    metrics: dict[str, float]


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="training"):
    """A training; ``id`` tells it from any other on a server.

    Beside it lie ``report.json`` and, for each model, ``<name>/bundle`` and ``<name>/plots``.
    """

    id: str
    models: tuple[ModelRun, ...]


class Aliases(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="aliases"):
    """The aliases of a product and feed have changed; what they are now, its standing says."""

    product: str
    feed: str


class Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="attachment"):
    """Files for the run of a model, which lie beside it in ``files``; they go to ``folder`` there.

    ``tags`` are set on the run.
    """

    model: Entry
    folder: str
    tags: dict[str, str] = {}


Item = Training | Aliases | Attachment
