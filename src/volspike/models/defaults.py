"""The models that come with the package, for the first day: small, experimental, with cards of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from volspike.models.bundle import Bundle, load_bundle

BUNDLED = Path(__file__).with_name("bundled")
DEFAULTS: Mapping[str, str] = {"default": "tick", "default-tick": "tick", "default-candles": "candles"}


def is_default(name: str) -> bool:
    """Tell whether a model's name is that of a bundled one."""
    return name.startswith("default-")


def default_path(name: str) -> Path | None:
    """Return the directory of a bundled model by the name it is asked for, None if it is no such name."""
    folder = DEFAULTS.get(name)
    return None if folder is None else BUNDLED / folder


def default_model(product: str) -> Bundle | None:
    """Return the bundled model of a product's ticks, on either feed; None where there is none.

    Raises
    ------
    ModelError
        When the package's own files are damaged.
    """
    bundle = load_bundle(BUNDLED / DEFAULTS["default"])
    return bundle if bundle.manifest.product == product else None
