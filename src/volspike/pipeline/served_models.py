"""Which models a live job serves, one a product, and on which feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from volspike.alerts.policy import AlertPolicy
from volspike.config import Settings
from volspike.errors import ModelError
from volspike.exchange.dialects import DIALECTS, Dialect, get_dialect
from volspike.exchange.products import PriceScales
from volspike.features.regime.state import RegimeState
from volspike.features.sets import get_feature_set
from volspike.labels.trailing import Context, TrailingState
from volspike.logs import get_logger
from volspike.models.bundle import Bundle, check_fits, load_bundle, new_bundle, rows_of, takes_rows
from volspike.models.defaults import default_model, default_path, is_default
from volspike.models.learner import Learner
from volspike.models.manifest import LIVE_TARGET, Manifest
from volspike.models.mlflow_client import Server
from volspike.models.predictor import Predictor
from volspike.models.standing import champions_for, standing_of
from volspike.pipeline.home import Home
from volspike.pipeline.judging import open_model
from volspike.scoring.lineup import NEVER_NS, Lineup

DAY_NS = 86_400_000_000_000
P_SPIKE = "p_spike"

log = get_logger()


@dataclass(frozen=True)
class Untried:
    """A challenger that does not stand in the shadow.

    Attributes
    ----------
    version : str
        Which.
    reason : str
        Why.
    is_unread : bool
        Whether it could not be loaded, which another time may do; else it does not fit.
    """

    version: str
    reason: str
    is_unread: bool = False


@dataclass(frozen=True)
class Served:
    """What a live job serves.

    Attributes
    ----------
    dialect : Dialect
        The feed's dialect.
    bundles : dict of str to Bundle
        Models by product; a product without one is recorded and not predicted.
    feature_set : str
        Of all rows.
    defaults : frozenset of str
        Products that have no champion yet and are served by the model that comes with the package.
    challengers : dict of str to Bundle
        Models in the shadow of those, by product.
    untried : dict of str to Untried
        The challengers that can't be, by product.
    """

    dialect: Dialect
    bundles: dict[str, Bundle]
    feature_set: str
    defaults: frozenset[str] = frozenset()
    challengers: dict[str, Bundle] = field(default_factory=dict)
    untried: dict[str, Untried] = field(default_factory=dict)

    def keeps_regime(self) -> dict[str, bool]:
        """Tell of each product served whether a trailing state made now has regime columns."""
        return {
            product: takes_regime(bundle, self.challengers.get(product))
            for product, bundle in self.bundles.items()
        }


def choose_models(home: Home, settings: Settings, offered: Sequence[str] = tuple(DIALECTS)) -> Served:
    """Choose the dialect and, for each product, the model that serves it there.

    The model is the one asked for, or else each product's champion: the one trained on that feed, or one of
    another feed whose inputs do not depend on it. A product without any is served by the model that comes
    with the package, if that is of this product and the settings want it. Without a dialect asked for, it is
    the one on which most products have a model; among equals the first offered.

    Parameters
    ----------
    offered : sequence of str
        Dialects that can be had.

    Raises
    ------
    ModelError
        If a model is damaged or can't serve here, or two take different feature sets.
    """
    known = _known(home, settings, settings.dialect if settings.dialect in offered else None)
    feeds = [settings.dialect] if settings.dialect in offered else list(offered)
    feed = max(feeds, key=lambda feed: sum(_fitting(bundles, feed) is not None for bundles in known.values()))
    bundles = {product: _serving(candidates, feed) for product, candidates in known.items() if candidates}
    defaults = _defaults([product for product in known if product not in bundles], settings)
    bundles |= defaults
    feature_set = _feature_set(bundles, settings)
    served = Served(get_dialect(feed), bundles, feature_set, frozenset(defaults))
    if not settings.model:
        for product, bundle in bundles.items():
            _add_challenger(served, home, product, bundle)
    return served


def _add_challenger(served: Served, home: Home, product: str, champion: Bundle) -> None:
    """Put the challenger of a product, if it has one, among those that can be tried or those that can't."""
    entry = standing_of(home.models, product, served.dialect.name).challenger
    if entry is None:
        return
    try:
        challenger = load_bundle(entry.path(home.models))
    except ModelError as error:
        served.untried[product] = Untried(entry.version, str(error), is_unread=True)
        return
    # A job that begins now keeps regime columns, if its challenger takes them.
    reason = unfit(champion.manifest, challenger.manifest, keeps_regime=True)
    if reason:
        served.untried[product] = Untried(entry.version, reason)
    else:
        served.challengers[product] = challenger


def tell_untried(untried: Mapping[str, Untried], told: Mapping[str, Untried]) -> None:
    """Log which challengers can't be tried, by product, but for what was told before."""
    for product, each in untried.items():
        if told.get(product) != each:
            log.warning("the challenger can't be tried", product=product, reason=each.reason)


def unfit(served: Manifest, other: Manifest, keeps_regime: bool) -> str:
    """Return why a model can't see the rows of one that is served, or be held against it; empty where it can.

    Parameters
    ----------
    served, other : Manifest
        Of the model served, and of one that is to stand in its shadow or take its place without a restart.
    keeps_regime : bool
        Whether the trailing state has regime columns.
    """
    if other.product != served.product or other.target != served.target:
        return f"it is of {other.product} and target {other.target}"
    if (other.tau.spec(), other.increment) != (served.tau.spec(), served.increment):
        return "its spikes are not those of the champion: tau or increment differ"
    if served.tau.mode == "fixed" and other.tau.fixed_bps != served.tau.fixed_bps:
        return "its spikes are not those of the champion: the fixed tau differs"
    if not takes_rows(other, rows_of(served)):
        return f"it takes rows of {other.feature_set}, here are rows of {rows_of(served)}"
    if get_feature_set(other.feature_set).source == "seconds" and not keeps_regime:
        return "it takes regime columns, which this job does not keep until it is started again"
    return ""


def stale_ns(manifest: Manifest, expiry_days: float) -> int:
    """Return the event time (ns) from which on a model is past its expiry (days; 0: never)."""
    return manifest.training.last_ns + round(expiry_days * DAY_NS) if expiry_days else NEVER_NS


def on_shelf(home: Home, name: str, version: str) -> Bundle | None:
    """Return a bundle of the shelf or the package that was served before; None where gone or damaged."""
    path = default_path("default") if is_default(name) else home.models / name / version
    assert path is not None
    try:
        found = load_bundle(path)
    except ModelError:
        return None
    return found if found.manifest.version == version else None


def _defaults(products: Sequence[str], settings: Settings) -> dict[str, Bundle]:
    if settings.model or not settings.default_model:
        return {}
    found = {product: default_model(product) for product in products}
    return {product: bundle for product, bundle in found.items() if bundle is not None}


def _known(home: Home, settings: Settings, feed: str | None) -> dict[str, list[Bundle]]:
    """Return the models that may serve each product, on a feed or on any."""
    known: dict[str, list[Bundle]] = {product: [] for product in settings.products}
    if not settings.model:
        for product in known:
            found = champions_for(home.models, product, feed, DIALECTS)
            known[product] = [load_bundle(champion.path(home.models)) for champion in found]
        return known
    bundle = open_model(home, settings.model, server=Server.of(settings.mlflow_uri))
    manifest = bundle.manifest
    if manifest.product not in known:
        raise ModelError(
            f"model {manifest.name} {manifest.version}",
            f"it was trained on {manifest.product}, which is not among {', '.join(known)}",
            f"watch {manifest.product} too, or train another",
        )
    known[manifest.product].append(bundle)
    return known


def _fitting(candidates: Sequence[Bundle], feed: str) -> Bundle | None:
    same = [bundle for bundle in candidates if bundle.manifest.feed == feed]
    any_feed = [bundle for bundle in candidates if not bundle.manifest.feed_dependent]
    return next(iter([*same, *any_feed]), None)


def _serving(candidates: Sequence[Bundle], feed: str) -> Bundle:
    bundle = _fitting(candidates, feed) or candidates[0]
    manifest = bundle.manifest
    if manifest.feed not in DIALECTS:
        raise ModelError(
            f"model {manifest.name} {manifest.version}",
            f"it is made of {manifest.feed}, a live job has ticks",
            "serve a model that was trained on ticks",
        )
    check_fits(manifest, feed, manifest.product, rows_of(manifest))
    if manifest.target != LIVE_TARGET:
        raise ModelError(
            f"model {manifest.name} {manifest.version}",
            f"its target {manifest.target} is for study, not for live use",
            "train with --target rv",
        )
    return bundle


def _feature_set(bundles: dict[str, Bundle], settings: Settings) -> str:
    named = {bundle.manifest.feature_set for bundle in bundles.values()}
    sets = sorted(name for name in named if get_feature_set(name).source == "ticks")
    if len(sets) > 1:
        raise ModelError(
            f"models of {', '.join(bundles)}",
            f"they take different feature sets: {', '.join(sets)}",
            "train them on one, or watch the products in jobs of their own",
        )
    return sets[0] if sets else settings.feature_set


def alert_thresholds(manifest: Manifest, settings: Settings) -> tuple[float, float]:
    """Return where alerts of a model open and close, as the settings, and else the model, want it.

    None closes above where it opens: one of the two may be of the settings, the other of the model.
    """
    entry = manifest.alert
    opens = entry.open_at if settings.alert_open is None else settings.alert_open
    closes = entry.close_at if settings.alert_close is None else settings.alert_close
    return opens, min(closes, opens)


def alert_policy(bundle: Bundle, settings: Settings, probability: str = P_SPIKE) -> AlertPolicy:
    """Return a fresh alert policy as the settings, and else the model, want it.

    Parameters
    ----------
    probability : str
        The field of a prediction that decides.
    """
    opens, closes = alert_thresholds(bundle.manifest, settings)
    if probability == P_SPIKE and closes < (settings.alert_close or 0.0):
        model = f"{bundle.manifest.name} {bundle.manifest.version}"
        log.warning(
            "alert_close is above where alerts of the model open: they close there", model=model, at=opens
        )
    return AlertPolicy(
        bundle.manifest.name,
        opens,
        closes,
        cooldown_s=settings.alert_cooldown_s,
        probability=attrgetter(probability),
    )


def takes_regime(*bundles: Bundle | None) -> bool:
    """Tell whether one of these models has regime columns as inputs."""
    sets = [get_feature_set(each.manifest.feature_set) for each in bundles if each is not None]
    return any(each.source == "seconds" for each in sets)


def trailing_for(bundle: Bundle, scales: PriceScales, keeps_regime: bool) -> TrailingState:
    """Return an empty trailing state as a model needs it for its product, with regime columns or without."""
    manifest = bundle.manifest
    decimals = scales.decimals(manifest.product)
    return TrailingState(
        manifest.tau.spec(),
        manifest.tau.fixed_bps,
        decimals,
        manifest.increment,
        RegimeState() if keeps_regime else None,
    )


def lineup_of(bundle: Bundle, challenger: Bundle | None, expiry_days: float) -> Lineup:
    """Return what scores a product by a model, with another in its shadow; one that learns begins anew."""
    return Lineup(
        _fresh(bundle),
        bundle.reference,
        bundle.manifest.training.span_ns,
        stale_ns(bundle.manifest, expiry_days),
        None if challenger is None else _fresh(challenger),
    )


def _fresh(bundle: Bundle) -> Predictor:
    """Return a bundle's predictor; of a model that learns another one, that has learned nothing yet."""
    if not isinstance(bundle.predictor, Learner):
        return bundle.predictor
    return new_bundle(bundle.manifest, bundle.files).predictor


def warm_up(bundle: Bundle) -> None:
    """Run the compiled code once, so that the first tick does not wait for it."""
    context = Context(1.0, 1.0, (1.0, 1.0, 1.0, 1.0), 0.0, 1.0)
    values = [1.0] * len(get_feature_set(bundle.manifest.feature_set).columns)
    bundle.predictor.predict(values, context)
    bundle.reference.predict(values, context)
