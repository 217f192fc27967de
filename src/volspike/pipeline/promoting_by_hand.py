"""A promotion that a person asks for: which model is meant, and whether it has proven better."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import ModelError
from volspike.exchange.candles import FEED as CANDLES
from volspike.models.bundle import load_bundle
from volspike.models.manifest import LIVE_TARGET, NAME, VERSION
from volspike.models.standing import Entry, Standing, standing_of, ticks_first
from volspike.monitoring.journal import BY_USER
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.home import Home
from volspike.pipeline.market_time import market_ns_of
from volspike.pipeline.promotion import Figures, figures_of, promote
from volspike.pipeline.who_serves import served_manifest

if TYPE_CHECKING:
    from volspike.monitoring.comparison import Comparison

_NO_TRIAL = "models of candles are never served live, so nothing is tried: the scores in its card decide"
_NO_TRIAL_REMEDY = "promote it with --force"


def the_standing(home: Home, found: list[Standing], product: str | None, feed: str | None) -> Standing:
    """Return the one standing that is meant: of ticks, where a product has one of ticks and one of candles.

    Raises
    ------
    ModelError
        When there is none, or several.
    """
    chosen = [each for each in found if product in (None, each.product) and feed in (None, each.feed)]
    chosen = ticks_first(chosen)
    if not chosen:
        raise ModelError(
            str(home.models), "it names no champion and no challenger", "volspike train makes one"
        )
    if len(chosen) > 1:
        names = ", ".join(f"{each.product} on {each.feed}" for each in chosen)
        raise ModelError(str(home.models), f"there are several: {names}", "choose with --product and --feed")
    return chosen[0]


def named_entry(text: str) -> Entry:
    """Return the bundle that ``NAME/VERSION`` names.

    Raises
    ------
    ModelError
        When it is no such name.
    """
    name, _, version = text.partition("/")
    if not (NAME.fullmatch(name) and VERSION.fullmatch(version)):
        raise ModelError(text, "it is not NAME/VERSION", "volspike models lists them")
    return Entry(name, version)


def standing_for(home: Home, entry: Entry, product: str | None, feed: str | None) -> Standing:
    """Return the standing of the product and feed that a bundle was made for, an empty one if there is none.

    Raises
    ------
    ModelError
        When there is no such whole bundle, it is of another product or feed than the ones given, or the
        standing can't be read.
    """
    manifest = load_bundle(entry.path(home.models)).manifest
    for of, wanted in ((manifest.product, product), (manifest.feed, feed)):
        if wanted not in (None, of):
            raise ModelError(f"model {entry}", f"it was trained on {of}, not {wanted}", f"leave out {wanted}")
    return standing_of(home.models, manifest.product, manifest.feed)


def promote_by_hand(
    home: Home,
    settings: Settings,
    standing: Standing,
    entry: Entry | None,
    reason: str,
    clock: Clock,
    say: Callable[[str], None],
    *,
    force: bool,
) -> Standing:
    """Promote the challenger if it has proven better, or any model if that is forced, and say over what.

    ``clock`` is the wall's: see ``market_ns_of``.

    Raises
    ------
    ModelError
        When there is no challenger, or the model has not proven better.
    """
    chosen = entry or standing.challenger
    subject = f"{standing.product} on {standing.feed}"
    if chosen is None:
        feed = f" --feed {standing.feed}" if standing.feed == CANDLES else ""
        raise ModelError(subject, "no challenger is on trial", f"volspike retrain{feed} makes one")
    _check_target(home, chosen)
    verdict, figures = "forced", Figures()
    if force:
        overridden = _overridden(home, settings, standing, chosen)
        verdict += f" over: {overridden}" if overridden else ""
        say(f"{chosen} is {verdict}")
    else:
        if chosen != standing.challenger:
            raise ModelError(f"model {chosen}", "it is not on trial", "let it prove better, or use --force")
        comparison = compare_now(home, settings, standing)
        verdict, figures = comparison.words, figures_of(comparison)
        if not comparison.promote:
            raise ModelError(f"model {chosen}", comparison.words, "wait for more outcomes, or use --force")
    words = f"{verdict}{': ' if reason else ''}{reason}"
    return promote(home, standing, chosen, BY_USER, words, market_ns_of(home, standing, clock), figures)


def _overridden(home: Home, settings: Settings, standing: Standing, entry: Entry) -> str:
    """Return what speaks against a promotion, empty for one that has proven better."""
    if entry != standing.challenger:
        return "it is not on trial, so nothing was compared"
    try:
        comparison = compare_now(home, settings, standing)
    except ModelError as error:  # of a champion that is damaged, or of none
        return f"nothing was compared: {error.subject}: {error.reason}"
    return "; ".join(condition.words for condition in comparison.conditions if not condition.met)


def _check_target(home: Home, entry: Entry) -> None:
    manifest = load_bundle(entry.path(home.models)).manifest
    if manifest.target != LIVE_TARGET and manifest.feed != CANDLES:
        reason = f"its target {manifest.target} is for study, not for live use"
        raise ModelError(f"model {entry}", reason, "train with --target rv")


def compare_now(home: Home, settings: Settings, standing: Standing) -> Comparison:
    """Return how the challenger of a standing compares with its champion on the ledger as it is.

    Raises
    ------
    ModelError
        When nothing is on trial: of candles, nothing ever is.
    """
    # Not at the top: scoring takes half a second to import, and a rollback needs none of it.
    from volspike.pipeline.trial import EVERY_S, try_challenger

    if standing.feed == CANDLES:
        raise ModelError(f"{standing.product} on {standing.feed}", _NO_TRIAL, _NO_TRIAL_REMEDY)
    champion = served_manifest(home, settings, standing)
    if standing.challenger is None or champion is None:
        raise ModelError(f"{standing.product} on {standing.feed}", "nothing is on trial", "volspike retrain")
    challenger = load_bundle(standing.challenger.path(home.models)).manifest
    ledger = Ledger(home.ledger)
    # All of it: evidence that began anew each day would reach what is asked for more often than is promised.
    rows = ledger.rows(standing.product, 0, EVERY_S)
    return try_challenger(rows, champion, challenger, settings)
