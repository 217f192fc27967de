"""The aliases of MLflow's registered models follow the standing of a product and feed.

``champion-<product>-<feed>``, ``previous-...`` and ``challenger-...`` are each on one version of one model.
As long as only one product and feed has a champion, the plain ``champion``, ``previous`` and ``challenger``
say the same; with several they would be ambiguous, and are taken away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from volspike.models.mlflow_run import OURS, Registered

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
PREVIOUS = "previous"
CHALLENGER = "challenger"
# The champion last: killed before, the aliases still name one that serves or served.
KINDS = (PREVIOUS, CHALLENGER, CHAMPION)

Held = dict[str, dict[str, str]]


def alias_of(alias: str, product: str, feed: str) -> str:
    """Return the alias of one product and feed.

    Examples
    --------
    >>> alias_of("champion", "BTC-USD", "exchange")
    'champion-btc-usd-exchange'
    """
    return re.sub("[^a-z0-9_-]", "-", f"{alias}-{product}-{feed}".lower())


def set_aliases(
    client: MlflowClient,
    product: str,
    feed: str,
    wanted: Mapping[str, Registered | None],
    shared: bool,
) -> None:
    """Put the aliases of a product and feed where they belong, and take them away elsewhere.

    Parameters
    ----------
    wanted : mapping of str to Registered or None
        Version by ``champion``, ``previous`` and ``challenger``; None: there is none.
    shared : bool
        Whether others may have models there, whose aliases are left alone.
    """
    held = held_aliases(client, shared)
    for kind in KINDS:
        _place(client, held, alias_of(kind, product, feed), wanted[kind])
    champions = champion_aliases(held)
    own = alias_of(CHAMPION, product, feed)
    if champions and own not in champions:
        return
    for kind in KINDS:
        _place(client, held, kind, wanted[kind] if len(champions) <= 1 else None)


def held_aliases(client: MlflowClient, shared: bool) -> Held:
    """Return the version by alias of each registered model; where they are shared, of ours alone."""
    held: Held = {}
    token = None
    while True:
        page = client.search_registered_models(f"tags.{OURS} = 'true'" if shared else None, page_token=token)
        held |= {
            model.name: {alias: str(version) for alias, version in model.aliases.items()} for model in page
        }
        token = page.token
        if not token:
            return held


def champion_aliases(held: Held) -> list[str]:
    """Return the aliases of champions by product and feed, sorted."""
    return sorted(
        {alias for aliases in held.values() for alias in aliases if alias.startswith(CHAMPION + "-")}
    )


def _place(client: MlflowClient, held: Held, alias: str, to: Registered | None) -> None:
    if to is not None and held[to.name].get(alias) != str(to.version):
        client.set_registered_model_alias(to.name, alias, str(to.version))
        held[to.name][alias] = str(to.version)
    for name, aliases in held.items():
        if alias in aliases and (to is None or name != to.name):
            client.delete_registered_model_alias(name, alias)
            del aliases[alias]
