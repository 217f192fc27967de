"""Notices when another model is to serve, or to stand in the shadow, and loads it for a running job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from volspike.config import Settings
from volspike.errors import VolspikeError
from volspike.logs import get_logger
from volspike.models.bundle import Bundle, takes_rows
from volspike.models.manifest import Manifest
from volspike.models.standing import CHAMPIONS
from volspike.pipeline.home import Home
from volspike.pipeline.served_models import (
    Served,
    Untried,
    choose_models,
    lineup_of,
    takes_regime,
    tell_untried,
    unfit,
    warm_up,
)
from volspike.scoring.scorer import Scorer

log = get_logger()

Signature = tuple[tuple[Path, int, int], ...]
# Looks until what has failed is tried again, if no file has changed.
LOOKS_BETWEEN = 10
# Until a challenger that could not be read is: nobody is served by it, and all models are loaded for it.
LOOKS_FOR_CHALLENGER = 300


@dataclass(frozen=True)
class Swap:
    """What a product is served by from now on, and what stands in the shadow of that."""

    product: str
    bundle: Bundle
    challenger: Bundle | None

    def give(self, scorer: Scorer, expiry_days: float) -> None:
        """Have a scorer predict by it from its next row on."""
        scorer.serve(lineup_of(self.bundle, self.challenger, expiry_days))


class StandingWatch:
    """Compares the standings on disk with what a job serves.

    A model that can't take over without a restart is logged once and left. What can't be read is logged once
    and tried again. The job goes on with what it has. A job that was told its model keeps it. The first look
    is at all: standings may have changed while the job was starting.

    Parameters
    ----------
    home, settings : Home, Settings
        Of the job.
    served : Served
        What it serves; ``bundles`` and ``challengers`` in it are kept up to date.
    keeps_regime : mapping of str to bool
        By product that is served, whether its trailing state has regime columns.
    """

    def __init__(
        self, home: Home, settings: Settings, served: Served, keeps_regime: Mapping[str, bool]
    ) -> None:
        self._home = home
        self._settings = settings.model_copy(update={"dialect": served.dialect.name})
        self._served = served
        self._keeps_regime = dict(keeps_regime)
        self._seen: Signature | None = None
        self._failed: Signature | None = None
        self._trouble = ""
        self._pause = 0
        self._refused: dict[str, str] = {}  # version of a champion that can't take over, by product
        self._untried = served.untried
        tell_untried(self._untried, {})

    def poll(self) -> list[Swap]:
        """Return what has changed since the last time; a look at a few files where nothing has."""
        if self._settings.model:
            return []
        try:
            signature = self._signature()
        except OSError as error:
            self._note(None, str(error))
            return []
        if signature == self._seen or self._waits(signature):
            return []
        swaps, untried, troubles = self._look()
        tell_untried(untried, self._untried)
        self._untried = untried
        if troubles:
            self._note(signature, "; ".join(troubles))
        else:
            self._trouble = ""
            if any(each.is_unread for each in untried.values()):
                self._failed, self._pause = signature, LOOKS_FOR_CHALLENGER
            else:
                self._seen = signature
        for swap in swaps:
            self._take(swap)
        return swaps

    def _look(self) -> tuple[list[Swap], dict[str, Untried], list[str]]:
        """Return what has changed, which challengers can't be tried, and what went wrong.

        Each product on its own: what is damaged of one keeps nothing from another.
        """
        swaps: list[Swap] = []
        untried: dict[str, Untried] = {}
        troubles: list[str] = []
        for product in self._settings.products:
            try:
                found = choose_models(self._home, self._settings.model_copy(update={"products": (product,)}))
                swap = self._swap(product, found)
            except (VolspikeError, OSError) as error:
                troubles.append(str(error))
                continue
            untried |= found.untried
            if swap is not None:
                swaps.append(swap)
        return swaps, untried, troubles

    def _waits(self, signature: Signature) -> bool:
        """Tell whether what has failed is left for some looks more: stages look before each batch."""
        self._pause -= 1
        return signature == self._failed and self._pause > 0

    def _note(self, signature: Signature | None, reason: str) -> None:
        if reason != self._trouble:
            log.error("the models stay as they are; trying again", reason=reason)
        self._failed, self._trouble, self._pause = signature, reason, LOOKS_BETWEEN

    def _swap(self, product: str, found: Served) -> Swap | None:
        before, bundle = self._served.bundles.get(product), found.bundles.get(product)
        if bundle is None:
            return None
        reason = self._unfit(before, bundle.manifest)
        if reason:
            self._tell_refused(product, bundle.manifest.version, reason)
            return None
        challenger = self._challenger(product, bundle, found)
        served = before and _versions(before, self._served.challengers.get(product))
        if _versions(bundle, challenger) == served:
            return None
        for each in (bundle, challenger):
            if each is not None:
                warm_up(each)
        return Swap(product, bundle, challenger)

    def _unfit(self, before: Bundle | None, other: Manifest) -> str:
        """Return why a model can't take over from another, or be a product's first; empty where it can."""
        if before is not None:
            return unfit(before.manifest, other, self._keeps_regime[other.product])
        rows = self._served.feature_set
        if takes_rows(other, rows):
            return ""
        return f"it takes rows of {other.feature_set}, here are rows of {rows}"

    def _tell_refused(self, product: str, version: str, reason: str) -> None:
        if self._refused.get(product) != version:
            log.warning("the champion serves after a restart only", product=product, reason=reason)
        self._refused[product] = version

    def _challenger(self, product: str, champion: Bundle, found: Served) -> Bundle | None:
        """Return what is to stand in a champion's shadow; one that is loaded already needs no reading."""
        challenger, untried = found.challengers.get(product), found.untried.get(product)
        if untried is not None and untried.is_unread:
            challenger = self._served.challengers.get(product)
            if challenger is not None and challenger.manifest.version != untried.version:
                return None
        if challenger is None:
            return None
        version = challenger.manifest.version
        # The trailing state of a first model is made for it and its challenger.
        reason = unfit(champion.manifest, challenger.manifest, self._keeps_regime.get(product, True))
        if reason:
            found.untried[product] = Untried(version, reason)
            return None
        return challenger

    def _take(self, swap: Swap) -> None:
        self._keeps_regime.setdefault(swap.product, takes_regime(swap.bundle, swap.challenger))
        self._served.bundles[swap.product] = swap.bundle
        self._served.challengers.pop(swap.product, None)
        if swap.challenger is not None:
            self._served.challengers[swap.product] = swap.challenger
        serves, challenger = _name(swap.bundle), _name(swap.challenger)
        log.info("models change", product=swap.product, serves=serves, challenger=challenger)

    def _signature(self) -> Signature:
        found = []
        for path in sorted((self._home.models / CHAMPIONS).glob("*.json")):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            found.append((path, status.st_mtime_ns, status.st_ino))
        return tuple(found)


def _versions(bundle: Bundle, challenger: Bundle | None) -> tuple[str, str | None]:
    return bundle.manifest.version, None if challenger is None else challenger.manifest.version


def _name(bundle: Bundle | None) -> str:
    return "none" if bundle is None else f"{bundle.manifest.name} {bundle.manifest.version}"
