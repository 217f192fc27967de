"""Notices when another model is to serve, or to stand in the shadow, and loads it for a running job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from volspike.config import Settings
from volspike.errors import ModelError
from volspike.logs import get_logger
from volspike.models.bundle import Bundle
from volspike.models.standing import CHAMPIONS
from volspike.pipeline.home import Home
from volspike.pipeline.served_models import Served, choose_models, lineup_of, unfit, warm_up
from volspike.scoring.scorer import Scorer

log = get_logger()


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

    A model that can't take over without a restart is logged once and left; so is a standing that can't be
    read. The job goes on with what it has. A job that was told its model keeps it.

    Parameters
    ----------
    home, settings : Home, Settings
        Of the job.
    served : Served
        What it serves; ``bundles`` and ``challengers`` in it are kept up to date.
    keeps_regime : mapping of str to bool
        By product, whether its trailing state has regime columns.
    """

    def __init__(
        self, home: Home, settings: Settings, served: Served, keeps_regime: Mapping[str, bool]
    ) -> None:
        self._home = home
        self._settings = settings.model_copy(update={"dialect": served.dialect.name})
        self._served = served
        self._keeps_regime = keeps_regime
        self._seen = self._signature()

    def poll(self) -> list[Swap]:
        """Return what has changed since the last time; a look at a few files where nothing has."""
        signature = self._signature()
        if self._settings.model or signature == self._seen:
            return []
        self._seen = signature
        try:
            found = choose_models(self._home, self._settings)
        except ModelError as error:
            log.error("the models stay as they are", reason=str(error))
            return []
        return [swap for product in self._served.bundles if (swap := self._swap(product, found)) is not None]

    def _swap(self, product: str, found: Served) -> Swap | None:
        before, bundle = self._served.bundles[product], found.bundles.get(product)
        if bundle is None:
            return None
        keeps_regime = self._keeps_regime[product]
        reason = unfit(before.manifest, bundle.manifest, keeps_regime)
        if reason:
            log.warning("another champion serves after a restart only", product=product, reason=reason)
            return None
        challenger = found.challengers.get(product)
        if challenger is not None and unfit(bundle.manifest, challenger.manifest, keeps_regime):
            challenger = None
        if _versions(bundle, challenger) == _versions(before, self._served.challengers.get(product)):
            return None
        for each in (bundle, challenger):
            if each is not None:
                warm_up(each)
        self._served.bundles[product] = bundle
        self._served.challengers.pop(product, None)
        if challenger is not None:
            self._served.challengers[product] = challenger
        log.info("models change", product=product, serves=_name(bundle), challenger=_name(challenger))
        return Swap(product, bundle, challenger)

    def _signature(self) -> tuple[tuple[Path, int, int], ...]:
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
