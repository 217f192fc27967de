"""Promotion and its way back: one rename, then a line in the audit log, and a note for MLflow.

A death behind the first leaves a standing that the journal does not tell of; ``mend_journal`` adds the line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import ModelError
from volspike.exchange.candles import FEED as CANDLES
from volspike.exchange.dialects import DIALECTS
from volspike.models.bundle import load_bundle
from volspike.models.defaults import default_model
from volspike.models.manifest import LIVE_TARGET, NAME, VERSION, Manifest
from volspike.models.registry import queue_standing
from volspike.models.standing import (
    Entry,
    Standing,
    champions,
    change_standing,
    standing_of,
    ticks_first,
)
from volspike.monitoring.journal import (
    BY_FOUND,
    BY_TRIAL,
    BY_USER,
    CHALLENGER,
    PROMOTED,
    RETIRED,
    ROLLED_BACK,
    JournalEntry,
    append_entry,
    newest,
    read_journal,
)
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.home import Home
from volspike.pipeline.market_time import market_ns_of

if TYPE_CHECKING:
    from volspike.monitoring.comparison import Comparison

Figures = dict[str, float | int | str | bool | None]
_NO_TRIAL = "models of candles are never served live, so nothing is tried: the scores in its card decide"
_NO_TRIAL_REMEDY = "promote it with --force"
_FOUND = "found in place and not told: training did it, or a process ended in between"


def promote(
    home: Home, standing: Standing, entry: Entry, by: str, reason: str, market_ns: int, detail: Figures
) -> Standing:
    """Make a model the champion; the one before is ``previous``.

    Parameters
    ----------
    standing : Standing
        As it was when this was decided: if the champion is another by now, nothing is changed.

    Raises
    ------
    ModelError
        When it is no whole bundle, or the standing has changed meanwhile.
    """

    def crown(now: Standing) -> Standing:
        if now.champion != standing.champion:
            raise _changed(now)
        if entry == now.champion:
            raise ModelError(f"model {entry}", "it is the champion already", "see volspike models")
        return now.crowned(entry)

    def tell(after: Standing) -> None:
        _tell(home, after, PROMOTED, entry, by, reason, market_ns, detail)

    return change_standing(home.models, standing.product, standing.feed, crown, tell)


def roll_back(
    home: Home, settings: Settings, product: str, feed: str, by: str, reason: str, market_ns: int
) -> Standing:
    """Make the previous champion the champion again, and the one of now the previous.

    Where there was none before it, and a model of the product's ticks comes with the package, that serves
    again; the way back from there is the same.

    Raises
    ------
    ModelError
        When there is no champion, or nothing to go back to.
    """

    went: list[Entry | None] = []

    def back(now: Standing) -> Standing:
        went.append(now.champion)
        if now.previous is not None:
            return now.crowned(now.previous)
        if now.champion is None:
            raise ModelError(f"{product} on {feed}", "it has no champion", "see volspike models")
        if served_manifest(home, settings, msgspec.structs.replace(now, name="", version="")) is None:
            remedy = "promote another: volspike promote NAME/VERSION --force"
            raise ModelError(f"{product} on {feed}", "there is no champion before this one", remedy)
        return msgspec.structs.replace(now, name="", version="", previous=now.champion)

    def tell(after: Standing) -> None:
        gone = str(went[-1] or "the model of the package")
        words = f"in place of {gone}{': ' if reason else ''}{reason}"
        _tell(home, after, ROLLED_BACK, after.champion, by, words, market_ns, {"gone": gone})

    return change_standing(home.models, product, feed, back, tell)


def retire(home: Home, standing: Standing, reason: str, market_ns: int, detail: Figures) -> Standing:
    """Take the challenger out of the shadow."""

    def leave(now: Standing) -> Standing:
        if now.challenger != standing.challenger:
            raise _changed(now)
        return msgspec.structs.replace(now, challenger=None)

    def tell(after: Standing) -> None:
        _tell(home, after, RETIRED, standing.challenger, BY_TRIAL, reason, market_ns, detail)

    return change_standing(home.models, standing.product, standing.feed, leave, tell)


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
        raise ModelError(subject, "no challenger is on trial", "volspike retrain makes one")
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
    newest_s = ledger.newest_s(standing.product)
    since_s = 0 if newest_s is None else newest_s - round(settings.trial_days * 86_400)
    return try_challenger(ledger.rows(standing.product, since_s, EVERY_S), champion, challenger)


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


def figures_of(comparison: Comparison) -> Figures:
    """Return the figures of a comparison for the audit log."""
    gain = comparison.log_loss
    return {
        "rows": comparison.rows,
        "clusters": comparison.evidence.clusters,
        "log_e": comparison.log_e,
        "log_loss_gain": None if gain is None else gain.value,
        "log_loss_gain_low": None if gain is None else gain.low,
        "log_loss_gain_high": None if gain is None else gain.high,
    }


def mend_journal(home: Home, standing: Standing, market_ns: int) -> None:
    """Add the lines of what was done to a product's models and not told."""

    def tell(now: Standing) -> None:
        journal = read_journal(home.journal, now.product, now.feed)
        for event, entry in _untold(now, journal):
            _tell(home, now, event, entry, BY_FOUND, _FOUND, market_ns, {})

    change_standing(home.models, standing.product, standing.feed, lambda now: now, tell)


def _untold(now: Standing, journal: Sequence[JournalEntry]) -> Iterator[tuple[str, Entry | None]]:
    """Yield what a standing shows and its journal lacks: a crown, an end of a trial, a beginning of one.

    A first champion that training made is no news.
    """
    told, placed = newest(journal, PROMOTED, ROLLED_BACK), newest(journal, CHALLENGER)
    was_tried = any(each.event == CHALLENGER and each.version == now.version for each in journal)
    if told.version != now.version if told is not None else was_tried:
        yield ROLLED_BACK if now.champion is None else PROMOTED, now.champion
    if placed is not None and _is_on_trial(journal, placed.version):
        entry = Entry(placed.model, placed.version)
        if entry not in (now.champion, now.challenger):
            yield RETIRED, entry
    if now.challenger is not None and not _is_on_trial(journal, now.challenger.version):
        yield CHALLENGER, now.challenger


def _is_on_trial(journal: Sequence[JournalEntry], version: str) -> bool:
    """Tell whether the newest that a journal says of a model is that its trial began."""
    about = [each for each in journal if each.version == version]
    last = newest(about, CHALLENGER, RETIRED, PROMOTED, ROLLED_BACK)
    return last is not None and last.event == CHALLENGER


def append_step(
    home: Home,
    standing: Standing,
    event: str,
    entry: Entry | None,
    by: str,
    reason: str,
    market_ns: int,
    detail: Figures,
) -> None:
    """Append what was done to a product's models, or found of them, to the journal.

    Parameters
    ----------
    event, by : str
        Names of ``volspike.monitoring.journal``.
    entry : Entry or None
        The bundle that it is about.

    Raises
    ------
    ModelError
        When the journal can't be written.
    """
    append_entry(
        home.journal,
        JournalEntry(
            market_ns=market_ns,
            event=event,
            product=standing.product,
            feed=standing.feed,
            model="" if entry is None else entry.name,
            version="" if entry is None else entry.version,
            by=by,
            reason=reason,
            detail=detail,
        ),
    )


def _tell(
    home: Home,
    standing: Standing,
    event: str,
    entry: Entry | None,
    by: str,
    reason: str,
    market_ns: int,
    detail: Figures,
) -> None:
    """Append what has changed a standing, and leave a note for MLflow."""
    append_step(home, standing, event, entry, by, reason, market_ns, detail)
    queue_standing(home.root, standing.product, standing.feed)


def _changed(now: Standing) -> ModelError:
    subject = f"{now.product} on {now.feed}"
    return ModelError(subject, "its models have changed meanwhile", "look again: volspike models")
