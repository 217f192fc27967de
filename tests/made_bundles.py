"""Bundles for tests without a training: the package's own model under other names and numbers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from volspike.models.bundle import Bundle, new_bundle
from volspike.models.defaults import default_model
from volspike.models.manifest import WEIGHTS_FILE, AlertEntry
from volspike.models.shelf import save_bundle
from volspike.models.standing import Entry

PRODUCT, FEED = "BTC-USD", "exchange"
SPAN_NS = (1_000_000_000, 2_000_000_000)


def make_bundle(
    models: Path, seed: int = 0, *, span_ns: tuple[int, int] = SPAN_NS, **changes: object
) -> Bundle:
    """Put a model on the shelf that tells ``seed`` as its own, so that every seed is a version of its own."""
    known = default_model(PRODUCT)
    assert known is not None
    training = msgspec.structs.replace(
        known.manifest.training, seed=seed, first_ns=span_ns[0], last_ns=span_ns[1]
    )
    alert = AlertEntry(open_at=0.5, close_at=0.3, reason="made by hand")
    given = {"name": "logistic", "feed": FEED, "training": training, "alert": alert, **changes}
    bundle = new_bundle(msgspec.structs.replace(known.manifest, **given), known.files)
    save_bundle(bundle, models)
    return bundle


def entry_of(bundle: Bundle) -> Entry:
    """Return the name and version of a bundle."""
    return Entry(bundle.manifest.name, bundle.manifest.version)


def spoil(models: Path, entry: Entry) -> None:
    """Flip a byte in the middle of a bundle's weights."""
    path = entry.path(models) / WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
