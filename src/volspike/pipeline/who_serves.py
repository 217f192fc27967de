"""Which model serves a product on a feed, by the standings and the settings."""

from __future__ import annotations

from volspike.config import Settings
from volspike.exchange.candles import FEED as CANDLES
from volspike.exchange.dialects import DIALECTS
from volspike.models.bundle import load_bundle
from volspike.models.defaults import default_model
from volspike.models.manifest import Manifest
from volspike.models.standing import Standing, champions
from volspike.pipeline.home import Home


def is_unserved(home: Home, settings: Settings, standing: Standing) -> bool:
    """Tell whether no model serves a product on a feed.

    Raises
    ------
    ModelError
        When what might can't be read.
    """
    return standing.champion is None and served_manifest(home, settings, standing) is None


def served_manifest(home: Home, settings: Settings, standing: Standing) -> Manifest | None:
    """Return the manifest of what serves a product on a feed.

    It is the champion; where ticks have none, the champion of another feed whose inputs do not depend on it;
    else the model of the package. Of candles nothing is served, so there it is the champion or nobody.
    """
    if standing.champion is not None:
        return load_bundle(standing.champion.path(home.models)).manifest
    if standing.feed == CANDLES:
        return None
    found = champions(home.models, standing.product, DIALECTS.keys() - {standing.feed})
    manifests = [load_bundle(each.path(home.models)).manifest for each in found]
    free = next((manifest for manifest in manifests if not manifest.feed_dependent), None)
    if free is not None or not settings.default_model:
        return free
    bundle = default_model(standing.product)
    return None if bundle is None else bundle.manifest
