"""``volspike models``: what has been trained."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from volspike.cli.figures import age_text, short_text
from volspike.cli.mlflow_outbox import Sync, look_at_outbox, show_waiting, tell_outbox
from volspike.cli.options import All
from volspike.cli.output import AsJson, DataDir, console, emit_json, say, show_pairs, show_table, tell

if TYPE_CHECKING:
    from pathlib import Path

    from volspike.config import Settings
    from volspike.models.mlflow_outbox import Waiting
    from volspike.models.standing import Standing
    from volspike.monitoring.journal import JournalEntry
    from volspike.pipeline.home import Home

_LINES = 10


def models(data_dir: DataDir = None, all_: All = False, sync: Sync = False, as_json: AsJson = False) -> None:
    """List the model bundles, checked whole, with their lineage; how the challengers fare; the audit log."""
    from volspike.config import load_settings
    from volspike.models.shelf import bundle_paths
    from volspike.monitoring.journal import read_journal
    from volspike.pipeline.home import Home

    settings = load_settings({"data_dir": data_dir})
    home = Home(settings.data_dir)
    home.require()
    sent, waiting = _mlflow(home, settings, sync)
    found = _standings(home.models)
    places = _places(home.models, found)
    rows = [_describe(path, places) for path in bundle_paths(home.models)]
    trials = [_trial(home, settings, standing) for standing in found if standing.challenger is not None]
    journal = read_journal(home.journal)
    package = _of_the_package(home, settings)
    if as_json:
        told = [_plain(entry) for entry in journal]
        report = {"models": rows, "package": package, "trials": trials, "journal": told}
        emit_json(report | {"mlflow": asdict(waiting) | {"sent": sent}})
    else:
        for each in package:
            console().print(f"{each['product']} has no champion of its own: {each['words']}", markup=False)
    if not as_json and not rows:
        say(f"no models in {home.models}; run volspike train")
    elif not as_json:
        _show(f"Models in {home.models}", _SHOWN, rows, words=6)
        _show("\nScores on the test part of each", _SCORES, rows, words=3)
        if all_:
            _show("\nTrained on", _TRAINED, rows, words=5)
        show_pairs("", _LEGEND | (_LEGEND_OF_ALL if all_ else _MORE))
        for row in rows:
            if row["reason"] is not None:
                console().print(f"{row['model']} {row['version']}: {row['reason']}", markup=False)
        for trial in trials:
            whose = f"{trial['challenger']}, {trial['product']} on {trial['feed']}"
            console().print(f"trial of {whose}: {trial['words']}", markup=False)
        _show_journal(journal, all_)
    show_waiting(waiting, settings.mlflow_uri, sent, as_json=as_json)


def _mlflow(home: Home, settings: Settings, sync: bool) -> tuple[int | None, Waiting]:
    if sync:
        return tell_outbox(home.root, settings.mlflow_uri)
    return None, look_at_outbox(home.root, settings.mlflow_uri, sync=False)


def _of_the_package(home: Home, settings: Settings) -> list[dict[str, str]]:
    """Return which products the model of the package serves, for want of a champion of their ticks."""
    from volspike.errors import ModelError
    from volspike.pipeline.served_models import choose_models

    if settings.model:
        return []
    try:
        served = choose_models(home, settings)
    except ModelError:  # which model is damaged, the list tells
        return []
    found = []
    for product in sorted(served.defaults):
        manifest = served.bundles[product].manifest
        words = f"the package's model {manifest.name} {manifest.version} serves"
        named = {"product": product, "model": manifest.name, "version": manifest.version}
        found.append({**named, "words": words})
    return found


def _trial(home: Home, settings: Settings, standing: Standing) -> dict[str, Any]:
    """Return how a challenger fares on the ledger as it is."""
    from volspike.errors import ModelError
    from volspike.pipeline.promoting_by_hand import compare_now

    named = {
        "product": standing.product,
        "feed": standing.feed,
        "champion": str(standing.champion or "the model of the package"),
        "challenger": str(standing.challenger),
    }
    try:
        comparison = compare_now(home, settings, standing)
    except ModelError as error:
        return named | {"promote": False, "words": str(error), "comparison": None}
    report = comparison.as_dict()
    return named | {"promote": comparison.promote, "words": comparison.words, "comparison": report}


def _show_journal(journal: list[JournalEntry], everything: bool) -> None:
    from volspike.exchange.decimals import format_time_ns

    if not journal:
        return
    entries = journal if everything else journal[-_LINES:]
    left_out = f": the last {_LINES} of {len(journal)}; --all or --json has all"
    title = "Audit log, in market time" + left_out * (len(entries) < len(journal))
    told = [(format_time_ns(entry.market_ns)[:16].replace("T", " "), _step_text(entry)) for entry in entries]
    show_pairs(f"\n{title}", told)


def _step_text(entry: JournalEntry) -> str:
    """Return what was done to which model by whom, and why below: a sentence, too long for a cell."""
    model = f"{entry.model} {entry.version}".strip()
    what = f"{entry.product} on {entry.feed}: {entry.event}{', ' if model else ''}{model} (by {entry.by})"
    return f"{what}\n{entry.reason}" if entry.reason else what


def _plain(entry: JournalEntry) -> Any:
    import msgspec

    return msgspec.to_builtins(entry)


def _show(title: str, shown: dict[str, str], rows: list[dict[str, Any]], words: int) -> None:
    told = [
        row
        | {"mark": _mark(row), "tested_on": _tested_on(row), "trained_on": (row["trained_to"] or "-")[:10]}
        for row in rows
    ]
    cells = [tuple(short_text(row[field]) for field in shown) for row in told]
    show_table(title, tuple(shown.values()), cells, words)


def _mark(row: dict[str, Any]) -> str:
    """Return the mark of scores that stand on too little for a claim."""
    return "!" if row["test_pr_auc"] is not None and not row["enough_data"] else ""


def _tested_on(row: dict[str, Any]) -> str | None:
    """Return when a model's test part begins, and how long it is: of different ones scores don't compare."""
    if row["test_from_ns"] is None:
        return None
    from volspike.exchange.decimals import format_time_ns

    length = age_text((row["test_to_ns"] - row["test_from_ns"]) / 1e9)
    return f"{format_time_ns(row['test_from_ns'])[5:16].replace('T', ' ')}, {length}"


def _standings(directory: Path) -> list[Standing]:
    from volspike.errors import ModelError
    from volspike.models.standing import standings

    try:
        return standings(directory)
    except ModelError as error:
        tell(error)
        return []


def _places(directory: Path, found: list[Standing]) -> dict[Path, str]:
    """Return which bundles have a place, and which: of several the first that is named here."""
    places: dict[Path, str] = {}
    for place in ("champion", "challenger", "previous"):
        for standing in found:
            entry = getattr(standing, place)
            if entry is not None:
                places.setdefault(entry.path(directory), place)
    return places


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
        test.get("base_rate"),
        test.get("lift"),
        test.get("first_ns"),
        test.get("last_ns"),
        manifest.scored_on_enough,
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
    "test_base_rate",
    "test_lift",
    "test_from_ns",
    "test_to_ns",
    "enough_data",
)

_SHOWN = {
    "model": "model",
    "version": "version",
    "state": "state",
    "product": "product",
    "feed": "feed",
    "trained_on": "trained to",
}
_SCORES = {
    "model": "model",
    "version": "version",
    "tested_on": "tested on",
    "test_base_rate": "base",
    "test_pr_auc": "PR-AUC",
    "test_reference_pr_auc": "ref.",
    "test_lift": "lift",
    "mark": "",
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
_LEGEND = {
    "state": "champion: served live; challenger: on trial in its shadow; previous: what rollback serves "
    "again; whole: checked, not served. Models of candles are never live: predict and evaluate take their "
    "champion.",
    "tested on": "begin and length of the test part; scores of different ones don't compare",
    "base": "rate of spikes; ref.: PR-AUC of the reference; lift: PR-AUC over base",
    "!": "not enough data in the test part for a claim",
}
_MORE = {"--all": "what each was trained on, and all of the audit log"}
_LEGEND_OF_ALL = {"rows": "labelled rows of fit", "enough": "whether the test part is enough for a claim"}
