"""``volspike models``: what has been trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volspike.cli.output import AsJson, DataDir, emit_json, say, show_table

if TYPE_CHECKING:
    from pathlib import Path


def models(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the model bundles, checked whole, with their lineage; the champion is marked."""
    from volspike.config import load_settings
    from volspike.models.shelf import bundle_paths
    from volspike.pipeline.home import Home

    home = Home(load_settings({"data_dir": data_dir}).data_dir)
    home.require()
    champion = _champion(home.models)
    rows = [_describe(path, champion) for path in bundle_paths(home.models)]
    if as_json:
        emit_json({"models": rows})
    elif not rows:
        say(f"no models in {home.models}; run volspike train")
    else:
        cells = [tuple(row[field] for field in _SHOWN) for row in rows]
        show_table(f"Models in {home.models}", tuple(_SHOWN.values()), cells, words=7)


def _champion(directory: Path) -> Path | None:
    from volspike.errors import ModelError
    from volspike.models.shelf import champion_path

    try:
        return champion_path(directory)
    except ModelError:
        return None


def _describe(path: Path, champion: Path | None) -> dict[str, Any]:
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
        "champion" if path == champion else "whole",
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
    "target": "target",
    "trained_to": "trained to",
    "fit_rows": "fit rows",
    "test_pr_auc": "test PR-AUC",
    "test_reference_pr_auc": "reference",
    "enough_data": "enough data",
}
