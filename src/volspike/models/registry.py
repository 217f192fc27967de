"""What volspike tells MLflow: trainings, who is champion, reports. First kept on disk, then sent.

Nothing here fails because MLflow is away, slow, locked or full: what it is to be told waits in the outbox of
the data directory, and ``sync`` tells it, in order. The standings in ``models/champions`` are the truth;
MLflow follows them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from volspike.models.bundle import load_bundle
from volspike.models.manifest import MANIFEST_FILE
from volspike.models.mlflow_client import Server, check_writable
from volspike.models.mlflow_items import Aliases, Attachment, ModelRun, Training
from volspike.models.mlflow_outbox import Outbox, Waiting
from volspike.models.mlflow_run import Registered
from volspike.models.mlflow_send import MODELS, REPORT_FILE, flat_metrics
from volspike.models.mlflow_sync import sync
from volspike.models.shelf import CARD_FILE
from volspike.models.standing import Entry, Standing, crown_champion

if TYPE_CHECKING:
    from volspike.evaluation.report import Evaluation
    from volspike.models.train import TrainResult

Crown = Callable[[Path, str, str], Standing]


@dataclass(frozen=True)
class Registration:
    """What became of a training: the registered versions by model, none while it waits, and what waits."""

    models: dict[str, Registered]
    waiting: Waiting


def register(
    result: TrainResult,
    evaluation: Evaluation,
    saved: Mapping[str, Path],
    data_dir: Path,
    crown: Crown | None = crown_champion,
    server: Server | None = None,
) -> Registration:
    """Tell MLflow of a training, one run a model, and register the models.

    Parameters
    ----------
    result : TrainResult
        What was trained.
    evaluation : Evaluation
        How it scored.
    saved : mapping of str to Path
        Bundle directory of each model.
    data_dir : Path
        Holds the outbox; and, without a server, ``mlflow.db`` and ``mlartifacts``.
    crown : callable, optional
        Gives the best model its place in the standing. The aliases follow: ``champion``, ``previous`` and
        ``challenger``, each with ``-<product>-<feed>`` behind it, and plainly as long as only one product and
        feed has a champion. None: all stays as it is, as for models that are for study only.
    server : Server, optional
        Where MLflow is; None: sqlite in the data directory.

    Raises
    ------
    ModelError
        When the data directory can't be written. What MLflow has against it is in ``waiting``.
    """
    check_writable(data_dir)
    outbox = Outbox(data_dir)
    name = outbox.put("training", *_training(result, evaluation, saved))
    if crown is not None:
        champion = result.bundles[result.champion].manifest
        crown(data_dir / MODELS, champion.name, champion.version)
        queue_standing(data_dir, champion.product, champion.feed)
    synced = sync(data_dir, server)
    return Registration(synced.registered.get(name, {}), synced.waiting)


def queue_standing(data_dir: Path, product: str, feed: str) -> None:
    """Note that the aliases of a product and feed are to follow its standing, which has changed.

    Raises
    ------
    ModelError
        When the data directory can't be written.
    """
    Outbox(data_dir).put("aliases", Aliases(product, feed), {})


def queue_report(
    data_dir: Path, model: Entry, files: Iterable[Path], folder: str, tags: Mapping[str, str] | None = None
) -> None:
    """Note that files, such as the pages on drift, belong to the run of a model.

    Parameters
    ----------
    model : Entry
        Which bundle's run.
    files : iterable of Path
        They are copied and may go; those of the same name that were attached before are replaced.
    folder : str
        Where among the run's artifacts.
    tags : mapping of str to str, optional
        Set on the run, to be searched for.

    Raises
    ------
    ModelError
        When a file can't be read, or the data directory can't be written.
    """
    found: dict[str, bytes | Path] = {f"files/{path.name}": path for path in files}
    Outbox(data_dir).put("attachment", Attachment(model, folder, dict(tags or {})), found)


def _training(
    result: TrainResult, evaluation: Evaluation, saved: Mapping[str, Path]
) -> tuple[Training, dict[str, bytes | Path]]:
    """Return what is told; made again of the same rows it has the same key, and is told once."""
    report = json.dumps(evaluation.as_dict(), indent=2).encode()
    files: dict[str, bytes | Path] = {REPORT_FILE: report}
    runs = []
    for name, bundle in result.bundles.items():
        manifest = bundle.manifest
        runs.append(ModelRun(name, manifest.version, flat_metrics(evaluation.summary(name))))
        files |= {f"{name}/bundle/{path.name}": path for path in _bundle_files(saved[name])}
        files |= {f"{name}/plots/{path.name}": path for path in evaluation.plots.get(name, ())}
    said = [result.champion, *(run.version for run in runs)]
    key = hashlib.sha256("\n".join(said).encode() + b"\n" + report).hexdigest()
    return Training(key, tuple(runs)), files


def _bundle_files(bundle: Path) -> list[Path]:
    """Return the files of a bundle that is whole, and its card."""
    listed = [bundle / entry.path for entry in load_bundle(bundle).manifest.files]
    card = bundle / CARD_FILE
    return [bundle / MANIFEST_FILE, *listed, *([card] if card.is_file() else [])]
