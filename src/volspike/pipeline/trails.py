"""What a live job remembers of the last day of each product, whether a model serves it or not yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from volspike.exchange.products import PriceScales
from volspike.labels.kept_past import KeptPast
from volspike.pipeline.finished_past import Trail
from volspike.pipeline.served_models import Served, takes_regime, trailing_for
from volspike.pipeline.standing_watch import Swap
from volspike.records import Mark, Tick


class Trails:
    """The trailing states of a live job.

    Parameters
    ----------
    served : Served
        What the job begins with.
    products : sequence of str
        All that a model may come to serve.
    scales : PriceScales
        Of the products.

    Attributes
    ----------
    served : dict of str to TrailingState
        By product that a model serves; scorers bring them up to date.
    unserved : dict of str to KeptPast
        By product that none serves yet; ``follow`` brings them up to date.
    """

    def __init__(self, served: Served, products: Sequence[str], scales: PriceScales) -> None:
        self._scales = scales
        self.served = {
            product: trailing_for(served.bundles[product], scales, keeps_regime)
            for product, keeps_regime in served.keeps_regime().items()
        }
        self.unserved = {product: KeptPast() for product in products if product not in served.bundles}

    def of_all(self) -> dict[str, Trail]:
        """Return all of them by product, to be brought up to the archive."""
        return {**self.served, **self.unserved}

    def follow(self, record: Tick | Mark) -> None:
        """Take a tick or mark of a product without a scorer."""
        past = self.unserved.get(record.product)
        if past is None:
            return
        if isinstance(record, Tick):
            past.on_tick(record.event_ns, record.bid + record.ask, record.covered_since_ns)
        else:
            past.on_mark(record.event_ns, record.covered_since_ns)

    async def begin(self, first: Swap) -> None:
        """Make the trailing state for a product's first model, most of it while frames go on."""
        past = self.unserved[first.product]
        trailing = trailing_for(first.bundle, self._scales, takes_regime(first.bundle, first.challenger))
        await asyncio.to_thread(past.so_far().give, trailing)
        past.catch_up(trailing)
        self.served[first.product] = trailing
        del self.unserved[first.product]
