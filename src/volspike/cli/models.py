"""``volspike models``: what has been trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volspike.cli.figures import short_text
from volspike.cli.options import All
from volspike.cli.output import AsJson, DataDir, console, emit_json, say, show_table, tell

if TYPE_CHECKING:
    from pathlib import Path


def models(data_dir: DataDir = None, all_: All = False, as_json: AsJson = False) -> None:
    """List the model bundles, checked whole, with their lineage; champions and challengers are marked."""
    from volspike.config import load_settings
    from volspike.models.shelf import bundle_paths
    from volspike.pipeline.home import Home

    home = Home(load_settings({"data_dir": data_dir}).data_dir)
    home.require()
    places = _places(home.models)
    rows = [_describe(path, places) for path in bundle_paths(home.models)]
    if as_json:
        emit_json({"models": rows})
    elif not rows:
        say(f"no models in {home.models}; run volspike train")
    else:
        _show(f"Models in {home.models}", _SHOWN, rows, words=6)
        if all_:
            _show("Trained on", _TRAINED, rows, words=5)
        console().print(_LEGEND, markup=False)
        for row in rows:
            if row["reason"] is not None:
                console().print(f"{row['model']} {row['version']}: {row['reason']}", markup=False)


def _show(title: str, shown: dict[str, str], rows: list[dict[str, Any]], words: int) -> None:
    dated = [row | {"trained_on": (row["trained_to"] or "-")[:10]} for row in rows]
    cells = [tuple(short_text(row[field]) for field in shown) for row in dated]
    show_table(title, tuple(shown.values()), cells, words)


def _places(directory: Path) -> dict[Path, str]:
    """Return what the bundles that a standing names are."""
    from volspike.errors import ModelError
    from volspike.models.standing import standings

    try:
        found = standings(directory)
    except ModelError as error:
        tell(error)
        return {}
    return {
        entry.path(directory): place
        for place in ("previous", "challenger", "champion")
        for standing in found
        if (entry := getattr(standing, place)) is not None
    }


def _describe(path: Path, places: dict[Path, str]) -> dict[str, Any]:
    from volspike.errors import ModelError
    from volspike.exchange.decimals import format_time_ns
    from volspike.models.bundle import load_bundle

    try:
        manifest = load_bundle(path).manifest
    except ModelError as error:
        damaged = {
            "model": path.parent.name,
            "version": path.name,
            "state": "damaged",
            "reason": error.reason,
        }
        return {**dict.fromkeys(_FIELDS), **damaged}
    test = manifest.provenance.scores.get("test", {})
    values: tuple[Any, ...] = (
        manifest.name,
        manifest.version,
        places.get(path, "whole"),
        None,
        manifest.product,
        manifest.feed,
        manifest.feature_set,
        manifest.target,
        format_time_ns(manifest.training.first_ns)[:16],
        format_time_ns(manifest.training.last_ns)[:16],
        manifest.training.fit_rows,
        test.get("pr_auc"),
        test.get("reference_pr_auc"),
        manifest.enough_data,
    )
    return dict(zip(_FIELDS, values, strict=True))


_FIELDS = (
    "model",
    "version",
    "state",
    "reason",
    "product",
    "feed",
    "features",
    "target",
    "trained_from",
    "trained_to",
    "fit_rows",
    "test_pr_auc",
    "test_reference_pr_auc",
    "enough_data",
)

_SHOWN = {
    "model": "model",
    "version": "version",
    "state": "state",
    "product": "product",
    "feed": "feed",
    "trained_on": "trained to",
    "test_pr_auc": "PR-AUC",
    "test_reference_pr_auc": "ref.",
}
_TRAINED = {
    "model": "model",
    "version": "version",
    "features": "features",
    "target": "target",
    "trained_to": "to",
    "fit_rows": "rows",
    "enough_data": "enough",
}
_LEGEND = (
    "champion: served live; challenger: tried in its shadow; previous: served before; whole: checked, none "
    "of these. PR-AUC on the test part, and the reference's there "
    "(ref.). --all: what each was trained on; rows: the labelled ones of fit; enough: for a claim."
)
