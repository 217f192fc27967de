"""MLflow as the record of training runs and the register of models: sqlite beside the data, no server.

One run a model: parameters, scores by part, pictures, the report, and the bundle as the model's artifact.
``resolve_model`` turns ``models:/NAME@ALIAS`` into the bundle directory, which our own loader then reads.

MLflow stores absolute addresses of artifacts, and offers no way to change them. A data directory may still be
moved or copied: what is read is looked up in this directory's ``mlartifacts``, and what is written to a
directory that has moved goes to a new experiment there; the one from before the move is renamed.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from volspike import __version__
from volspike.errors import ModelError
from volspike.evaluation.report import Evaluation
from volspike.features.sets import get_feature_set
from volspike.models.calibration import ScoredRows
from volspike.models.defaults import default_path
from volspike.models.inputs import CONTEXT_COLUMNS
from volspike.models.manifest import MANIFEST_FILE, Manifest
from volspike.models.standing import champion_path
from volspike.models.train import TrainResult

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
MODELS = "models"
EXPERIMENT = "volspike"
CHAMPION = "champion"
PREVIOUS = "previous"
MODEL_CODE = Path(__file__).with_name("pyfunc_model.py")
MODEL_URI = re.compile(r"models:/([a-z0-9-]+)(?:@([a-z0-9_-]+)|/([1-9][0-9]*))")
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
REGISTRY_REMEDY = "run volspike train on this data directory, or give the directory of a bundle"
# Said by mlflow at import, or of things that are done on purpose.
EXPECTED = (".*Any type hint is inferred as AnyType", ".*An input example was not provided")


@dataclass(frozen=True)
class Registered:
    """A registered model version."""

    name: str
    version: int
    run_id: str

    @property
    def uri(self) -> str:
        """Return the ``models:/`` URI of this version."""
        return f"models:/{self.name}/{self.version}"


def register(
    result: TrainResult,
    evaluation: Evaluation,
    saved: Mapping[str, Path],
    data_dir: Path,
    promote: bool = True,
) -> dict[str, Registered]:
    """Log a training run to MLflow, one MLflow run a model, and register the models.

    Parameters
    ----------
    result : TrainResult
        What was trained.
    evaluation : Evaluation
        How it scored.
    saved : mapping of str to Path
        Bundle directory of each model.
    data_dir : Path
        Holds ``mlflow.db`` and ``mlartifacts``.
    promote : bool
        Whether the champion's aliases move; not for models that are for study only.

    Returns
    -------
    dict
        The registered versions by name. The alias ``champion-<product>-<feed>`` is on the champion's version
        and on no other model's; the version that had it before is ``previous-<product>-<feed>``. As long as
        only one product and feed has a champion, the plain ``champion`` and ``previous`` say the same; with
        several they would be ambiguous, and are taken away.

    Raises
    ------
    ModelError
        When MLflow refuses.
    """
    with _mlflow(data_dir) as client:
        experiment_id = _experiment(client, data_dir)
        registered = {
            name: _log_model(client, experiment_id, bundle.manifest, evaluation, saved[name])
            for name, bundle in result.bundles.items()
        }
        if promote:
            _move_aliases(client, result.bundles[result.champion].manifest, registered[result.champion])
    return registered


def resolve_model(
    model: str | Path, data_dir: Path, product: str | None = None, feed: str | None = None
) -> Path:
    """Return the bundle directory that a path or URI stands for.

    Parameters
    ----------
    model : str or Path
        A bundle directory, ``champion``, ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``; ``default`` and
        ``default-candles`` are the models that come with the package.
    data_dir : Path
        Holds ``models``, ``mlflow.db`` and ``mlartifacts``.
    product, feed : str, optional
        Whose champion ``champion`` stands for, where there are several.

    Raises
    ------
    ModelError
        When there is no such model.
    """
    text = str(model)
    if isinstance(model, str) and text.startswith("models:"):
        return _resolve_uri(text, data_dir)
    bundled = default_path(text)
    if bundled is not None and not Path(text).exists():
        return bundled
    if text == CHAMPION and not Path(text).exists():
        return champion_path(data_dir / MODELS, product, feed)
    if not Path(model).is_dir():
        raise ModelError(f"model {text}", "there is no such directory", REGISTRY_REMEDY)
    return Path(model)


def _resolve_uri(uri: str, data_dir: Path) -> Path:
    parts = MODEL_URI.fullmatch(uri)
    if parts is None:
        raise ModelError(uri, "it is no model URI", "write models:/NAME@champion or models:/NAME/VERSION")
    if not (data_dir / DATABASE).is_file():
        raise ModelError(uri, f"{data_dir} holds no {DATABASE}", REGISTRY_REMEDY)
    name, alias, version = parts.groups()
    with _mlflow(data_dir, uri) as client:
        if alias:
            _refuse_ambiguous(client, uri, alias)
            version = client.get_model_version_by_alias(name, alias).version
        root = _here(client.get_model_version_download_uri(name, version), data_dir)
    found = sorted(root.glob(f"artifacts/*/{MANIFEST_FILE}"))
    if len(found) != 1:
        raise ModelError(uri, f"its artifacts in {root} hold {len(found)} bundles", REGISTRY_REMEDY)
    return found[0].parent


def _refuse_ambiguous(client: MlflowClient, uri: str, alias: str) -> None:
    if alias != CHAMPION:
        return
    aliases = {alias for model in client.search_registered_models() for alias in model.aliases}
    several = sorted(alias for alias in aliases if alias.startswith(CHAMPION + "-"))
    if len(several) > 1:
        remedy = f"write @{' or @'.join(several)}"
        raise ModelError(uri, "several products or feeds have a champion", remedy)


def _here(address: str, data_dir: Path) -> Path:
    """Return where an artifact lies in this data directory, whichever place it was written at."""
    _, found, below = unquote(urlsplit(address).path).rpartition(f"/{ARTIFACTS}/")
    if not found:
        raise ModelError(address, f"it lies outside {ARTIFACTS}", REGISTRY_REMEDY)
    return (data_dir / ARTIFACTS / below).resolve()


@contextmanager
def _mlflow(data_dir: Path, subject: str = "mlflow") -> Iterator[MlflowClient]:
    """Import MLflow, quiet and without telemetry, and point it at the data directory for a while."""
    if not os.access(data_dir, os.W_OK):
        # MLflow would try again for minutes.
        raise ModelError(str(data_dir), "it is missing or can't be written", "check the data directory")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message=message, category=UserWarning)
        import mlflow
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import DBAPIError

        for noisy in ("mlflow", "alembic"):  # its import sets them to INFO
            logging.getLogger(noisy).setLevel(logging.WARNING)
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        database = (data_dir / DATABASE).resolve()
        uri, is_new = f"sqlite:///{database}", not database.exists()
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            yield mlflow.MlflowClient(uri, uri)
        except MlflowException as error:
            raise ModelError(subject, str(error).splitlines()[0].rstrip("."), REGISTRY_REMEDY) from error
        except DBAPIError as error:
            if is_new:
                database.unlink(missing_ok=True)  # half of its tables would stand in the next run's way
            remedy = "check the space and run volspike train again"
            raise ModelError(str(database), f"can't be written ({error.orig})", remedy) from error
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])


def _experiment(client: MlflowClient, data_dir: Path) -> str:
    location = (data_dir / ARTIFACTS).resolve().as_uri()
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None and known.artifact_location == location:
        return str(known.experiment_id)
    if known is not None:
        client.rename_experiment(known.experiment_id, f"{EXPERIMENT} before the move {known.experiment_id}")
    return str(client.create_experiment(EXPERIMENT, artifact_location=location))


def _log_model(
    client: MlflowClient, experiment_id: str, manifest: Manifest, evaluation: Evaluation, bundle: Path
) -> Registered:
    import mlflow

    with mlflow.start_run(experiment_id=experiment_id, run_name=f"{manifest.name} {manifest.version}") as run:
        mlflow.log_params(_params(manifest))
        mlflow.set_tags(_tags(manifest))
        mlflow.log_metrics(_metrics(evaluation, manifest.name))
        mlflow.log_dict(evaluation.as_dict(), "report.json")
        for plot in evaluation.plots.get(manifest.name, ()):
            mlflow.log_artifact(str(plot), "plots")
        model = mlflow.pyfunc.log_model(
            name=manifest.name,
            python_model=str(MODEL_CODE),
            artifacts={"bundle": str(bundle.resolve())},
            signature=_signature(manifest),
            pip_requirements=_requirements(manifest),
        )
        version = _new_version(client, manifest, model, run.info.run_id)
    return Registered(manifest.name, version, run.info.run_id)


def _new_version(client: MlflowClient, manifest: Manifest, model: Any, run_id: str) -> int:
    if not client.search_registered_models(f"name = '{manifest.name}'"):
        client.create_registered_model(manifest.name)
    version = client.create_model_version(
        manifest.name, model.model_uri, run_id, tags=_tags(manifest), model_id=model.model_id
    )
    return int(version.version)


def alias_of(alias: str, product: str, feed: str) -> str:
    """Return the alias of one product and feed.

    Examples
    --------
    >>> alias_of("champion", "BTC-USD", "exchange")
    'champion-btc-usd-exchange'
    """
    return re.sub("[^a-z0-9_-]", "-", f"{alias}-{product}-{feed}".lower())


def _move_aliases(client: MlflowClient, champion: Manifest, entry: Registered) -> None:
    """Name the champion of its product and feed; plainly too, while there is no other to confuse it with."""
    names = {model.name: dict(model.aliases) for model in client.search_registered_models()}
    own = alias_of(CHAMPION, champion.product, champion.feed)
    others = {alias for aliases in names.values() for alias in aliases if alias.startswith(CHAMPION + "-")}
    for name, aliases in names.items():
        to = entry.version if name == champion.name else None
        _move(client, name, aliases, own, alias_of(PREVIOUS, champion.product, champion.feed), to)
        if others <= {own}:
            _move(client, name, aliases, CHAMPION, PREVIOUS, to)
        else:
            for alias in {CHAMPION, PREVIOUS} & aliases.keys():
                client.delete_registered_model_alias(name, alias)


def _move(
    client: MlflowClient, name: str, aliases: Mapping[str, str], alias: str, before: str, to: int | None
) -> None:
    """Point an alias of a registered model to a version, or take it away; what had it becomes ``before``."""
    if alias in aliases:
        client.set_registered_model_alias(name, before, aliases[alias])
        client.delete_registered_model_alias(name, alias)
    if to is not None:
        client.set_registered_model_alias(name, alias, str(to))


def _params(manifest: Manifest) -> dict[str, str | int | float]:
    return {
        "kind": manifest.kind,
        "product": manifest.product,
        "feed": manifest.feed,
        "feature_set": f"{manifest.feature_set} {manifest.feature_set_version}",
        "inputs": " ".join(manifest.input_names),
        "target": manifest.target,
        "tau_mode": manifest.tau.mode,
        "tau_quantile": manifest.tau.quantile,
        "tau_floor_bps": manifest.tau.floor_bps,
        "tau_fixed_bps": manifest.tau.fixed_bps,
        "alert_open_at": manifest.alert.open_at,
        "seed": manifest.training.seed,
        "class_weight": manifest.training.class_weight,
        "fit_rows": manifest.training.fit_rows,
        "tune_rows": manifest.training.tune_rows,
        "calibrate_rows": manifest.training.calibrate_rows,
        "calibrated": str(manifest.calibration.calibrated),
        "reference": manifest.reference,
        **manifest.training.settings,
    }


def _tags(manifest: Manifest) -> dict[str, str]:
    return {
        "bundle_version": manifest.version,
        "dataset_sha256": manifest.provenance.dataset_sha256,
        "feature_set_hash": manifest.feature_set_hash,
        "code_version": manifest.provenance.code_version,
        "enough_data": str(manifest.enough_data),
        "train_start_ns": str(manifest.training.first_ns),
        "train_end_ns": str(manifest.training.last_ns),
        "horizon_s": "60",
    }


def _metrics(evaluation: Evaluation, name: str) -> dict[str, float]:
    return {
        f"{part}.{metric}": float(value)
        for part, values in evaluation.summary(name).items()
        for metric, value in values.items()
        if value is not None
    }


def _signature(manifest: Manifest) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    names = (*get_feature_set(manifest.feature_set).names, *CONTEXT_COLUMNS)
    return ModelSignature(
        inputs=Schema([ColSpec("double", name) for name in names]),
        outputs=Schema([ColSpec("double", name) for name in ScoredRows._fields]),
    )


def _requirements(manifest: Manifest) -> list[str]:
    libraries = [f"{name}=={version}" for name, version in manifest.provenance.libraries.items()]
    return [f"volspike=={__version__}", *libraries]
