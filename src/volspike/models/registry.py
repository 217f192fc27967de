"""MLflow as the record of training runs and the register of models: sqlite beside the data, no server.

One run a model: parameters, scores by part, pictures, the report, and the bundle as the model's artifact.
``resolve_model`` turns ``models:/NAME@ALIAS`` into the bundle directory, which our own loader then reads.
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

from volspike import __version__
from volspike.errors import ModelError
from volspike.evaluation.report import Evaluation
from volspike.features.sets import get_feature_set
from volspike.models.calibration import ScoredRows
from volspike.models.inputs import CONTEXT_COLUMNS
from volspike.models.manifest import MANIFEST_FILE, Manifest
from volspike.models.shelf import champion_path
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
    experiment: str = EXPERIMENT,
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
    experiment : str
        Name of the MLflow experiment.
    promote : bool
        Whether the champion's aliases move; not for models that are for study only.

    Returns
    -------
    dict
        The registered versions by name. The alias ``champion`` is on the champion's version and on no other
        model's; the version that had it before is ``previous``.

    Raises
    ------
    ModelError
        When MLflow refuses.
    """
    with _mlflow(data_dir) as client:
        experiment_id = _experiment(client, experiment, data_dir)
        registered = {
            name: _log_model(client, experiment_id, bundle.manifest, evaluation, saved[name])
            for name, bundle in result.bundles.items()
        }
        if promote:
            _move_aliases(client, registered, result.champion)
    return registered


def resolve_model(model: str | Path, data_dir: Path) -> Path:
    """Return the bundle directory that a path or URI stands for.

    Parameters
    ----------
    model : str or Path
        A bundle directory, ``champion``, ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
    data_dir : Path
        Holds ``models``, ``mlflow.db`` and ``mlartifacts``.

    Raises
    ------
    ModelError
        When there is no such model.
    """
    text = str(model)
    if isinstance(model, str) and text.startswith("models:"):
        return _resolve_uri(text, data_dir)
    if text == CHAMPION and not Path(text).exists():
        return champion_path(data_dir / MODELS)
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
        import mlflow

        if alias:
            version = client.get_model_version_by_alias(name, alias).version
        root = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}/{version}"))
    found = sorted(root.glob(f"artifacts/*/{MANIFEST_FILE}"))
    if len(found) != 1:
        raise ModelError(uri, f"its artifacts hold {len(found)} bundles", REGISTRY_REMEDY)
    return found[0].parent


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

        for noisy in ("mlflow", "alembic"):  # its import sets them to INFO
            logging.getLogger(noisy).setLevel(logging.WARNING)
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        uri = f"sqlite:///{(data_dir / DATABASE).resolve()}"
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            yield mlflow.MlflowClient(uri, uri)
        except MlflowException as error:
            raise ModelError(subject, str(error).splitlines()[0].rstrip("."), REGISTRY_REMEDY) from error
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])


def _experiment(client: MlflowClient, name: str, data_dir: Path) -> str:
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    location = (data_dir / ARTIFACTS).resolve()
    return str(client.create_experiment(name, artifact_location=location.as_uri()))


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


def _move_aliases(client: MlflowClient, registered: Mapping[str, Registered], champion: str) -> None:
    for name, entry in registered.items():
        aliases = client.get_registered_model(name).aliases
        if CHAMPION in aliases:
            client.set_registered_model_alias(name, PREVIOUS, aliases[CHAMPION])
            client.delete_registered_model_alias(name, CHAMPION)
        if name == champion:
            client.set_registered_model_alias(name, CHAMPION, str(entry.version))


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
