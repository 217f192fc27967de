"""``volspike promote`` and ``volspike rollback``: who serves, decided by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.options import Product, Source
from volspike.cli.output import AsJson, DataDir, console, emit_json, say

if TYPE_CHECKING:
    from pathlib import Path

    from volspike.config import Settings
    from volspike.models.standing import Entry, Standing
    from volspike.pipeline.home import Home

MLFLOW_FOLLOWS = "MLflow is told by volspike run or tend, or by volspike models --sync"
Reason = Annotated[str, typer.Option(help="Why, for the audit log.")]


def promote(
    model: Annotated[
        str | None,
        typer.Argument(
            help="NAME/VERSION of a bundle; with --force, unless it is on trial. (default: the challenger)"
        ),
    ] = None,
    data_dir: DataDir = None,
    product: Product = None,
    feed: Source = None,
    reason: Reason = "",
    force: Annotated[
        bool, typer.Option("--force", help="Even if it has not proven better, or is not on trial.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a model the champion; a running job serves it within a second. One that is unproven is refused."""
    from volspike.clock import SystemClock
    from volspike.pipeline.promoting_by_hand import named_entry, promote_by_hand

    _require_bundle(data_dir, model)
    entry = None if model is None else named_entry(model)
    home, settings, standing = _standing(data_dir, product, feed, entry)
    after = promote_by_hand(home, settings, standing, entry, reason, SystemClock(), say, force=force)
    _conclude(home, settings, after, as_json)


def rollback(
    data_dir: DataDir = None,
    product: Product = None,
    feed: Source = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Make the previous champion the champion again; a running job serves it within a second."""
    from volspike.clock import SystemClock
    from volspike.pipeline.market_time import market_ns_of
    from volspike.pipeline.promotion import roll_back

    home, settings, standing = _standing(data_dir, product, feed)
    now_ns = market_ns_of(home, standing, SystemClock())
    after = roll_back(home, settings, standing.product, standing.feed, "user", reason, now_ns)
    _conclude(home, settings, after, as_json)


def _require_bundle(data_dir: Path | None, model: str | None) -> None:
    """Refuse a name that no bundle has: what is said of a damaged one, to train it again, would mislead."""
    from volspike.config import load_settings
    from volspike.errors import ModelError
    from volspike.models.shelf import bundle_paths
    from volspike.pipeline.home import Home

    home = Home(load_settings({"data_dir": data_dir}).data_dir)
    home.require()
    if model is None or not all(parts := model.split("/")) or len(parts) != 2:
        return  # it is not NAME/VERSION, as is said of it then
    if model not in {f"{path.parent.name}/{path.name}" for path in bundle_paths(home.models)}:
        remedy = "volspike models lists them, as name and version"
        raise ModelError(f"model {model}", f"there is no such bundle in {home.models}", remedy)


def _standing(
    data_dir: Path | None, product: str | None, feed: str | None, entry: Entry | None = None
) -> tuple[Home, Settings, Standing]:
    from volspike.config import load_settings
    from volspike.models.standing import standings
    from volspike.pipeline.home import Home
    from volspike.pipeline.promoting_by_hand import standing_for, the_standing

    settings = load_settings({"data_dir": data_dir})
    home = Home(settings.data_dir)
    home.require()
    if entry is not None:
        return home, settings, standing_for(home, entry, product, feed)
    found = standings(home.models, product, None if feed is None else (feed,))
    return home, settings, the_standing(home, found, product, feed)


def _conclude(home: Home, settings: Settings, standing: Standing, as_json: bool) -> None:
    import msgspec

    from volspike.models.defaults import is_default
    from volspike.pipeline.who_serves import served_manifest

    served = served_manifest(home, settings, standing)
    serves = None if served is None else f"{served.name} {served.version}"
    if as_json:
        emit_json(msgspec.to_builtins(standing) | {"serves": serves})
        return
    names = {"champion": standing.champion, "previous": standing.previous, "challenger": standing.challenger}
    for place, entry in names.items():
        console().print(f"{place} of {standing.product} on {standing.feed}: {entry or 'none'}", markup=False)
    if standing.champion is None and served is not None:
        whose = "the package's model " if is_default(served.name) else ""
        console().print(f"{whose}{serves} serves again", markup=False)
    console().print(f"written to {home.journal}; {MLFLOW_FOLLOWS}", markup=False, soft_wrap=True)
