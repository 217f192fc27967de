"""``volspike models``: what has been trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volspike.cli.figures import short_text
from volspike.cli.options import All
from volspike.cli.output import AsJson, DataDir, console, emit_json, say, show_table

if TYPE_CHECKING:
    from pathlib import Path


def models(data_dir: DataDir = None, all_: All = False, as_json: AsJson = False) -> None:
    """List the model bundles, checked whole, with their lineage; the champions are marked."""
    from volspike.config import load_settings
    from volspike.models.shelf import bundle_paths
    from volspike.pipeline.home import Home

    home = Home(load_settings({"data_dir": data_dir}).data_dir)
    home.require()
    served = _champions(home.models)
    rows = [_describe(path, served) for path in bundle_paths(home.models)]
    if as_json:
        emit_json({"models": rows})
    elif not rows:
        say(f"no models in {home.models}; run volspike train")
    else:
        shown = _ALL if all_ else _SHOWN
        cells = [tuple(_cell(row, field, all_) for field in shown) for row in rows]
        show_table(f"Models in {home.models}", tuple(shown.values()), cells, words=6)
        console().print(_LEGEND, markup=False)


def _cell(row: dict[str, Any], field: str, whole: bool) -> object:
    value = short_text(row[field])
    return value[:10] if field == "trained_to" and isinstance(value, str) and not whole else value


def _champions(directory: Path) -> set[Path]:
    from volspike.errors import ModelError
    from volspike.models.shelf import champions

    try:
        return {champion.path(directory) for champion in champions(directory)}
    except ModelError:
        return set()


def _describe(path: Path, served: set[Path]) -> dict[str, Any]:
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
        "champion" if path in served else "whole",
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
    "trained_to": "trained to",
    "test_pr_auc": "PR-AUC",
    "test_reference_pr_auc": "ref.",
}
_ALL = {
    **_SHOWN,
    "features": "features",
    "target": "target",
    "fit_rows": "labelled fit rows",
    "enough_data": "enough data",
    "reason": "reason",
}
_LEGEND = "PR-AUC on the test part, and the reference's there (ref.); --all: what each was trained on."
