"""Makes the models that come with the package: ``python -m tools.default_models RECORDINGS``.

RECORDINGS holds ``ticks/dec-2025`` (Advanced Trade tickers) and ``minutes`` (candles of July 2026). The data
stay where they are; only the fitted weights and their cards go into the package.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from volspike.config import load_settings
from volspike.models.bundle import load_bundle, new_bundle
from volspike.models.card import model_card
from volspike.models.defaults import BUNDLED
from volspike.models.manifest import MANIFEST_FILE, pretty
from volspike.models.shelf import CARD_FILE
from volspike.models.train import with_scores
from volspike.pipeline.home import Home
from volspike.pipeline.training import Trained, train_models

EXPERIMENTAL = "a bundled default, experimental: train on your own ticks as soon as there are enough"


def main(recordings: Path) -> None:
    """Train both and put them into the package."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        _keep(_ticks(recordings / "ticks" / "dec-2025", root / "ticks"), "logistic", "default-tick", "tick")
        _keep(_candles(recordings / "minutes", root / "candles"), "blend", "default-candles", "candles")


def _ticks(folder: Path, root: Path) -> Trained:
    eastern = [*sorted(folder.glob("*20251130_*")), *sorted(folder.glob("*20251201_000100*"))]
    utc = [*sorted(folder.glob("*20251205_*")), *sorted(folder.glob("*20251206_*"))]
    _volspike("import", *eastern, "--tz", "America/New_York", "--data-dir", root)
    _volspike("import", *utc, "--tz", "UTC", "--data-dir", root)
    _volspike("replay", "--data-dir", root)
    settings = load_settings({"data_dir": root, "inputs": "regime"})
    return train_models(Home(root), settings, None, None, print)


def _candles(folder: Path, root: Path) -> Trained:
    _volspike("backfill", folder, "--data-dir", root)
    return train_models(Home(root), load_settings({"data_dir": root}), None, "candles", print)


def _volspike(*arguments: str | Path) -> None:
    from volspike.__main__ import main as volspike

    sys.argv = ["volspike", *map(str, arguments)]
    try:
        volspike()
    except SystemExit as done:
        if done.code:
            raise


def _keep(trained: Trained, chosen: str, name: str, folder: str) -> None:
    """Write the chosen model under its own name, with its card."""
    made = trained.result.bundles[chosen]
    manifest = made.manifest
    notes = (EXPERIMENTAL, *manifest.notes)
    named = new_bundle(msgspec.structs.replace(manifest, name=name, notes=notes), made.files)
    test = trained.dataset.rows(trained.split.test)
    scored = with_scores(named, trained.evaluation.summary(chosen), test)
    card = model_card(manifest, trained.evaluation).replace(
        f"# {chosen} {manifest.version}", f"# {name} {named.manifest.version}"
    )
    target = BUNDLED / folder
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file, content in {**scored.files, MANIFEST_FILE: pretty(scored.manifest)}.items():
        (target / file).write_bytes(content)
    (target / CARD_FILE).write_text(card)
    load_bundle(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
