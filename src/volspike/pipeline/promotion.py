"""Promotion and its way back: one rename, then a line in the audit log, and a note for MLflow.

A death behind the first leaves a standing that the journal does not tell of: ``journal_mending`` tells it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from volspike.config import Settings
from volspike.errors import ModelError
from volspike.models.registry import queue_standing
from volspike.models.standing import Entry, Standing, change_standing
from volspike.monitoring.journal import BY_TRIAL, PROMOTED, RETIRED, ROLLED_BACK, JournalEntry, append_entry
from volspike.pipeline.home import Home
from volspike.pipeline.who_serves import served_manifest

if TYPE_CHECKING:
    from volspike.monitoring.comparison import Comparison

Figures = dict[str, float | int | str | bool | None]


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

    def tell(_before: Standing, after: Standing) -> None:
        tell_change(home, step(after, PROMOTED, entry, by, reason, market_ns, detail))

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

    def back(now: Standing) -> Standing:
        if now.previous is not None:
            return now.crowned(now.previous)
        if now.champion is None:
            raise ModelError(f"{product} on {feed}", "it has no champion", "see volspike models")
        if served_manifest(home, settings, msgspec.structs.replace(now, name="", version="")) is None:
            remedy = "promote another: volspike promote NAME/VERSION --force"
            raise ModelError(f"{product} on {feed}", "there is no champion before this one", remedy)
        return msgspec.structs.replace(now, name="", version="", previous=now.champion)

    def tell(before: Standing, after: Standing) -> None:
        gone = str(before.champion or "the model of the package")
        words = f"in place of {gone}{': ' if reason else ''}{reason}"
        detail: Figures = {"gone": gone}
        tell_change(home, step(after, ROLLED_BACK, after.champion, by, words, market_ns, detail))

    return change_standing(home.models, product, feed, back, tell)


def retire(home: Home, standing: Standing, reason: str, market_ns: int, detail: Figures) -> Standing:
    """Take the challenger out of the shadow."""

    def leave(now: Standing) -> Standing:
        if now.challenger != standing.challenger:
            raise _changed(now)
        return msgspec.structs.replace(now, challenger=None)

    def tell(_before: Standing, after: Standing) -> None:
        change = step(after, RETIRED, standing.challenger, BY_TRIAL, reason, market_ns, detail)
        tell_change(home, change)

    return change_standing(home.models, standing.product, standing.feed, leave, tell)


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


def step(
    standing: Standing,
    event: str,
    entry: Entry | None,
    by: str,
    reason: str,
    market_ns: int,
    detail: Figures,
) -> JournalEntry:
    """Return the line of the journal for what was done to a product's models, or found of them.

    Parameters
    ----------
    event, by : str
        Names of ``volspike.monitoring.journal``.
    entry : Entry or None
        The bundle that it is about.
    """
    return JournalEntry(
        market_ns=market_ns,
        event=event,
        product=standing.product,
        feed=standing.feed,
        model="" if entry is None else entry.name,
        version="" if entry is None else entry.version,
        by=by,
        reason=reason,
        detail=detail,
    )


def tell_change(home: Home, change: JournalEntry) -> None:
    """Append what has changed a standing to the journal, and leave a note for MLflow.

    Raises
    ------
    ModelError
        When the journal can't be written.
    """
    append_entry(home.journal, change)
    queue_standing(home.root, change.product, change.feed)


def _changed(now: Standing) -> ModelError:
    subject = f"{now.product} on {now.feed}"
    return ModelError(subject, "its models have changed meanwhile", "look again: volspike models")
